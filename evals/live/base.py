"""The shape of a live benchmark: tasks that are run on a real screen and judged by their own reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from actions import UsageError
from actions.plugins import load_plugin
from agent.env import Env
from evals.stats import wilson

FOLDER = "evals.live"


@dataclass(frozen=True)
class LiveBenchmark:
    """A live benchmark: named tasks, each with an environment that is seeded by `reset`."""

    name: str
    check_task: Callable[[str], object]  # raises UsageError for an unknown task
    make_env: Callable[[str], Env]  # the environment of a task
    default_tasks: Callable[[], Sequence[str]]
    max_steps: int  # per episode


@dataclass
class LiveTaskScore:
    """The successes of one task over its seeds."""

    success: int = 0
    total: int = 0
    failed: list[int] = field(default_factory=list)  # seeds
    broken: list[int] = field(default_factory=list)  # seeds on which the machine failed, in no score
    step_ms: float | None = None  # median duration of a step, screenshot to screenshot; None without a step

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the 95 % Wilson interval of the success rate."""
        return {**asdict(self), "interval": [round(bound, 4) for bound in wilson(self.success, self.total)]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LiveTaskScore:
        """Return a score from the data of `as_dict`."""
        return cls(**{key: value for key, value in data.items() if key != "interval"})


@dataclass(frozen=True)
class LiveReport:
    """The scores of all tasks."""

    tasks: dict[str, LiveTaskScore]

    @property
    def mean(self) -> float | None:
        """Mean success rate over the tasks that have one, 0 to 1; None where none has."""
        rates = [score.success / score.total for score in self.tasks.values() if score.total]
        return sum(rates) / len(rates) if rates else None

    @property
    def step_ms(self) -> float | None:
        """Median of the tasks' medians, in milliseconds."""
        medians = [score.step_ms for score in self.tasks.values() if score.step_ms is not None]
        return median(medians) if medians else None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        mean, step_ms = self.mean, self.step_ms
        return {
            "tasks": {task: score.as_dict() for task, score in self.tasks.items()},
            "mean": None if mean is None else round(mean, 4),
            "step_ms": None if step_ms is None else round(step_ms, 1),
        }


def load_live_benchmark(name: str) -> LiveBenchmark:
    """Return a live benchmark by name.

    Raises:
        UsageError: There is no such benchmark.
    """
    benchmark: LiveBenchmark = load_plugin(FOLDER, name).BENCHMARK
    return benchmark


def check_tasks(bench: LiveBenchmark, tasks: Sequence[str], seeds: range) -> None:
    """Check that there is something to run.

    Raises:
        UsageError: There is no task or no seed, or a task does not exist.
    """
    if not tasks or not seeds:
        raise UsageError("at least one task and one seed are needed: --tasks click-test --seeds 900000:900050")
    for task in tasks:
        bench.check_task(task)


def parse_seeds(text: str) -> range:
    """Return the range of "FIRST:LAST", LAST not included.

    Raises:
        UsageError: The text is not such a range.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UsageError(f"--seeds takes FIRST:LAST with FIRST below LAST, such as 900000:900050, not '{text}'")
    return range(int(first), int(last))


def format_report(report: LiveReport, facts: Mapping[str, Any]) -> str:
    """Return the report as a table."""
    lines = [f"{name:12} {value}" for name, value in facts.items()]
    lines += [format_score(task, score) for task, score in report.tasks.items()]
    if report.mean is not None:
        lines.append(f"{'mean over tasks':28} {'':12}  {100 * report.mean:5.1f} %")
    if report.step_ms is not None:
        lines.append(f"{'median step':28} {report.step_ms:.0f} ms")
    return "\n".join(lines)


def format_score(task: str, score: LiveTaskScore) -> str:
    """Return one task's count, rate and 95 % interval as a line."""
    line = f"{task:28} {score.success:4d} of {score.total:4d}"
    if score.total:
        low, high = (100 * bound for bound in wilson(score.success, score.total))
        line += f"  {100 * score.success / score.total:5.1f} %  {f'({low:.0f} to {high:.0f} %)':15}"
    else:
        line += f"  {'n/a':>7}"
    if score.broken:
        line += f"  machine failed on {len(score.broken)}"
    return line.rstrip()
