"""Compare two runs over the same tasks: McNemar's test and a paired bootstrap.

The tasks of one image or episode are not independent, so the bootstrap resamples whole clusters. McNemar's exact test
treats each task as independent.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import parse_json_lines, read_text
from evals.run_folder import RESULT, VERDICTS
from evals.stats import BOOTSTRAP_DRAWS, bootstrap, mcnemar, mean

Verdict = Mapping[str, Any]  # one line of verdicts.jsonl


@dataclass(frozen=True)
class RunComparison:
    """The difference of run B minus run A."""

    a: str
    b: str
    tasks: int
    clusters: int
    score_a: float  # mean score, 0 to 1
    score_b: float
    difference: float  # score_b - score_a
    low: float  # 95 % bootstrap interval of the difference
    high: float
    both: int  # tasks that both solved
    only_a: int
    only_b: int
    neither: int
    p: float  # McNemar's test, exact, two-sided

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        methods = {
            "interval": f"paired bootstrap over clusters, {BOOTSTRAP_DRAWS:,} draws",
            "p": "McNemar, exact, two-sided",
        }
        return {**asdict(self), "methods": methods}

    def format(self) -> str:
        """Return the comparison as text."""
        contains_zero = self.low <= 0 <= self.high
        conclusion = (
            "the interval contains 0: no significant difference" if contains_zero else "the interval excludes 0"
        )
        return "\n".join(
            [
                f"A {100 * self.score_a:6.2f} %  {self.a}",
                f"B {100 * self.score_b:6.2f} %  {self.b}",
                f"B - A {100 * self.difference:+.2f} points, 95 % {100 * self.low:+.2f} to {100 * self.high:+.2f} "
                f"({self.tasks:,} tasks in {self.clusters:,} clusters); {conclusion}",
                f"correct in both {self.both:,}, in A alone {self.only_a:,}, in B alone {self.only_b:,}, "
                f"in neither {self.neither:,}; McNemar p = {self.p:.3g}",
            ]
        )


def compare(a: Path, b: Path, seed: int = 0) -> RunComparison:
    """Compare two runs.

    Args:
        a: A run's folder, or a file that `agent score --verdicts` wrote.
        b: Another one over the same tasks.
        seed: Random seed of the bootstrap.

    Raises:
        UsageError: The runs have different benchmarks, revisions, protocols or tasks.
    """
    head_a, verdicts_a = _read_verdicts(a)
    head_b, verdicts_b = _read_verdicts(b)
    for key in head_a.keys() & head_b.keys():
        if head_a[key] != head_b[key]:
            raise UsageError(
                f"{a} and {b} cannot be compared: {key} is {head_a[key]!r} in one and {head_b[key]!r} in the other"
            )
    unpaired = sorted(verdicts_a.keys() ^ verdicts_b.keys())
    if unpaired:
        raise UsageError(
            f"{a} and {b} do not have the same tasks: {len(unpaired):,} are in one only, the first '{unpaired[0]}'"
        )
    if not verdicts_a:
        raise UsageError(f"{a} and {b} have no tasks")
    pairs = [(verdicts_a[name], verdicts_b[name]) for name in verdicts_a]
    correct = [(first["outcome"] == "correct", second["outcome"] == "correct") for first, second in pairs]
    differences: dict[str, list[float]] = defaultdict(list)
    for first, second in pairs:
        differences[str(first.get("cluster", first["id"]))].append(float(second["score"]) - float(first["score"]))
    only_a, only_b = correct.count((True, False)), correct.count((False, True))
    low, high = bootstrap(list(differences.values()), seed)
    score_a, score_b = (mean(float(pair[side]["score"]) for pair in pairs) for side in (0, 1))
    return RunComparison(
        str(a),
        str(b),
        len(pairs),
        len(differences),
        score_a,
        score_b,
        score_b - score_a,
        low,
        high,
        correct.count((True, True)),
        only_a,
        only_b,
        correct.count((False, False)),
        mcnemar(only_a, only_b),
    )


def _read_verdicts(path: Path) -> tuple[dict[str, Any], dict[str, Verdict]]:
    """Return (what must be equal in both runs, {id: verdict}) of a run's folder or a file of verdicts."""
    head: dict[str, Any] = {}
    file = path
    if path.is_dir():
        file = path / VERDICTS
        if not file.is_file():
            raise UsageError(f"{path} has no finished run; run its command again to finish it")
        result = json.loads((path / RESULT).read_text(encoding="utf-8"))
        head = {key: result[key] for key in ("benchmark", "revision", "protocol")}
    verdicts: dict[str, Verdict] = {}
    for number, verdict in parse_json_lines(read_text(file), file):
        if not isinstance(verdict, dict) or not {"id", "outcome", "score"} <= verdict.keys():
            raise UsageError(
                f"{file}, line {number}: not a verdict; give a run's folder or a file of `agent score --verdicts`"
            )
        verdicts[str(verdict["id"])] = verdict
    return head, verdicts
