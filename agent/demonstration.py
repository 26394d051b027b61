"""record_demonstration: let a person act on a surface through the viewer, and keep it as the trace of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from actions import Reply, Screen, Step, UsageError, usage_problems
from agent.config import Settings
from agent.interaction import open_interaction
from agent.loop import Episode
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from agent.preflight import target_problems
from agent.replay.recording import PERSON, PERSON_EVENT
from agent.session import is_practice, run_session
from agent.ui.display import Display, Event
from agent.verification.expectations import parse_expectations
from model.dialects.base import Dialect

DEFAULT_GOAL = "the demonstration of a person"
NOTHING_DONE = "nothing was done on the screen, so nothing can be replayed; record again, and act in the viewer first"


class ActionCounter:
    """A display that counts the person's actions that were carried out.

    Args:
        display: Receives all events.

    Attributes:
        count: The actions so far, without waits.
    """

    def __init__(self, display: Display) -> None:
        self._display, self.count = display, 0

    def __enter__(self) -> ActionCounter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing: the display is closed by those who opened it."""

    def __call__(self, event: Event) -> None:
        if event["event"] == PERSON_EVENT and not event["error"] and event["action"].verb != "wait":
            self.count += 1
        self._display(event)

    def on_text(self, text: str) -> None:
        """Show a part of a reply."""
        self._display.on_text(text)

    def message(self, text: str) -> None:
        """Show a sentence."""
        self._display.message(text)


class DemonstrationPolicy(DialectPolicyMixin):
    """End the run once the person has handed back: as a failure if they did nothing.

    Args:
        counter: Counts the person's actions.
    """

    def __init__(self, counter: ActionCounter) -> None:
        self._counter = counter
        self.dialect: Dialect = JsonDialect()

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        return {"model": PERSON, "fingerprint": PERSON, "prompt_hash": self.dialect.prompt_hash}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the end of the run."""
        end = (
            {"verb": "done"} if self._counter.count else {"verb": "done", "status": "failure", "message": NOTHING_DONE}
        )
        return Reply(json.dumps(end), prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Do nothing."""


def record_demonstration(goal: str, settings: Settings, display: Display) -> Episode:
    """Record what a person does in the viewer until they hand back or stop.

    Args:
        goal: What the person shows; "" for a practice page's own instruction.
        settings: The settings of the run; its models are not used.
        display: Receives all events.

    Raises:
        UsageError: The settings cannot be used, or the viewer cannot be served.
        Error: The run failed.
    """
    settings = replace(settings, model="", grounder="", output_schema="", second_look=False, read_elements=True)
    problems = target_problems(settings)
    problems += usage_problems(lambda: parse_expectations(settings.expect))
    if settings.surface == "desktop":
        problems.append(
            "--surface desktop cannot be recorded: the viewer's page would be on the screen that it records. "
            "Use desktop:virtual."
        )
    if problems:
        raise UsageError("\n".join(problems))
    if not goal and not is_practice(settings.url):
        goal = DEFAULT_GOAL
    with open_interaction(display, settings, view=True) as user:
        if user.control is None:
            raise UsageError("the viewer has no controls for this surface, so nobody can act on it")
        user.control.take_over()
        counter = ActionCounter(user.display)
        return run_session(
            goal,
            settings,
            counter,
            ask=user.ask,
            person=user.person,
            control=user.control,
            blocked_ports=user.blocked_ports,
            policy=DemonstrationPolicy(counter),
        )
