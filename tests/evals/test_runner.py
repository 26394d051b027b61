"""Runs of recorded benchmarks: the same bytes for any number of workers and crashes, and no lost work."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.eventually import eventually
from PIL import Image

from actions import SurfaceError, UsageError
from evals import runner
from evals.journal import JOURNAL, open_journal
from evals.run_folder import PREDICTIONS, RESULT, RUN, VERDICTS
from evals.scoring import score_file
from evals.workers.spec import RunSpec, parse_identity

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
FILES = (RUN, PREDICTIONS, VERDICTS, RESULT)


@pytest.fixture(autouse=True)
def python_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


def make_record(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "img_filename": f"{n // 2}.png",
        "bbox": [0, 0, 30, 40],
        "instruction": f"press {n}",
        "id": f"word_{n}",
        "application": "word",
        "platform": "macos",
        "img_size": [60, 40],
        "ui_type": "icon" if n % 2 else "text",
        "group": "Office",
        **changes,
    }


def make_pro(folder: Path, count: int, **changes: dict[str, Any]) -> Path:
    """Write a ScreenSpot-Pro with two samples per image; return its folder."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    records = [make_record(n, **changes.get(f"word_{n}", {})) for n in range(count)]
    (folder / "annotations" / "word_macos.json").write_text(json.dumps(records))
    for n in range((count + 1) // 2):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{n}.png")
    return folder


def make_control(folder: Path, episodes: int, steps: int) -> Path:
    """Write an AndroidControl whose episodes have one more image than steps; return its folder."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for episode in range(episodes):
        records = []
        for step in range(steps):
            name = f"{episode}_{step}.png"
            Image.new("RGB", (54, 120), (episode * 40, step * 50, 9)).save(folder / "images" / name)
            click = {"action": "click", "coordinate": [20, 60], "candidate_bbox": [[10, 40, 40, 100]]}
            records.append({"screenshot": f"/x/{name}", "step_instruction": f"do {step}", "check_options": click})
        Image.new("RGB", (54, 120), (9, 9, episode)).save(folder / "images" / f"{episode}_{steps}.png")
        lines.append(json.dumps({"episode_id": episode, "goal": f"goal {episode}", "steps": records}))
    (folder / "test_8444.jsonl").write_text("\n".join(lines))
    return folder


def make_run(name: str, data: Path, factory: str = "hashed", **options: Any) -> tuple[runner.RunPlan, RunSpec]:
    plan = runner.plan_run(
        name, data, options.pop("protocol", None), options.pop("limit", None), options.get("seed", 0)
    )
    values = {"model": "a model", "fingerprint": "f", **options}
    return plan, RunSpec(name, str(data), plan.protocol, policy_factory=f"helpers.eval_runs:{factory}", **values)


def read_files(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


def read_journal(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]


def copy_run(source: Path, out: Path, journal: bytes) -> Path:
    """Write a folder with the run.json of another and the given journal."""
    out.mkdir()
    (out / RUN).write_bytes((source / RUN).read_bytes())
    (out / JOURNAL).write_bytes(journal)
    return out


def test_worker_count_does_not_change_files(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 24))
    summary = runner.run_predictions(plan, spec, tmp_path / "one")
    runner.run_predictions(plan, spec, tmp_path / "three", workers=3)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "three")
    assert summary["total"] == 24
    assert 0 < summary["correct"] < 24
    assert summary["wrong_format"] > 0
    assert summary["broken"] == 0
    assert summary["revision"]
    assert summary["protocol"] == "sspro-official"


def test_predictions_file_scores_the_same(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 12))
    summary = runner.run_predictions(plan, spec, tmp_path / "out")
    scored = score_file("screenspot-pro", tmp_path / "data", tmp_path / "out" / PREDICTIONS).as_dict()
    for key in ("correct", "total", "wrong_format", "metrics"):
        assert scored[key] == summary[key]
    assert summary["about"] == {"model": "a model", "fingerprint": "f", "prompt_hash": "plain"}
    assert scored["about"].items() >= summary["about"].items()


def test_finished_run_starts_no_worker(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 4))
    summary = runner.run_predictions(plan, spec, tmp_path / "out")
    files = read_files(tmp_path / "out")
    assert runner.run_predictions(plan, spec, tmp_path / "out", command=["false"]) == summary
    assert read_files(tmp_path / "out") == files


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 4))
    runner.run_predictions(plan, spec, tmp_path / "out")
    changes: list[dict[str, Any]] = [{"fingerprint": "g"}, {"level": "low"}, {"seed": 3}, {"grounder": "h"}]
    for change in [*changes, {"options": {"zoom": "on"}}]:
        with pytest.raises(UsageError, match=f"holds a run with {next(iter(change))}"):
            runner.run_predictions(plan, replace(spec, **change), tmp_path / "out")
    with pytest.raises(UsageError, match="holds a run with limit None, and this one has 2"):
        runner.run_predictions(plan, spec, tmp_path / "out", limit=2)
    (tmp_path / "out" / RUN).unlink()
    with pytest.raises(UsageError, match=r"predictions but no run\.json"):
        runner.run_predictions(plan, spec, tmp_path / "out")


def test_run_of_version_0_1_is_continued(tmp_path: Path) -> None:
    """A journal without outcomes, and a run.json that joins the two models into one string."""
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 8))
    runner.run_predictions(plan, spec, tmp_path / "new")
    old = [{key: entry[key] for key in ("id", "line", "score", "seconds")} for entry in read_journal(tmp_path / "new")]
    journal = "".join(json.dumps(entry) + "\n" for entry in old[:5])
    out = copy_run(tmp_path / "new", tmp_path / "old", journal.encode())
    runner.run_predictions(plan, spec, out)
    assert read_files(out) == read_files(tmp_path / "new")


def test_identity_of_version_0_1_is_parsed() -> None:
    spec = RunSpec("x", "", "p", model="a", fingerprint="f", grounder="b", grounder_fingerprint="g")
    joined = {**spec.identity(), "model": "a + b", "fingerprint": "f + g", "maker": "evals.cli:pair"}
    del joined["grounder"], joined["grounder_fingerprint"]
    assert parse_identity(joined) == spec.identity()
    assert parse_identity(spec.identity()) == spec.identity()


def test_default_folder_depends_on_options(tmp_path: Path) -> None:
    spec = RunSpec("x", "", "p")
    folder = runner.default_folder(spec, "r", None)
    assert folder == runner.default_folder(RunSpec("x", "", "p"), "r", None)
    assert folder != runner.default_folder(replace(spec, options={"zoom": "on"}), "r", None)
    assert folder != runner.default_folder(spec, "r", 5)


def test_incomplete_journal_line_is_dropped(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 8))
    runner.run_predictions(plan, spec, tmp_path / "complete")
    lines = (tmp_path / "complete" / JOURNAL).read_bytes().splitlines(keepends=True)
    out = copy_run(tmp_path / "complete", tmp_path / "torn", b"".join(lines[:5]) + lines[5][:-9])
    reports: list[runner.Progress] = []
    runner.run_predictions(plan, spec, out, on_progress=reports.append)
    assert read_files(out) == read_files(tmp_path / "complete")
    assert (reports[0].done, reports[-1].done, reports[-1].total) == (6, 8, 8)
    assert sorted(entry["id"] for entry in read_journal(out)) == sorted(plan.ids)


def test_damaged_journal_is_refused(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 2))
    runner.run_predictions(plan, spec, tmp_path / "out")
    (tmp_path / "out" / JOURNAL).write_bytes(b"not json\n")
    with pytest.raises(UsageError, match="line 1: not a prediction"):
        runner.run_predictions(plan, spec, tmp_path / "out")


def test_interrupted_episode_continues_with_same_history(tmp_path: Path) -> None:
    plan, spec = make_run("android-control", make_control(tmp_path / "data", 3, 4), level="low")
    runner.run_predictions(plan, spec, tmp_path / "complete", workers=2)
    entries = {entry["id"]: entry for entry in read_journal(tmp_path / "complete")}
    journal = "".join(json.dumps(entries[name]) + "\n" for name in ("0/0", "0/1", "2/0"))
    out = copy_run(tmp_path / "complete", tmp_path / "half", journal.encode())
    runner.run_predictions(plan, spec, out)
    assert read_files(out) == read_files(tmp_path / "complete")
    lines = [json.loads(line) for line in (out / PREDICTIONS).read_text().splitlines()[1:]]
    assert [line["id"] for line in lines] == [f"{e}/{s}" for e in range(3) for s in range(4)]
    assert len({line["reply"] for line in lines}) > 4  # replies depend on the history


def test_bad_reply_costs_only_its_step(tmp_path: Path) -> None:
    data = make_control(tmp_path / "data", 4, 4)
    summary = runner.run_predictions(*make_run("android-control", data, "no_click"), tmp_path / "out")
    assert summary["total"] == 16
    assert summary["missing"] == 0
    assert summary["correct"] == 0
    assert 0 < summary["wrong_format"] < 16


def test_extra_tasks_of_a_protocol_are_run(tmp_path: Path) -> None:
    data = make_control(tmp_path / "data", 4, 4)
    summary = runner.run_predictions(*make_run("android-control", data, "center"), tmp_path / "center")
    assert (summary["correct"], summary["metrics"]["episode_success"]["correct"]) == (16, 4)
    plan, spec = make_run("android-control", data, "center", protocol="agentcpm-10161")
    stops = runner.run_predictions(plan, spec, tmp_path / "stops")
    assert (stops["correct"], stops["total"], stops["broken"]) == (16, 20, 0)  # with a stop after each episode


@pytest.fixture
def damaged_data(tmp_path: Path) -> Path:
    """word_1 kills its worker, word_4 fails while a flag exists, word_5's image is damaged, word_6 has none."""
    changes = {
        "word_1": {"instruction": "poison"},
        "word_4": {"instruction": "flaky", "img_filename": "4.png"},
        "word_6": {"img_filename": "no"},
    }
    data = make_pro(tmp_path / "data", 8, **changes)
    (data / "images" / "2.png").write_bytes(b"not an image")
    Image.new("RGB", (60, 40)).save(data / "images" / "4.png")
    return data


def test_failures_of_the_machine_are_broken(tmp_path: Path, damaged_data: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    plan, spec = make_run("screenspot-pro", damaged_data, "crashing", model=str(flag))
    summary = runner.run_predictions(plan, spec, tmp_path / "out", workers=2)
    reasons = {task["id"]: task["why"] for task in summary["broken_ids"]}
    assert set(reasons) == {"word_1", "word_4", "word_5", "word_6"}
    assert reasons["word_1"] == "2 worker processes died on it (exit code 9)"
    assert reasons["word_4"] == "the card fell off the bus"
    assert "2.png" in reasons["word_5"]
    assert reasons["word_6"] == runner.MISSING_IMAGE
    assert summary["total"] == 4
    assert summary["missing"] == 0
    assert "4 tasks are broken and count in no figure" in summary["notes"][-1]
    flag.unlink()
    summary = runner.run_predictions(plan, spec, tmp_path / "out")  # broken tasks are tried again
    assert summary["total"] == 5
    assert summary["broken"] == 3


def test_run_without_predictions_has_no_score(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 2)
    with pytest.raises(SurfaceError, match="no device is there"):
        runner.run_predictions(*make_run("screenspot-pro", data, "failing"), tmp_path / "out")
    for path in (data / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(SurfaceError, match=r"none of 2 tasks could be run: .*0\.png"):
        runner.run_predictions(*make_run("screenspot-pro", data), tmp_path / "out2")
    assert not (tmp_path / "out2" / RESULT).exists()


def test_plan_without_images_names_source(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 2)
    for path in (data / "images").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=r"no image of screenspot-pro .* get them from huggingface"):
        runner.plan_run("screenspot-pro", data)


def test_limit_samples_by_seed_in_order(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 30)
    first, again, other = (runner.plan_run("screenspot-pro", data, limit=5, seed=seed).ids for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len(first) == 5
    assert list(first) == sorted(first, key=lambda name: int(name.split("_")[1]))


def test_limit_samples_complete_episodes(tmp_path: Path) -> None:
    data = make_control(tmp_path / "control", 4, 3)
    assert len(runner.plan_run("android-control", data, limit=2).ids) == 6
    (data / "images" / "1_1.png").unlink()
    plan = runner.plan_run("android-control", data)
    assert len(plan.ids) == 9
    assert set(plan.broken) == {"1/0", "1/1", "1/2"}


def test_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 2))
    with open_journal(tmp_path / "out"), pytest.raises(UsageError, match="another run is writing"):
        runner.run_predictions(plan, spec, tmp_path / "out")


def test_progress_is_one_line() -> None:
    line = runner.Progress(120, 1581, 2, 0.4123, 2.5, 584.0).line()
    assert line == "120 of 1,581  2.50/s  about 10 min left  score so far 41.2 %  broken 2"


PROGRAM = """
import sys
from pathlib import Path
from evals import runner
from evals.workers.spec import RunSpec
name, data, out = sys.argv[1:4]
plan = runner.plan_run(name, Path(data))
factory = "helpers.eval_runs:slow"
spec = RunSpec(name, data, plan.protocol, policy_factory=factory, model="a model", fingerprint="f")
runner.run_predictions(plan, spec, Path(out), workers=4)
"""


def start(name: str, data: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, name, str(data), str(out)], cwd=ROOT)


def count_lines(out: Path) -> int:
    try:
        return (out / JOURNAL).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def kill_and_resume(name: str, data: Path, out: Path, line_counts: list[int], total: int, complete: Path) -> int:
    """Kill the run when its journal reaches each of the counts, then finish it; return the number of kills."""
    kills = 0
    for line_count in sorted(line_counts):
        process = start(name, data, out)
        while process.poll() is None:
            if count_lines(out) >= line_count:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
    assert start(name, data, out).wait(timeout=900) == 0
    assert read_files(out) == read_files(complete)
    ids = [entry["id"] for entry in read_journal(out)]
    assert len(ids) == len(set(ids)) == total  # nothing was lost and nothing was run twice
    return kills


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [pytest.param("screenspot-pro", marks=pytest.mark.slow), "android-control"])
def test_killed_and_resumed_run_has_same_files(name: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 40) if "pro" in name else make_control(tmp_path / "data", 8, 5)
    assert start(name, data, tmp_path / "complete").wait(timeout=900) == 0
    assert kill_and_resume(name, data, tmp_path / "out", [7], 40, tmp_path / "complete") == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    """Ten runs of four workers, each killed five times, half of them over episodes."""
    rng = random.Random(11)
    makers: dict[str, Callable[[Path], Path]] = {
        "screenspot-pro": lambda folder: make_pro(folder, 60),
        "android-control": lambda folder: make_control(folder, 12, 5),
    }
    data = {name: make(tmp_path / name) for name, make in makers.items()}
    kills = 0
    for number in range(10):
        name = list(data)[number % 2]
        complete = tmp_path / f"complete-{name}"
        if not complete.exists():
            assert start(name, data[name], complete).wait(timeout=900) == 0
        line_counts = rng.sample(range(56), 5)
        kills += kill_and_resume(name, data[name], tmp_path / f"out-{number}", line_counts, 60, complete)
    assert kills == 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_workers_exit_with_a_killed_run(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 40)
    process = start("screenspot-pro", data, tmp_path / "out")
    eventually(lambda: count_lines(tmp_path / "out"))
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(workers) == 4
    process.kill()
    process.wait()
    eventually(lambda: not any(map(is_alive, workers)), timeout_s=90)


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
