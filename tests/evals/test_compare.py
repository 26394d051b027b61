"""Comparison of two runs: McNemar's test, the clustered bootstrap and incomparable runs."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from actions import UsageError
from evals.cli import app
from evals.compare import compare
from evals.stats import bootstrap, mcnemar


def verdicts(path: Path, outcomes: list[tuple[str, bool]], clusters: int = 0) -> Path:
    lines = [
        {"id": name, "outcome": "correct" if is_correct else "wrong", "score": float(is_correct)}
        | ({"cluster": str(n % clusters)} if clusters else {})
        for n, (name, is_correct) in enumerate(outcomes)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (10, 2, 0.0385742), (1, 9, 0.0214844), (600, 700, 0.0060)],
)
def test_mcnemar_exact_values(a: int, b: int, p: float) -> None:
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(p, rel=0.02)


def test_compare_counts_and_interval(tmp_path: Path) -> None:
    names = [f"t{n}" for n in range(100)]
    a = verdicts(tmp_path / "a", [(name, n < 50) for n, name in enumerate(names)])
    b = verdicts(tmp_path / "b", list(reversed([(name, 5 <= n < 70) for n, name in enumerate(names)])))
    comparison = compare(a, b)
    assert (comparison.both, comparison.only_a, comparison.only_b, comparison.neither) == (45, 5, 20, 30)
    assert comparison.difference == pytest.approx(0.15)
    assert 0 < comparison.low < 0.15 < comparison.high < 0.3
    assert comparison.p == pytest.approx(0.00408, rel=0.02)
    assert "excludes 0" in comparison.format()
    back = compare(b, a)
    assert (back.difference, back.p) == (-comparison.difference, comparison.p)
    same = compare(a, a)
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    assert "no significant difference" in same.format()
    assert compare(a, b) == comparison


def test_bootstrap_is_wider_for_clusters() -> None:
    rng = random.Random(3)
    values = [rng.choice([-1.0, 0.0, 1.0]) for _ in range(40)]
    alone = bootstrap([[value] for value in values for _ in range(10)], 0)
    together = bootstrap([[value] * 10 for value in values], 0)
    assert together[1] - together[0] > 2.5 * (alone[1] - alone[0])
    assert bootstrap([[value] for value in values], 0) == bootstrap([[value] for value in values], 0)


def test_bootstrap_has_nominal_coverage() -> None:
    rng = random.Random(5)
    covered = 0
    for _ in range(200):
        clusters = [[rng.gauss(luck, 1) for _ in range(3)] for luck in (rng.gauss(0.3, 0.7) for _ in range(40))]
        low, high = bootstrap(clusters, 0, draws=400)
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.985


def test_incomparable_runs_are_refused(tmp_path: Path) -> None:
    a = verdicts(tmp_path / "a", [("x", True), ("y", False)])
    b = verdicts(tmp_path / "b", [("x", True), ("z", False)])
    with pytest.raises(UsageError, match="2 are in one only, the first 'y'"):
        compare(a, b)
    with pytest.raises(UsageError, match="has no finished run"):
        compare(tmp_path, a)
    (tmp_path / "c").write_text('{"id": "x"}\n')
    with pytest.raises(UsageError, match="line 1: not a verdict"):
        compare(tmp_path / "c", a)


def test_runs_of_two_protocols_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        verdicts(tmp_path / name / "verdicts.jsonl", [("x", True)])
        head = {"benchmark": "b", "revision": "r", "protocol": name}
        (tmp_path / name / "result.json").write_text(json.dumps(head))
    with pytest.raises(UsageError, match="protocol is 'one' in one and 'two' in the other"):
        compare(tmp_path / "one", tmp_path / "two")


def test_command_prints_text_or_json(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    a = verdicts(tmp_path / "a", [(f"t{n}", n < 3) for n in range(9)], clusters=3)
    b = verdicts(tmp_path / "b", [(f"t{n}", n < 6) for n in range(9)], clusters=3)
    result = CliRunner().invoke(app, ["compare", str(a), str(b)])
    assert result.exit_code == 0
    assert "9 tasks in 3 clusters" in result.stdout
    comparison = json.loads(CliRunner().invoke(app, ["compare", str(a), str(b), "--json"]).stdout)
    assert (comparison["only_a"], comparison["only_b"], comparison["clusters"]) == (0, 3, 3)
