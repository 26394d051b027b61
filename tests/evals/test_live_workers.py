"""Live benchmarks in worker processes: one report, continued runs, and errors of workers."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actions import Error, SurfaceError, UsageError
from evals.cli import app
from evals.journal import JOURNAL
from evals.live.base import LiveTaskScore
from evals.live_runner import run_live
from evals.workers.spec import RunSpec

ROOT = Path(__file__).parents[2]
SPEC = RunSpec("miniwob", "", "live", seeds="0:20", max_steps=30)
WORKER = """
import json, sys, time
spec = json.loads(sys.stdin.readline())["run"]
facts = {"model": "m", "fingerprint": "f", "prompt_hash": "p"}
if spec["model"] in ("usage", "machine", "other"):
    print("1 of 2 is done\\nno such thing", file=sys.stderr)
    sys.exit({"usage": 2, "machine": 5, "other": 9}[spec["model"]])
if spec["model"] == "changing":
    facts["fingerprint"] = str(time.time_ns())
print(json.dumps({"ready": facts}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if spec["model"] == "changing":
        time.sleep(20)  # until the other worker is ready
    for task in job["ids"]:
        if task == "focus-text-2" and spec["model"] == "crashing":
            sys.exit(9)
        broken = [3] if task == "focus-text" and spec["model"] == "flaky" else []
        score = {"success": len(task), "total": 20, "failed": [7], "broken": broken, "step_ms": 10.0 * len(task)}
        print(json.dumps({"id": task, "line": score}), flush=True)
    print(json.dumps({"done": job["job"]}), flush=True)
"""
COMMAND = [sys.executable, "-c", WORKER]
TASKS = ["click-test", "focus-text", "focus-text-2"]


def test_report_keeps_order_of_tasks() -> None:
    finished: list[str] = []
    report, about = run_live(SPEC, TASKS, workers=2, command=COMMAND, on_task=lambda task, score: finished.append(task))
    assert list(report.tasks) == TASKS
    assert sorted(finished) == sorted(TASKS)
    assert report.tasks["focus-text"] == LiveTaskScore(10, 20, [7], [], 100.0)
    assert report.mean == pytest.approx(32 / 60)
    assert report.step_ms == 100.0
    assert about == {"model": "m", "fingerprint": "f", "prompt_hash": "p"}


@pytest.mark.parametrize(("model", "kind"), [("usage", UsageError), ("machine", SurfaceError), ("other", Error)])
def test_worker_that_cannot_start_raises_its_error(model: str, kind: type[Error]) -> None:
    with pytest.raises(kind, match="no such thing"):
        run_live(replace(SPEC, model=model), TASKS, workers=2, command=COMMAND)


def test_workers_with_different_models_are_refused() -> None:
    with pytest.raises(UsageError, match="the model changed"):
        run_live(replace(SPEC, model="changing"), TASKS, workers=2, command=COMMAND)


def test_crashing_task_is_broken_on_all_seeds() -> None:
    report, _ = run_live(replace(SPEC, model="crashing"), TASKS, workers=2, command=COMMAND)
    assert report.tasks["focus-text-2"] == LiveTaskScore(broken=list(range(20)))
    assert report.tasks["click-test"].total == 20


def test_finished_tasks_are_not_run_again(tmp_path: Path) -> None:
    run_live(SPEC, TASKS[:1], workers=2, out=tmp_path, command=COMMAND)
    finished: list[str] = []
    report, about = run_live(
        SPEC, TASKS, workers=3, out=tmp_path, command=COMMAND, on_task=lambda task, score: finished.append(task)
    )
    assert sorted(finished) == sorted(TASKS[1:])
    assert list(report.tasks) == TASKS
    assert run_live(SPEC, TASKS, workers=2, out=tmp_path, command=["false"]) == (report, about)
    with pytest.raises(UsageError, match="holds a run with max_steps"):
        run_live(replace(SPEC, max_steps=5), TASKS, workers=2, out=tmp_path, command=COMMAND)


def test_task_with_broken_seeds_is_run_again(tmp_path: Path) -> None:
    spec = replace(SPEC, model="flaky")
    run_live(spec, TASKS[:2], workers=2, out=tmp_path, command=COMMAND)
    finished: list[str] = []
    run_live(spec, TASKS[:2], workers=2, out=tmp_path, command=COMMAND, on_task=lambda task, _: finished.append(task))
    assert finished == ["focus-text"]
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == ["click-test", "focus-text", "focus-text"]


def test_real_workers_report_unknown_model() -> None:
    with pytest.raises(UsageError, match="no model 'no such model'"):
        run_live(replace(SPEC, model="no such model"), TASKS[:1], workers=2)


def test_real_workers_use_policy_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests'}{os.pathsep}{ROOT}")
    spec = replace(SPEC, policy_factory="helpers.eval_runs:failing")
    with pytest.raises(SurfaceError, match="no device is there"):
        run_live(spec, TASKS[:1], workers=2)


@pytest.mark.slow
def test_two_workers_score_as_one() -> None:
    options = ["miniwob", "--tasks", "click-test,focus-text", "--seeds", "900000:900006", "--json"]
    results = [CliRunner().invoke(app, [*options, "--workers", str(count)]) for count in (1, 2)]
    assert [result.exit_code for result in results] == [0, 0], results[1].output
    first, second = (json.loads(result.stdout.strip().splitlines()[-1]) for result in results)
    for task in first["tasks"]:
        assert first["tasks"][task]["failed"] == second["tasks"][task]["failed"]
    assert first["fingerprint"] == second["fingerprint"]
    assert first["seeds"] == second["seeds"]
