"""When a run is over, and with which status. Knows steps and verdicts; knows no environment and no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from actions import Answer, BadCall, Denied, Done, Screen, Step

Status = Literal["success", "failure", "budget", "stopped", "error"]
Cause = Literal["verdict", "own word", "bad calls", "no progress", "denied", "budget", "interrupted", "machine"]
FULL_REWARD = 1 - 1e-9  # a verdict's reward from here on is success


@dataclass(frozen=True)
class Ending:
    """How a run ended, why, and the same as a sentence for a person."""

    status: Status
    cause: Cause
    message: str


@dataclass(frozen=True)
class Patience:
    """When a run is given up before its steps are spent."""

    bad_calls: int = 5  # in a row
    denials: int = 3  # in all
    repeats_told: int = 3  # the same action on the same screen: the model is told that nothing changes
    repeats: int = 5


class Watch:
    """Follows one run, step by step, and says when it is over."""

    def __init__(self, max_steps: int, patience: Patience) -> None:
        self.max_steps, self.patience = max_steps, patience
        self.denials = self.bad_calls = self.repeats = 0
        self._before: tuple[Any, str] | None = None

    def moved(self, action: Any, before: Screen, after: Screen) -> str:
        """Count an action that was done; what the model should be told when it goes on without any effect, else ""."""
        same = before.digest == after.digest
        if same and self._before == (action, before.digest):
            self.repeats += 1
        else:
            self.repeats = int(same)
        self._before = (action, after.digest)
        if self.repeats < self.patience.repeats_told:
            return ""
        return f"This action was done {self.repeats} times and nothing changed on the screen; do something else."

    def ending(
        self, steps: Sequence[Step], mistake: BadCall | None, verdict: Mapping[str, Any] | None, over: bool
    ) -> Ending | None:
        """The ending after the last of the steps, None to go on. over: the environment says that it is finished.

        A task's verdict decides where there is a task; the model's own word counts only where there is none.
        """
        self.bad_calls = self.bad_calls + 1 if mistake else 0
        self.denials += isinstance(mistake, Denied)
        action = steps[-1].action if mistake is None else None
        if verdict and verdict["done"]:
            reward = verdict["reward"]
            won = reward is not None and reward >= FULL_REWARD
            return Ending("success" if won else "failure", "verdict", f"the task's own verdict is {reward}")
        if isinstance(action, Done | Answer):
            return _own_word(action, verdict)
        if self.denials >= self.patience.denials:
            return Ending("stopped", "denied", f"the guard refused {self.denials} times, the last time: {mistake}")
        if self.bad_calls >= self.patience.bad_calls:
            return Ending("failure", "bad calls", f"{self.bad_calls} replies in a row meant no action: {mistake}")
        if self.repeats >= self.patience.repeats:
            return Ending("failure", "no progress", f"the same action {self.repeats} times, and nothing changed")
        if over or len(steps) >= self.max_steps:
            return Ending("budget", "budget", f"not finished after {len(steps)} of {self.max_steps} steps")
        return None


def _own_word(action: Done | Answer, verdict: Mapping[str, Any] | None) -> Ending:
    said = action.text if isinstance(action, Answer) else action.message
    if verdict is not None:
        return Ending("failure", "verdict", "the model says that it is done, and the task is not")
    if isinstance(action, Answer):
        return Ending("success", "own word", said)
    return Ending(action.status, "own word", said or f"the model says: {action.status}")
