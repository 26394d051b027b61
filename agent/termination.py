"""TerminationMonitor: when a run is over, and with which status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from actions import (
    Action,
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
)
from actions.rewards import is_success
from agent.env import Info
from agent.repetition import RepetitionCounter

Status = Literal["success", "failure", "budget", "stopped", "error"]
StopReason = Literal[
    "verdict",
    "own word",
    "refuted",
    "no output",
    "bad calls",
    "no progress",
    "denied",
    "budget",
    "interrupted",
    "signal",
    "machine",
    "hook",
]
Verdict = Mapping[str, Any]  # done: bool, reward: float | None


@dataclass(frozen=True)
class Termination:
    """How a run ended and why."""

    status: Status
    cause: StopReason
    message: str  # the same as a sentence for the user


@dataclass(frozen=True)
class TurnResult:
    """The state of the environment after a turn."""

    screen: Screen
    verdict: Verdict | None  # the task's; None without a task
    reward: float = 0.0
    is_over: bool = False  # the environment ended the episode
    notice: str = ""  # what the machine reported beyond its pixels
    timings_s: Mapping[str, float] = field(default_factory=dict)
    error: Error | None = None
    is_busy: bool = False  # something that was started still runs
    refusals: int = 0  # pages that the network rules refused

    @classmethod
    def from_info(cls, info: Info, reward: float = 0.0, is_over: bool = False) -> TurnResult:
        """Create the result from what `reset` or `step` of an environment returned."""
        verdict = info["verdict"]
        if verdict is not None and verdict["reward"] is not None:
            verdict = {**verdict, "reward": float(verdict["reward"])}
        return cls(
            info["screen"],
            verdict,
            float(reward),
            is_over,
            info["note"],
            info.get("timings_s", {}),
            is_busy=bool(info.get("busy")),
            refusals=info.get("refusals", 0),
        )

    def with_notice(self, text: str) -> TurnResult:
        """Return the same result with `text` before its notice."""
        return replace(self, notice="\n".join(filter(None, (text, self.notice))))


@dataclass(frozen=True)
class StopLimits:
    """When a run is ended before its steps are used up."""

    bad_calls: int = 5  # invalid replies in a row
    denials: int = 3  # actions denied by the guard, and pages refused by the network rules, in all
    repeat_notice: int = 3  # same action, or same few actions in turn, on the same screen: the model gets a notice
    repeats: int = 5  # the same: the run ends
    wait_notice: int = 6  # waits in a row without a change: the model gets a notice
    waits: int = 10  # waits in a row without a change: the run ends
    minutes: float | None = None  # of the agent, without the user's time; None: any number
    tokens: int | None = None  # of prompts and replies; None: any number


MIN_COUNTED = 20  # repetitions; more than any notice needs


class TerminationMonitor:
    """Counts a run's errors and repetitions, and decides after each step whether the run is over."""

    def __init__(self, max_steps: int, limits: StopLimits) -> None:
        self.max_steps, self.limits = max_steps, limits
        self.denials = self.bad_calls = 0
        self.repetition = RepetitionCounter(limits.repeat_notice, max(limits.repeats, MIN_COUNTED))

    def check_progress(self, actions: tuple[Action, ...], screen: Screen, result: TurnResult) -> TurnResult:
        """Return the result of a turn, with a notice when the same actions repeatedly changed nothing.

        Args:
            actions: The actions of the turn; () for an invalid reply.
            screen: The screen before them.
            result: The state after them. While something runs, an unchanged screen is no lack of progress.
        """
        counter = self.repetition
        if result.is_busy and result.error is None:
            counter.reset()
            return result
        counter.add(actions, screen, result.screen, is_error=result.error is not None)
        if result.error is not None:
            return result
        if counter.count >= self.limits.repeat_notice:
            return result.with_notice(_repetition_notice(counter.count, counter.period))
        if counter.waits >= self.limits.wait_notice:
            return result.with_notice(f"{counter.waits} waits and nothing changed on the screen; do another action.")
        if counter.moving_waits >= 2 * self.limits.wait_notice:
            return result.with_notice(
                f"{counter.moving_waits} waits and almost nothing changed on the screen; do another action if this "
                "leads nowhere."
            )
        if counter.typed >= self.limits.repeat_notice:
            return result.with_notice(
                f"The same text was typed {counter.typed} times; look whether it is there more than once."
            )
        return result

    def check_verdict(self, result: TurnResult) -> Termination | None:
        """Return how the run ended if its task is done, as after actions of a person; None to continue."""
        if result.verdict and result.verdict["done"]:
            return _task_verdict(result.verdict["reward"])
        return None

    def check(self, steps: Sequence[Step], result: TurnResult) -> Termination | None:
        """Return how the run ended with the last step, None to continue.

        Where there is a task, its verdict decides; the model's own judgment counts only without a task.

        Args:
            steps: All steps of the run, including the last one.
            result: The state after the last step.
        """
        error = result.error
        mistake = (
            error if isinstance(error, InvalidActionError) and not isinstance(error, ActionRejectedError) else None
        )
        self.bad_calls = self.bad_calls + 1 if mistake else 0
        self.denials += isinstance(mistake, ActionDeniedError) + result.refusals
        action = steps[-1].action if error is None else None
        if isinstance(error, SurfaceError):
            return Termination("error", "machine", str(error))
        if isinstance(mistake, RunStoppedError):
            return Termination("stopped", "interrupted" if mistake.by_person else "denied", str(mistake))
        if result.verdict and result.verdict["done"]:
            return _task_verdict(result.verdict["reward"])
        if isinstance(action, Done | Answer):
            return _own_judgment(action, result.verdict)
        if self.denials >= self.limits.denials:
            last = mistake or result.notice
            return Termination(
                "stopped", "denied", f"{self.denials} actions or pages were denied, the last one: {last}"
            )
        if self.bad_calls >= self.limits.bad_calls:
            return Termination("failure", "bad calls", f"{self.bad_calls} invalid replies in a row: {mistake}")
        counter = self.repetition
        if counter.count >= self.limits.repeats:
            cycle = "the same action" if counter.period == 1 else f"the same {counter.period} actions in turn"
            return Termination("failure", "no progress", f"{cycle} {counter.count} times without a change")
        if counter.waits >= self.limits.waits:
            return Termination("failure", "no progress", f"{counter.waits} waits without a change")
        if result.is_over or len(steps) >= self.max_steps:
            return Termination("budget", "budget", f"not finished after {len(steps)} of {self.max_steps} steps")
        return check_budget(steps, self.limits)


def check_budget(steps: Sequence[Step], limits: StopLimits) -> Termination | None:
    """Return how a run ends whose minutes or tokens are used up, None where they are not.

    Args:
        steps: All steps of the run.
        limits: When it ends.
    """
    used_minutes = sum(step.seconds for step in steps) / 60
    if limits.minutes is not None and used_minutes >= limits.minutes:
        message = f"not finished after {used_minutes:.1f} of {limits.minutes:g} minutes and {len(steps)} steps"
        return Termination("budget", "budget", message)
    if limits.tokens is None:
        return None
    used_tokens = sum(step.reply.prompt_tokens + step.reply.reply_tokens for step in steps)
    if steps and not used_tokens:
        message = "--max-tokens cannot be followed: the replies come without token counts. Remove it"
        return Termination("error", "machine", message)
    if used_tokens >= limits.tokens:
        message = f"not finished after {used_tokens} of {limits.tokens} tokens and {len(steps)} steps"
        return Termination("budget", "budget", message)
    return None


def _repetition_notice(count: int, period: int) -> str:
    if period == 1:
        return f"This action was done {count} times and nothing changed on the screen; do another."
    return f"The last {period} actions were done {count} times in turn and nothing changed on the screen; do another."


def _task_verdict(reward: float | None) -> Termination:
    if reward is not None and is_success(reward):
        return Termination("success", "verdict", "the task is done")
    return Termination("failure", "verdict", "the task ended without success")


def _own_judgment(action: Done | Answer, verdict: Verdict | None) -> Termination:
    if verdict is not None:
        if isinstance(action, Done) and action.message:
            return Termination("failure", "verdict", f"the task is not done: {action.message}")
        return Termination("failure", "verdict", "the model ended the run, but the task is not done")
    if isinstance(action, Answer):
        return Termination("success", "own word", action.text)
    return Termination(action.status, "own word", action.message or f"the model reports {action.status}")
