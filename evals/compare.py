"""Two runs over the same tasks: is one better, or was it luck? Knows verdicts; knows no model.

Tasks of one picture or episode stand and fall together, so the bootstrap draws whole clusters; McNemar's exact test
asks of the tasks on which the two differ whether they split evenly, and takes each for itself.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.runner import RESULT, VERDICTS
from evals.scoring import json_lines, mean

DRAWS = 10_000


@dataclass(frozen=True)
class Comparison:
    """B minus A. difference: of the mean scores, low and high its 95 % bootstrap interval; p is of McNemar's test.

    only_a, only_b: tasks that one alone got right; both: right in both; neither.
    """

    a: str
    b: str
    tasks: int
    clusters: int
    score_a: float
    score_b: float
    difference: float
    low: float
    high: float
    both: int
    only_a: int
    only_b: int
    neither: int
    p: float

    def as_dict(self) -> dict[str, Any]:
        tests = {"interval": f"paired bootstrap over clusters, {DRAWS:,} draws", "p": "McNemar, exact, two-sided"}
        return {**asdict(self), "methods": tests}

    def story(self) -> str:
        sure = "the interval holds 0: this may be luck" if self.low <= 0 <= self.high else "the interval leaves out 0"
        return "\n".join(
            [
                f"A {100 * self.score_a:6.2f} %  {self.a}",
                f"B {100 * self.score_b:6.2f} %  {self.b}",
                f"B - A {100 * self.difference:+.2f} points, 95 % {100 * self.low:+.2f} to {100 * self.high:+.2f} "
                f"({self.tasks:,} tasks in {self.clusters:,} clusters); {sure}",
                f"right in both {self.both:,}, in A alone {self.only_a:,}, in B alone {self.only_b:,}, "
                f"in neither {self.neither:,}; McNemar p = {self.p:.3g}",
            ]
        )


def compare(a: Path, b: Path, seed: int = 0) -> Comparison:
    """Compare two runs' folders or files of verdicts. UsageError unless they judged the same tasks in the same way."""
    head_a, words_a = _verdicts(a)
    head_b, words_b = _verdicts(b)
    for key in head_a.keys() & head_b.keys():
        if head_a[key] != head_b[key]:
            raise UsageError(
                f"{a} and {b} cannot be compared: {key} is {head_a[key]!r} in one, {head_b[key]!r} in the other"
            )
    lonely = sorted(words_a.keys() ^ words_b.keys())
    if lonely:
        raise UsageError(
            f"{a} and {b} did not judge the same tasks: {len(lonely):,} are in one alone, the first '{lonely[0]}'"
        )
    if not words_a:
        raise UsageError(f"{a} and {b} hold no task")
    pairs = [(words_a[name], words_b[name]) for name in words_a]
    right = [(one["outcome"] == "correct", two["outcome"] == "correct") for one, two in pairs]
    sums: dict[str, list[float]] = defaultdict(list)
    for one, two in pairs:
        sums[str(one.get("cluster", one["id"]))].append(float(two["score"]) - float(one["score"]))
    only_a, only_b = right.count((True, False)), right.count((False, True))
    low, high = bootstrap(list(sums.values()), seed)
    score_a, score_b = (mean(float(pair[side]["score"]) for pair in pairs) for side in (0, 1))
    return Comparison(
        str(a),
        str(b),
        len(pairs),
        len(sums),
        score_a,
        score_b,
        score_b - score_a,
        low,
        high,
        right.count((True, True)),
        only_a,
        only_b,
        right.count((False, False)),
        mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The chance of a split as uneven as this one, or more, when either side is as likely: two-sided, exact."""
    total, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**total)) if total < 1000 else min(1.0, _normal_tail(only_a, only_b))


def _normal_tail(only_a: int, only_b: int) -> float:
    """With Edwards' correction; beyond a thousand tasks the exact sum has the same leading digits."""
    z = max(0.0, abs(only_a - only_b) - 1) / math.sqrt(only_a + only_b)
    return math.erfc(z / math.sqrt(2))


def bootstrap(clusters: Sequence[Sequence[float]], seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """The middle 95 % of the mean over tasks, when as many clusters are drawn anew, with repeats."""
    import numpy as np

    sums = np.array([math.fsum(one) for one in clusters])
    sizes = np.array([len(one) for one in clusters], dtype=float)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for n in range(draws):
        drawn = rng.integers(len(sums), size=len(sums))
        means[n] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _verdicts(path: Path) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]]]:
    """(what must be equal in both, {id: verdict}) of a run's folder or of a file of verdicts."""
    head: dict[str, Any] = {}
    file = path
    if path.is_dir():
        file = path / VERDICTS
        if not file.is_file():
            raise UsageError(f"{path} holds no finished run; the command that began it goes on with it")
        result = json.loads((path / RESULT).read_text(encoding="utf-8"))
        head = {key: result[key] for key in ("benchmark", "revision", "protocol")}
    try:
        lines = json_lines(file.read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    words: dict[str, Mapping[str, Any]] = {}
    for number, word in lines:
        if not isinstance(word, dict) or not {"id", "outcome", "score"} <= word.keys():
            raise UsageError(
                f"{file}, line {number}: no verdict; give a run's folder or a file of `agent score --verdicts`"
            )
        words[str(word["id"])] = word
    return head, words
