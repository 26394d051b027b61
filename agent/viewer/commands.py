"""Commands of the viewer's page: what a person may ask of a run, checked before it is carried out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from actions import UsageError, parse_action
from agent.run_control import RunControl
from agent.viewer.questions import AnswerName, ViewerPerson

MAX_TEXT_CHARS = 4000
PERSON_VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "open", "back", "home"})
OWN_SCREEN_COMMANDS = frozenset({"pause", "continue", "stop"})  # where the model could use the viewer itself


class _Command(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlainCommand(_Command):
    """A command without arguments."""

    name: Literal["pause", "continue", "step", "take_over", "hand_back", "stop"]


class SteerCommand(_Command):
    """A note for the model."""

    name: Literal["steer"]
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class AnswerCommand(_Command):
    """An answer to a question."""

    name: Literal["answer"]
    question: int
    answer: AnswerName
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] = ""


class MovePointCommand(_Command):
    """An answer that moves a point of the proposed action, to a pixel of the screen that the person sees."""

    name: Literal["move_point"]
    question: int
    index: Annotated[int, Field(ge=0)]
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]


class ActCommand(_Command):
    """An action of the person, in pixels of the screen that they see."""

    name: Literal["act"]
    action: dict[str, Any]


ViewerCommand = PlainCommand | SteerCommand | AnswerCommand | MovePointCommand | ActCommand
_COMMANDS: TypeAdapter[ViewerCommand] = TypeAdapter(Annotated[ViewerCommand, Field(discriminator="name")])


class CommandRunner:
    """Carries out the commands of the page.

    Args:
        control: The run.
        person: The questions of the run; None where they are asked elsewhere.
        allowed: The names of the commands that are accepted; None for all.
    """

    def __init__(self, control: RunControl, person: ViewerPerson | None, allowed: frozenset[str] | None = None) -> None:
        self._control, self._person, self._allowed = control, person, allowed

    def __call__(self, data: bytes) -> None:
        """Carry out a command given as JSON.

        Raises:
            UsageError: It is invalid, not accepted here, or does not fit the state of the run.
            InvalidActionError: It has an invalid action.
        """
        try:
            command = _COMMANDS.validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise UsageError(f"the command is invalid: {first['msg'][:200]}") from None
        if self._allowed is not None and command.name not in self._allowed:
            raise UsageError(
                f"'{command.name}' is not accepted here: the model could use this page on your own screen; "
                "answer in the terminal"
            )
        match command:
            case SteerCommand():
                self._control.steer(command.text)
            case AnswerCommand():
                self._asked_person().answer(command.question, command.answer, command.text)
            case MovePointCommand():
                self._asked_person().move_point(command.question, command.index, command.x, command.y)
            case ActCommand():
                action = parse_action(command.action)
                if action.verb not in PERSON_VERBS:
                    raise UsageError(f"'{action.verb}' is not for you to do; one of {', '.join(sorted(PERSON_VERBS))}")
                self._control.act(action)
            case PlainCommand():
                self._run_plain(command.name)

    def _asked_person(self) -> ViewerPerson:
        """Return the person whom the run asks; raise UsageError where questions are not asked here."""
        if self._person is None:
            raise UsageError("questions of this run are asked in its terminal")
        return self._person

    def _run_plain(self, name: str) -> None:
        control = self._control
        {
            "pause": control.pause,
            "continue": control.resume,
            "step": control.step,
            "take_over": control.take_over,
            "hand_back": control.hand_back,
            "stop": control.stop,
        }[name]()
