"""MiniWoB++, live: success is the page's own raw reward of 1. Knows tasks and seeds; loop and screen are others'.

Protocol: each task with each seed once, the package's own pages and seeding, pixels and the instruction as text, at
most 30 steps; the page's ten-second clock is stopped, for a model's speed is reported beside its score, not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from actions import SurfaceError, UsageError
from agent.loop import run
from agent.policies.base import Policy
from envs.miniwob import pages
from evals.stats import wilson

MAX_STEPS = 30


@dataclass
class TaskScore:
    """One task's count. broken: seeds on which the machine failed; they are in no score and are listed.

    step_ms: median time of a step, screenshot to screenshot, None without a step.
    """

    success: int = 0
    total: int = 0
    failed: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    step_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields, and the 95 % interval (Wilson) of the share."""
        return {**asdict(self), "interval": [round(bound, 4) for bound in wilson(self.success, self.total)]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskScore:
        return cls(**{key: value for key, value in data.items() if key != "interval"})


@dataclass(frozen=True)
class Report:
    """All tasks."""

    tasks: dict[str, TaskScore]

    @property
    def mean(self) -> float | None:
        """Mean of the share that succeeded over the tasks that have one; None where none has."""
        shares = [score.success / score.total for score in self.tasks.values() if score.total]
        return sum(shares) / len(shares) if shares else None

    @property
    def step_ms(self) -> float | None:
        """The middle one of the tasks' medians."""
        known = [score.step_ms for score in self.tasks.values() if score.step_ms is not None]
        return median(known) if known else None

    def as_dict(self) -> dict[str, Any]:
        mean, step_ms = self.mean, self.step_ms
        return {
            "tasks": {task: score.as_dict() for task, score in self.tasks.items()},
            "mean": None if mean is None else round(mean, 4),
            "step_ms": None if step_ms is None else round(step_ms, 1),
        }


def check(tasks: Sequence[str], seeds: range) -> None:
    """UsageError for no task, no seed, or a task that does not exist."""
    if not tasks or not seeds:
        raise UsageError("name at least one task and one seed: --tasks click-test --seeds 900000:900050")
    for task in tasks:
        pages.page(task)


def evaluate(
    policy: Policy,
    tasks: Sequence[str],
    seeds: range,
    *,
    max_steps: int = MAX_STEPS,
    make_env: Callable[[str], Any] | None = None,
    on_result: Callable[[str, int, str], None] = lambda task, seed, status: None,
    on_task: Callable[[str, TaskScore], None] = lambda task, score: None,
) -> Report:
    """Run every task on every seed. make_env(task) gives an environment, by default the practice page in a browser.

    KeyboardInterrupt ends it without a report: half of the seeds are another benchmark.
    """
    check(tasks, seeds)
    if make_env is None:
        from envs.miniwob.env import miniwob_env

        make_env = miniwob_env
    scores: dict[str, TaskScore] = {}
    for task in tasks:
        score = scores[task] = TaskScore()
        step_s: list[float] = []
        env: Any = None
        try:
            for seed in seeds:
                try:
                    env = env or make_env(task)
                except SurfaceError:
                    score.broken.append(seed)
                    on_result(task, seed, "error")
                    continue
                episode = run("", env, policy, max_steps=max_steps, seed=seed)
                if episode.cause == "interrupted":
                    raise KeyboardInterrupt
                if episode.status == "error":  # the machine's trouble: a fresh one for the next seed
                    score.broken.append(seed)
                    env.close()
                    env = None
                else:
                    won = episode.reward is not None and episode.reward >= 1
                    score.total += 1
                    score.success += won
                    if not won:
                        score.failed.append(seed)
                    step_s += [step.seconds for step in episode.steps]
                on_result(task, seed, episode.status)
        finally:
            if env is not None:
                env.close()
        score.step_ms = round(median(step_s) * 1000, 1) if step_s else None
        on_task(task, score)
    return Report(scores)


def table(report: Report, facts: Mapping[str, Any]) -> str:
    """The report for a person."""
    lines = [f"{name:12} {value}" for name, value in facts.items()]
    lines += [line(task, score) for task, score in report.tasks.items()]
    if report.mean is not None:
        lines.append(f"{'mean over tasks':28} {'':12}  {100 * report.mean:5.1f} %")
    if report.step_ms is not None:
        lines.append(f"{'median step':28} {report.step_ms:.0f} ms")
    return "\n".join(lines)


def line(task: str, score: TaskScore) -> str:
    """One task for a person: count, share, 95 % interval."""
    words = f"{task:28} {score.success:4d} of {score.total:4d}"
    if score.total:
        low, high = (100 * bound for bound in wilson(score.success, score.total))
        words += f"  {100 * score.success / score.total:5.1f} %  {f'({low:.0f} to {high:.0f} %)':15}"
    if score.broken:
        words += f"  machine failed on {len(score.broken)}"
    return words.rstrip()


def parse_seeds(text: str) -> range:
    """ "900000:900050" -> range(900000, 900050); UsageError when it is no such range."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UsageError(f"--seeds takes FIRST:LAST with FIRST below LAST, like 900000:900050, not '{text}'")
    return range(int(first), int(last))


def stopwatch() -> Callable[[], float]:
    """Seconds since this call, each time it is asked."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
