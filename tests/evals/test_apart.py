"""Tasks in processes of their own: one report, one sentence when one fails, and none that stays behind."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from actions import Error, SurfaceError, UsageError
from evals.benchmarks.miniwob import TaskScore
from evals.cli import app
from evals.workers.miniwob import evaluate_parallel

PROGRAM = """
import json, sys, time
task = sys.argv[sys.argv.index("--tasks") + 1]
if task == "slow":
    time.sleep(60)
if task in ("usage", "machine", "nobody"):
    print("1 of 2 is done\\nno such thing", file=sys.stderr)
    sys.exit({"usage": 2, "machine": 5, "nobody": 9}[task])
if task == "ctrl-c":
    sys.exit(130)
score = {"success": len(task), "total": 20, "failed": [7], "broken": [], "interval": [0, 1], "step_ms": 10 * len(task)}
report = {"tasks": {task: score}, "model": "m", "fingerprint": "other" if task == "odd" else "f", "prompt": "p"}
print(json.dumps(report))
"""
FAKE = [sys.executable, "-c", PROGRAM]


def test_the_tasks_come_back_as_one_report_in_their_order() -> None:
    told: list[str] = []
    report, facts = evaluate_parallel(
        ["aaa", "b", "cc"], 2, ["--seeds", "0:20"], command=FAKE, on_task=lambda task, score: told.append(task)
    )
    assert list(report.tasks) == ["aaa", "b", "cc"] and sorted(told) == ["aaa", "b", "cc"]
    assert report.tasks["cc"] == TaskScore(2, 20, [7], [], 20.0)
    assert report.mean == pytest.approx(0.1) and report.step_ms == 20.0
    assert facts == {"model": "m", "fingerprint": "f", "prompt": "p"}


@pytest.mark.parametrize(
    ("task", "kind"),
    [("usage", UsageError), ("machine", SurfaceError), ("nobody", Error), ("ctrl-c", KeyboardInterrupt)],
)
def test_one_that_fails_ends_the_others_with_its_sentence(task: str, kind: type[BaseException]) -> None:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        evaluate_parallel(["slow", task], 2, [], command=FAKE)
    assert time.monotonic() - began < 20
    if kind is not KeyboardInterrupt:
        assert str(caught.value) == "no such thing"


def test_a_model_that_changes_meanwhile_is_no_one_model() -> None:
    with pytest.raises(UsageError, match="changed while it was measured"):
        evaluate_parallel(["aaa", "odd"], 1, [], command=FAKE)


def test_the_command_is_what_is_run() -> None:
    """The real one, as far as its first complaint."""
    with pytest.raises(UsageError, match="no model 'no such model'"):
        evaluate_parallel(["click-test"], 2, ["--seeds", "0:2", "--model", "no such model"])


@pytest.mark.slow
def test_two_at_a_time_score_as_one_after_the_other(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    options = ["miniwob", "--tasks", "click-test,focus-text", "--seeds", "900000:900006", "--json"]
    both = [CliRunner().invoke(app, [*options, "--workers", str(count)]) for count in (1, 2)]
    assert [one.exit_code for one in both] == [0, 0], both[1].output
    one, two = (json.loads(result.stdout.strip().splitlines()[-1]) for result in both)
    for task in one["tasks"]:
        assert one["tasks"][task]["failed"] == two["tasks"][task]["failed"]
    assert one["fingerprint"] == two["fingerprint"] and one["seeds"] == two["seeds"]
