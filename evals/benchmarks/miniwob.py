"""MiniWoB++, live: success is the page's own raw reward of 1. Knows tasks and seeds; loop and screen are others'.

Protocol: each task with each seed once, the package's own pages and seeding, pixels and the instruction as text, at
most 30 steps; the page's ten-second clock is stopped, for a model's speed is reported beside its score, not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from actions import SurfaceError, UsageError
from agent.loop import run
from agent.policy import Policy
from envs import practice

MAX_STEPS = 30


@dataclass
class TaskScore:
    """One task's count. broken: seeds on which the machine failed; they are in no score and are listed."""

    success: int = 0
    total: int = 0
    failed: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """All tasks, and the median time of a step in milliseconds, screenshot to screenshot."""

    tasks: dict[str, TaskScore]
    step_ms: float

    @property
    def mean(self) -> float:
        """Mean over tasks of the share that succeeded."""
        shares = [score.success / score.total for score in self.tasks.values() if score.total]
        return sum(shares) / len(shares) if shares else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "tasks": {
                task: {"success": one.success, "total": one.total, "failed": one.failed, "broken": one.broken}
                for task, one in self.tasks.items()
            },
            "mean": round(self.mean, 4),
            "step_ms": round(self.step_ms, 1),
        }


def evaluate(
    policy: Policy,
    tasks: Sequence[str],
    seeds: range,
    *,
    max_steps: int = MAX_STEPS,
    make_env: Callable[[str], Any] | None = None,
    on_result: Callable[[str, int, str], None] = lambda task, seed, status: None,
) -> Report:
    """Run every task on every seed. make_env(task) gives an environment, by default the practice page in a browser."""
    if not tasks or not seeds:
        raise UsageError("name at least one task and one seed: --tasks click-test --seeds 900000:900050")
    for task in tasks:
        practice.page(task)  # UsageError for an unknown one, before anything runs
    if make_env is None:
        from envs.live import practice_env

        make_env = practice_env
    scores: dict[str, TaskScore] = {}
    step_s: list[float] = []
    for task in tasks:
        score = scores[task] = TaskScore()
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
    return Report(scores, median(step_s) * 1000 if step_s else 0.0)


def table(report: Report, facts: Mapping[str, Any]) -> str:
    """The report for a person."""
    lines = [f"{name:12} {value}" for name, value in facts.items()]
    for task, one in report.tasks.items():
        share = f"{100 * one.success / one.total:5.1f} %" if one.total else "    -  "
        broken = f"   machine failed on {len(one.broken)}" if one.broken else ""
        lines.append(f"{task:28} {one.success:4d} of {one.total:4d}  {share}{broken}")
    lines.append(f"{'mean over tasks':28} {'':12}  {100 * report.mean:5.1f} %")
    lines.append(f"{'median step':28} {report.step_ms:.0f} ms")
    return "\n".join(lines)


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
