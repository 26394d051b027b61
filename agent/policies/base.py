"""The Policy protocol: a goal and a screenshot in, a reply out, and the actions in that reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from actions import (
    ACTION_TYPES,
    Action,
    Call,
    Click,
    InvalidActionError,
    LongPress,
    Move,
    Reply,
    Screen,
    Step,
    Surface,
    UsageError,
    plugins,
)
from model.dialects.base import Conversation, Dialect
from model.processing.image import ImageLimits
from model.processing.video import SampledVideo

OnText = Callable[[str], None]  # receives the reply's text so far, each time it grows
OnStatus = Callable[[str], None]  # receives one sentence about the progress of loading
ANSWER_TOKENS = 2048  # of a reply in any form
YES_OR_NO = (("Yes", "yes", "YES"), ("No", "no", "NO"))  # words whose first tokens count
LOCATE_VERBS = frozenset({"click"})


class Policy(Protocol):
    """A model, or its stand-in, that decides what to do on a screen."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces: model, fingerprint, dialect, prompt_hash, ..."""
        ...

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the reply to a screen.

        Args:
            goal: The task in plain language.
            steps: All earlier steps of the run, oldest first.
            screen: The current screenshot.
            verbs: The actions that the environment can perform.
        """
        ...

    def parse(self, reply: Reply) -> Call:
        """Return the function call in a reply; raise InvalidActionError when there is none."""
        ...

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the one action of a call, in screen pixels; raise InvalidActionError for none or several."""
        ...

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call in order, in screen pixels; raise InvalidActionError when it is invalid."""
        ...

    def predict(self, goal: str, screen: Screen, verbs: frozenset[str] = frozenset(ACTION_TYPES)) -> tuple[Action, ...]:
        """Return the actions that the policy proposes for one screen without history, in screen pixels."""
        ...

    def locate(self, text: str, screen: Screen) -> Click:
        """Return a click on the element that `text` describes, in screen pixels."""
        ...

    def close(self) -> None:
        """Release what the policy owns. Safe to call twice."""
        ...


@runtime_checkable
class SupportsPrefetch(Protocol):
    """A policy that can preprocess a screenshot ahead of time."""

    def prefetch(self, screen: Screen) -> None:
        """Preprocess a screenshot that `decide` will receive soon. Thread-safe."""
        ...


@runtime_checkable
class SupportsStreaming(Protocol):
    """A policy that reports its reply while it is generated."""

    on_text: OnText | None


@runtime_checkable
class SupportsJudgment(Protocol):
    """A policy whose model can answer a question about screenshots with yes or no."""

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        """Return the probability of yes against no.

        Raises:
            UsageError: The model cannot answer questions, or the server does not return probabilities.
            SurfaceError: The server is unreachable.
        """
        ...


@runtime_checkable
class SupportsAnswers(Protocol):
    """A policy whose model answers questions about images."""

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        """Return a reply that is one JSON value, or a text where there is no schema.

        Args:
            question: The question; it says what the value must look like.
            screens: The images that it is about.
            schema: The JSON schema of the value. A model in process is held to it, most servers are asked to hold
                theirs to it; callers validate the reply. None for a reply in any form.
            max_new_tokens: Longest reply; None for as much as the schema needs, or 2,048 tokens without one.
            is_question_first: Put the question before the images, as some output formats were trained.

        Raises:
            UsageError: The model cannot answer questions, or not in this form.
            SurfaceError: The server is unreachable.
        """
        ...


@runtime_checkable
class SupportsVideos(Protocol):
    """A policy whose model may take videos."""

    def accepts_videos(self) -> bool:
        """Return whether the model takes videos.

        Raises:
            UsageError: The model cannot answer questions.
        """
        ...

    def answer_video(self, question: str, video: SampledVideo, schema: Mapping[str, object] | None) -> Reply:
        """Return a reply to a question about a video; see `SupportsAnswers.answer`."""
        ...


@runtime_checkable
class UsesSurface(Protocol):
    """A policy that reads what the surface tells beside its pixels; a model does not."""

    def attach(self, surface: Surface) -> None:
        """Use this surface; called before the first decision."""
        ...


@runtime_checkable
class HasDialect(Protocol):
    """A policy whose replies are read by one dialect."""

    dialect: Dialect


class ConfiguredDialect(Dialect, Protocol):
    """A dialect together with the options that it was created with."""

    limits: ImageLimits
    tool: str
    history: str


class PredictionMixin:
    """Single-screen predictions for a policy: no history, no environment, one model call."""

    def predict(self, goal: str, screen: Screen, verbs: frozenset[str] = frozenset(ACTION_TYPES)) -> tuple[Action, ...]:
        """Return the actions that the policy proposes for one screen, in screen pixels.

        Raises:
            InvalidActionError: The reply contains no valid call.
        """
        return predict_actions(cast(Policy, self), goal, screen, verbs)

    def locate(self, text: str, screen: Screen) -> Click:
        """Return a click on the element that `text` describes, in screen pixels.

        Raises:
            InvalidActionError: The reply contains no point.
        """
        return first_click(predict_actions(cast(Policy, self), text, screen, LOCATE_VERBS))


class DialectPolicyMixin(PredictionMixin):
    """Parsing by a dialect, shared by all policies whose replies one dialect reads."""

    dialect: Dialect

    def parse(self, reply: Reply) -> Call:
        """Return the function call in a reply; raise InvalidActionError when there is none."""
        return self.dialect.parse(reply.text)

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the one action of a call, in screen pixels."""
        return self.dialect.to_action(call, screen)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call in order, in screen pixels."""
        return self.dialect.to_actions(call, screen)


def predict_actions(policy: Policy, goal: str, screen: Screen, verbs: frozenset[str]) -> tuple[Action, ...]:
    """Return the actions in a policy's reply to one screen without history."""
    reply = policy.decide(goal, (), screen, verbs)
    return policy.to_actions(policy.parse(reply), screen)


def first_click(actions: Sequence[Action]) -> Click:
    """Return a click at the point of the first action that points; raise InvalidActionError when none does."""
    for action in actions:
        if isinstance(action, Click):
            return action
        if isinstance(action, Move | LongPress):
            return Click(x=action.x, y=action.y)
    raise InvalidActionError("the reply contains no point")


def question_conversation(question: str, screens: Sequence[Screen], *, is_question_first: bool = False) -> Conversation:
    """Return a conversation of one user message: the screenshots, then a question, or the question first."""
    images: list[dict[str, object]] = [{"type": "image", "image": screen} for screen in screens]
    text: dict[str, object] = {"type": "text", "text": question}
    content = [text, *images] if is_question_first else [*images, text]
    return Conversation(({"role": "user", "content": content},))


def load_dialect(
    name: str, limits: ImageLimits, prompt: str = "", *, tool: str = "", history: str = ""
) -> ConfiguredDialect:
    """Create a dialect by name.

    Args:
        name: A plugin of model.dialects.
        limits: The image sizes of the checkpoint.
        prompt: Path of a text file that replaces the dialect's own prompt; "" keeps it.
        tool: The dialect's tool; "" for its default.
        history: The dialect's history layout; "" for its default.

    Raises:
        UsageError: The name is unknown, or the prompt cannot be read or used.
    """
    text = read_prompt(prompt)
    module = plugins.load_plugin("model.dialects", name)
    return module.Dialect(limits, prompt=text, tool=tool, history=history)


def read_prompt(path: str) -> str | None:
    """Return the text of a prompt file; None for "".

    Raises:
        UsageError: It cannot be read.
    """
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"the prompt {path} cannot be read ({error}); give a text file in UTF-8") from None
