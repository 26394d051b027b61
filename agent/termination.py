"""When a run is over, and with which status. Knows steps and verdicts; knows no environment and no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from actions import (
    ActionDeniedError,
    ActionRejectedError,
    Answer,
    Done,
    Error,
    InvalidActionError,
    RunStoppedError,
    Screen,
    Step,
    SurfaceError,
    Wait,
)
from actions.rewards import SUCCESS_THRESHOLD

Status = Literal["success", "failure", "budget", "stopped", "error"]
StopReason = Literal["verdict", "own word", "bad calls", "no progress", "denied", "budget", "interrupted", "machine"]


@dataclass(frozen=True)
class Termination:
    """How a run ended, why, and the same as a sentence for a person."""

    status: Status
    cause: StopReason
    message: str


@dataclass(frozen=True)
class TurnResult:
    """What came of a turn. verdict is the task's, {"done", "reward"}, None without a task; over: the episode ended."""

    screen: Screen
    verdict: Mapping[str, Any] | None
    reward: float = 0.0
    over: bool = False
    note: str = ""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    error: Error | None = None

    @classmethod
    def from_info(cls, info: Mapping[str, Any], reward: float = 0.0, over: bool = False) -> TurnResult:
        """From what reset() and step() of an environment return."""
        verdict = info["verdict"]
        if verdict is not None and verdict["reward"] is not None:
            verdict = {**verdict, "reward": float(verdict["reward"])}
        return cls(info["screen"], verdict, float(reward), over, info["note"], info.get("timings_s", {}))

    def with_notice(self, words: str) -> TurnResult:
        """The same, with words before the note."""
        return replace(self, note="\n".join(filter(None, (words, self.note))))


@dataclass(frozen=True)
class StopLimits:
    """When a run is given up before its steps are spent."""

    bad_calls: int = 5  # in a row
    denials: int = 3  # in all
    repeats_told: int = 3  # the same action on the same screen: the model is told that nothing changes
    repeats: int = 5


class TerminationMonitor:
    """Follows one run, step by step, and says when it is over."""

    def __init__(self, max_steps: int, patience: StopLimits) -> None:
        self.max_steps, self.patience = max_steps, patience
        self.denials = self.bad_calls = self.repeats = 0
        self._before: tuple[tuple[Any, ...], str] | None = None

    def check_progress(self, actions: tuple[Any, ...], before: Screen, came: TurnResult) -> TurnResult:
        """The outcome of a turn's actions, with a note for a model that goes on with what changes nothing."""
        if all(isinstance(action, Wait) for action in actions):  # to wait on a still screen is no mistake
            return came
        same = before.digest == came.screen.digest
        if same and self._before == (actions, before.digest):
            self.repeats += 1
        else:
            self.repeats = int(same)
        self._before = (actions, came.screen.digest)
        if self.repeats < self.patience.repeats_told:
            return came
        return came.with_notice(
            f"This action was done {self.repeats} times and nothing changed on the screen; do another."
        )

    def check(self, steps: Sequence[Step], came: TurnResult) -> Termination | None:
        """The ending after the last of the steps, None to go on.

        A task's verdict decides where there is a task; the model's own word counts only where there is none.
        """
        mistake = (
            came.error
            if isinstance(came.error, InvalidActionError) and not isinstance(came.error, ActionRejectedError)
            else None
        )
        self.bad_calls = self.bad_calls + 1 if mistake else 0
        self.denials += isinstance(mistake, ActionDeniedError)
        action = steps[-1].action if came.error is None else None
        if isinstance(came.error, SurfaceError):
            return Termination("error", "machine", str(came.error))
        if isinstance(mistake, RunStoppedError):
            return Termination("stopped", "interrupted" if mistake.by_person else "denied", str(mistake))
        if came.verdict and came.verdict["done"]:
            reward = came.verdict["reward"]
            won = reward is not None and reward >= SUCCESS_THRESHOLD
            return Termination(
                "success" if won else "failure", "verdict", "the task is over: " + ("done" if won else "not as asked")
            )
        if isinstance(action, Done | Answer):
            return _own_word(action, came.verdict)
        if self.denials >= self.patience.denials:
            return Termination("stopped", "denied", f"the guard refused {self.denials} times, the last time: {mistake}")
        if self.bad_calls >= self.patience.bad_calls:
            return Termination("failure", "bad calls", f"{self.bad_calls} replies in a row meant no action: {mistake}")
        if self.repeats >= self.patience.repeats:
            return Termination("failure", "no progress", f"the same action {self.repeats} times, and nothing changed")
        if came.over or len(steps) >= self.max_steps:
            return Termination("budget", "budget", f"not finished after {len(steps)} of {self.max_steps} steps")
        return None


def _own_word(action: Done | Answer, verdict: Mapping[str, Any] | None) -> Termination:
    said = action.text if isinstance(action, Answer) else action.message
    if verdict is not None:
        return Termination("failure", "verdict", "the model says that it is done, and the task is not")
    if isinstance(action, Answer):
        return Termination("success", "own word", said)
    return Termination(action.status, "own word", said or f"the model says: {action.status}")
