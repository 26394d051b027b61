"""Forks: a new run that begins with the first steps of an earlier one, performed again, and goes on with a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actions import Action, Ask, Call, Done, InvalidActionError, Reply, Screen, Step, Surface, TypeText, UsageError
from agent.policies.base import Policy, PredictionMixin, UsesSurface
from agent.recorded_history import translate_steps
from agent.safety.freshness import LEVEL_TOLERANCE, STRICT_FRACTION, regions_unchanged
from agent.safety.redaction import MASK
from agent.trace import Trace

PERSON_EVENTS = ("person.act", "steer")


@dataclass(frozen=True)
class ForkPoint:
    """The beginning of an earlier run that a fork repeats.

    Args:
        trace: The trace of the earlier run.
        steps: The steps to perform again.
        screens: The screenshot before each of them, and the one after the last.
    """

    trace: Trace
    steps: tuple[Step, ...]
    screens: tuple[Screen, ...]

    def as_manifest(self) -> dict[str, object]:
        """Return which run is forked and where, for the manifest of the new trace."""
        folder = self.trace.folder
        return {"run": folder.name, "folder": str(folder.absolute()), "step": len(self.steps)}


def load_fork_point(trace: Trace, count: int) -> ForkPoint:
    """Return the first `count` steps of a run.

    Raises:
        UsageError: The run has fewer steps, or one of them cannot be performed again.
    """
    name, total = trace.folder.name, trace.count
    if "resumes" in trace.manifest:
        raise UsageError(f"the run {name} went on from another one, so its trace has no beginning; fork that one")
    if not 1 <= count <= total:
        raise UsageError(f"--at {count}: the run {name} has the steps 1 to {total}")
    steps = tuple(trace.steps()[:count])
    for step in steps:
        if problem := _why_not_repeatable(step):
            raise UsageError(f"step {step.index} of the run {name} {problem}")
    if any(event["event"] in PERSON_EVENTS and event["step"] < count for event in trace.events):
        raise UsageError(f"a person acted or wrote to the model before step {count} of the run {name}; fork it earlier")
    last = [result for result in trace.finished if result["step"] == steps[-1].index][-1]
    if last["verdict"] and last["verdict"]["done"]:
        raise UsageError(f"step {count} of the run {name} ended its task, so nothing is left; fork it earlier")
    return ForkPoint(trace, steps, (*(step.screen for step in steps), trace.screen(last["screen"])))


def _why_not_repeatable(step: Step) -> str:
    """Return why a step cannot be performed again, as the end of a sentence; "" if it can."""
    for action in step.actions:
        if isinstance(action, Ask):
            return "asks a person, whose answer is not repeated; fork it earlier"
        if action.verb in ("done", "answer"):
            return "ended it, so nothing is left; fork it earlier"
        if isinstance(action, TypeText) and MASK in action.text:
            return "types a secret that the trace does not contain; fork it earlier"
    return ""


def screen_difference(recorded: Screen, screen: Screen) -> float:
    """Return the share of pixels that differ, 0 to 1; 1 for screens of other sizes."""
    if recorded.pixels.shape != screen.pixels.shape:
        return 1.0
    difference = np.abs(recorded.pixels.astype(np.int16) - screen.pixels).max(axis=2)
    return float((difference > LEVEL_TOLERANCE).mean())


class ForkPolicy(PredictionMixin):
    """Return the recorded replies of a fork's beginning, then those of a policy.

    Where the screen is not the recorded one, the run ends with a failure that names the step, or goes on if forced.

    Args:
        point: The beginning.
        policy: Decides after it.
        is_forced: Go on where the screen is another one.
        on_message: Receives a sentence about each screen that is another one, and about the end of the beginning.
    """

    def __init__(self, point: ForkPoint, policy: Policy, *, is_forced: bool, on_message: Callable[[str], None]) -> None:
        self._point, self._policy = point, policy
        self._steps = translate_steps(point.steps, policy)
        self._is_forced, self._message = is_forced, on_message
        self._repeated: Step | None = None  # what the last reply repeats
        self._ending: Done | None = None

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy that goes on."""
        return self._policy.metadata

    def attach(self, surface: Surface) -> None:
        """Let the policy use the surface, if it does."""
        if isinstance(self._policy, UsesSurface):
            self._policy.attach(surface)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the recorded reply to a screen of the beginning, else the policy's."""
        index, count = len(steps), len(self._steps)
        self._repeated = None
        if index <= count and (problem := self._difference(index, screen)):
            self._message(f"{'differs' if self._is_forced else 'halted':8} {problem}")
            if not self._is_forced:
                self._ending = Done(status="failure", message=f"the fork halted: {problem}; --force goes on")
                return Reply(self._ending.message, image_digests=(screen.digest,))
        if index < count:
            self._repeated = self._steps[index]
            return Reply(self._repeated.reply.text, prompt=goal, image_digests=(screen.digest,))
        if index == count:
            self._message(f"{'forks':8} after {count} steps; the model decides from here")
        return self._policy.decide(goal, steps, screen, verbs)

    def parse(self, reply: Reply) -> Call:
        """Return the call in a reply."""
        if self._ending is not None:
            return Call("done", {"status": self._ending.status, "message": self._ending.message})
        if self._repeated is None:
            return self._policy.parse(reply)
        if self._repeated.call is None or not self._repeated.actions:
            raise InvalidActionError(self._repeated.error or "the reply means no action")
        return self._repeated.call

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the one action of a call."""
        actions = self.to_actions(call, screen)
        if len(actions) != 1:
            raise InvalidActionError(f"the reply has {len(actions)} actions, not one")
        return actions[0]

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call."""
        if self._ending is not None:
            return (self._ending,)
        return self._policy.to_actions(call, screen) if self._repeated is None else self._repeated.actions

    def close(self) -> None:
        """Close the policy."""
        self._policy.close()

    def _difference(self, index: int, screen: Screen) -> str:
        """Return how a screen differs from the recorded one, "" if it does not."""
        recorded = self._point.screens[index]
        if recorded.digest == screen.digest:
            return ""
        share = screen_difference(recorded, screen)
        actions = self._steps[index].actions if index < len(self._steps) else ()
        points = [point for action in actions[:1] for point in action.points()]
        if share < STRICT_FRACTION and regions_unchanged(recorded, screen, points, STRICT_FRACTION):
            return ""
        where = f"before step {index + 1}" if index < len(self._steps) else f"after step {index}"
        return f"{where}, {share:.1%} of the pixels are not those of the run {self._point.trace.folder.name}"
