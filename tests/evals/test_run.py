"""Running a benchmark: the same bytes for any number of workers and crashes; broken is not wrong; no work is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actions import SurfaceError, UsageError
from evals import runner, scoring
from evals.workers.process import RunSpec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = HERE.parents[2] / "shared" / "data"
FILES = (runner.RUN, runner.PREDICTIONS, runner.VERDICTS, runner.RESULT)


@pytest.fixture(autouse=True)
def makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{ROOT}")


def record(n: int, **more: Any) -> dict[str, Any]:
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
        **more,
    }


def make_pro(folder: Path, count: int, **changed: dict[str, Any]) -> Path:
    """A ScreenSpot-Pro with two samples a picture."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    records = [record(n, **changed.get(f"word_{n}", {})) for n in range(count)]
    (folder / "annotations" / "word_macos.json").write_text(json.dumps(records))
    for n in range((count + 1) // 2):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{n}.png")
    return folder


def make_control(folder: Path, episodes: int, steps: int) -> Path:
    """An AndroidControl of some episodes with pictures, one more of each than it has steps."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for episode in range(episodes):
        held = []
        for step in range(steps):
            name = f"{episode}_{step}.png"
            Image.new("RGB", (54, 120), (episode * 40, step * 50, 9)).save(folder / "images" / name)
            click = {"action": "click", "coordinate": [20, 60], "candidate_bbox": [[10, 40, 40, 100]]}
            held.append({"screenshot": f"/x/{name}", "step_instruction": f"do {step}", "check_options": click})
        Image.new("RGB", (54, 120), (9, 9, episode)).save(folder / "images" / f"{episode}_{steps}.png")
        lines.append(json.dumps({"episode_id": episode, "goal": f"goal {episode}", "steps": held}))
    (folder / "test_8444.jsonl").write_text("\n".join(lines))
    return folder


def order(name: str, data: Path, maker: str = "fickle", **more: Any) -> tuple[runner.Plan, RunSpec]:
    planned = runner.plan_run(name, data, more.pop("protocol", None), more.pop("limit", None), more.get("seed", 0))
    given = {"model": "a model", "fingerprint": "f", **more}
    return planned, RunSpec(name, str(data), planned.protocol, maker=f"helpers.eval_runs:{maker}", **given)


def files(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


def test_one_worker_and_three_write_the_same_bytes(tmp_path: Path) -> None:
    planned, asked = order("screenspot-pro", make_pro(tmp_path / "data", 24))
    told = runner.run_predictions(planned, asked, tmp_path / "one")
    runner.run_predictions(planned, asked, tmp_path / "three", workers=3)
    assert files(tmp_path / "one") == files(tmp_path / "three")
    assert told["total"] == 24 and 0 < told["correct"] < 24 and told["wrong_format"] > 0 and told["broken"] == 0
    again = scoring.score("screenspot-pro", tmp_path / "data", tmp_path / "one" / runner.PREDICTIONS).as_dict()
    assert {key: again[key] for key in ("correct", "total", "wrong_format", "metrics")} == {
        key: told[key] for key in ("correct", "total", "wrong_format", "metrics")
    }
    assert (
        told["about"]
        == {"model": "a model", "fingerprint": "f", "prompt_hash": "plain"}
        == {key: again["about"][key] for key in told["about"]}
    )
    assert told["revision"] and told["protocol"] == "sspro-official"


def test_a_finished_run_asks_nobody_and_another_run_is_refused(tmp_path: Path) -> None:
    planned, asked = order("screenspot-pro", make_pro(tmp_path / "data", 4))
    first = runner.run_predictions(planned, asked, tmp_path / "out")
    before = files(tmp_path / "out")
    assert runner.run_predictions(planned, asked, tmp_path / "out", command=["false"]) == first
    assert files(tmp_path / "out") == before
    for changed in ({"fingerprint": "g"}, {"level": "low"}, {"seed": 3}):
        with pytest.raises(UsageError, match=f"holds a run with {next(iter(changed))}"):
            runner.run_predictions(planned, replace(asked, **changed), tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds a run with limit None, and this one has 2"):
        runner.run_predictions(planned, asked, tmp_path / "out", limit=2)
    (tmp_path / "out" / runner.RUN).unlink()
    with pytest.raises(UsageError, match=r"has answers and no run\.json"):
        runner.run_predictions(planned, asked, tmp_path / "out")


def test_a_torn_line_is_forgotten_and_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    planned, asked = order("screenspot-pro", make_pro(tmp_path / "data", 8))
    runner.run_predictions(planned, asked, tmp_path / "whole")
    out = tmp_path / "torn"
    out.mkdir()
    (out / runner.RUN).write_bytes((tmp_path / "whole" / runner.RUN).read_bytes())
    lines = (tmp_path / "whole" / runner.JOURNAL).read_bytes().splitlines(keepends=True)
    (out / runner.JOURNAL).write_bytes(b"".join(lines[:5]) + lines[5][:-9])
    seen: list[runner.Progress] = []
    runner.run_predictions(planned, asked, out, on_progress=seen.append)
    assert files(out) == files(tmp_path / "whole")
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (5, 8, 8)
    held = [json.loads(line)["id"] for line in (out / runner.JOURNAL).read_text().splitlines()]
    assert sorted(held) == sorted(planned.ids)
    (out / runner.JOURNAL).write_bytes(b"not json\n")
    with pytest.raises(UsageError, match="line 1, is no answer"):
        runner.run_predictions(planned, asked, out)


def test_an_episode_goes_on_in_its_middle_with_the_same_history(tmp_path: Path) -> None:
    planned, asked = order("android-control", make_control(tmp_path / "data", 3, 4), level="low")
    runner.run_predictions(planned, asked, tmp_path / "whole", workers=2)
    held = {one["id"]: one for one in map(json.loads, (tmp_path / "whole" / runner.JOURNAL).read_text().splitlines())}
    out = tmp_path / "half"
    out.mkdir()
    (out / runner.RUN).write_bytes((tmp_path / "whole" / runner.RUN).read_bytes())
    kept = ["0/0", "0/1", "2/0"]
    (out / runner.JOURNAL).write_text("".join(json.dumps(held[one]) + "\n" for one in kept))
    runner.run_predictions(planned, asked, out)
    assert files(out) == files(tmp_path / "whole")
    words = [json.loads(line) for line in (out / runner.PREDICTIONS).read_text().splitlines()[1:]]
    assert [one["id"] for one in words] == [f"{e}/{s}" for e in range(3) for s in range(4)]
    assert len({one["reply"] for one in words}) > 4  # the fickle one's words hang on its history


def test_an_unreadable_reply_or_an_early_done_costs_its_own_step_only(tmp_path: Path) -> None:
    data = make_control(tmp_path / "data", 4, 4)
    told = runner.run_predictions(*order("android-control", data, "stubborn"), tmp_path / "out")
    assert told["total"] == 16 and told["missing"] == 0 and told["correct"] == 0 < told["wrong_format"] < 16
    high = runner.run_predictions(*order("android-control", data, "centre"), tmp_path / "centre")
    assert (high["correct"], high["metrics"]["episode_success"]["correct"]) == (16, 4)
    stops = runner.run_predictions(
        *order("android-control", data, "centre", protocol="agentcpm-10161"), tmp_path / "cpm"
    )
    assert (stops["correct"], stops["total"], stops["broken"]) == (16, 20, 0)  # with a stop after each episode


def test_the_machines_trouble_is_broken_and_never_the_models_failure(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    changed = {
        "word_1": {"instruction": "poison"},
        "word_4": {"instruction": "flaky"},
        "word_6": {"img_filename": "no"},
    }
    data = make_pro(tmp_path / "data", 8, **changed)
    (data / "images" / "2.png").write_bytes(b"no picture")  # of word_4 and word_5
    Image.new("RGB", (60, 40)).save(data / "images" / "4.png")
    records = json.loads((data / "annotations" / "word_macos.json").read_text())
    records[4]["img_filename"] = "4.png"
    (data / "annotations" / "word_macos.json").write_text(json.dumps(records))
    planned, asked = order("screenspot-pro", data, "deadly", model=str(flag))
    told = runner.run_predictions(planned, asked, tmp_path / "out", workers=2)
    why = {one["id"]: one["why"] for one in told["broken_ids"]}
    assert set(why) == {"word_1", "word_4", "word_5", "word_6"} and told["broken"] == 4
    assert why["word_1"] == "2 worker processes ended on it (exit code 9)"
    assert why["word_4"] == "the card fell off the bus" and why["word_6"] == runner.NO_PICTURE
    assert "2.png" in why["word_5"]
    assert told["total"] == 4 and told["missing"] == 0 and "4 are broken, and in no figure here" in told["notes"][-1]
    flag.unlink()
    again = runner.run_predictions(planned, asked, tmp_path / "out")  # broken ones are tried anew
    assert again["total"] == 5 and again["broken"] == 3


def test_nothing_answered_is_no_score(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 2)
    with pytest.raises(SurfaceError, match="no device is there"):
        runner.run_predictions(*order("screenspot-pro", data, "nobody"), tmp_path / "out")
    for picture in (data / "images").iterdir():
        picture.write_bytes(b"")
    with pytest.raises(SurfaceError, match=r"not one of 2 tasks could be asked: .*0\.png"):
        runner.run_predictions(*order("screenspot-pro", data), tmp_path / "out2")
    assert not (tmp_path / "out2" / runner.RESULT).exists()
    for picture in (data / "images").iterdir():
        picture.unlink()
    with pytest.raises(UsageError, match=r"no picture of screenspot-pro .* get them from huggingface"):
        runner.plan_run("screenspot-pro", data)


def test_a_limit_draws_by_the_seed_in_the_benchmarks_order(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 30)
    drawn = [runner.plan_run("screenspot-pro", data, limit=5, seed=seed).ids for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 5
    assert list(drawn[0]) == sorted(drawn[0], key=lambda name: int(name.split("_")[1]))
    episodes = make_control(tmp_path / "control", 4, 3)
    assert len(runner.plan_run("android-control", episodes, limit=2).ids) == 6  # whole episodes
    (episodes / "images" / "1_1.png").unlink()
    planned = runner.plan_run("android-control", episodes)
    assert len(planned.ids) == 9 and set(planned.broken) == {"1/0", "1/1", "1/2"}


def test_two_runs_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    planned, asked = order("screenspot-pro", make_pro(tmp_path / "data", 2))
    with runner._journal(tmp_path / "out"), pytest.raises(UsageError, match="another run is writing"):
        runner.run_predictions(planned, asked, tmp_path / "out")


def test_progress_is_a_line_for_a_person() -> None:
    line = runner.Progress(120, 1581, 2, 0.4123, 2.5, 584.0).line()
    assert line == "120 of 1,581  2.50/s  about 10 min left  score so far 41.2 %  broken 2"


PROGRAM = """
import sys
from pathlib import Path
from evals import run
from evals.worker import Order
name, data, out = sys.argv[1:4]
planned = run.plan(name, Path(data))
asked = Order(name, data, planned.protocol, maker="helpers.eval_runs:slow", model="a model", fingerprint="f")
run.predict(planned, asked, Path(out), workers=4)
"""


def start(name: str, data: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, name, str(data), str(out)], cwd=ROOT)


def killed_and_resumed(name: str, data: Path, out: Path, moments: list[int], total: int, whole: Path) -> int:
    """Kill -9 when the journal holds so many lines, once for each of the moments; then go on to the end."""
    killed = 0
    for moment in sorted(moments):
        process = start(name, data, out)
        while process.poll() is None:
            try:
                held = (out / runner.JOURNAL).read_bytes().count(b"\n")
            except FileNotFoundError:
                held = 0
            if held >= moment:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.002)
        process.wait()
    assert start(name, data, out).wait(timeout=900) == 0
    assert files(out) == files(whole)
    journal = [json.loads(line)["id"] for line in (out / runner.JOURNAL).read_text().splitlines()]
    assert len(journal) == len(set(journal)) == total  # nothing was lost, nothing asked twice and kept twice
    return killed


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["screenspot-pro", "android-control"])
def test_killed_and_resumed_is_the_same_bytes(name: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 40) if "pro" in name else make_control(tmp_path / "data", 8, 5)
    assert start(name, data, tmp_path / "whole").wait(timeout=900) == 0
    assert killed_and_resumed(name, data, tmp_path / "out", [7], 40, tmp_path / "whole") == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_at_random_moments(tmp_path: Path) -> None:
    """Ten runs of four workers, each killed five times, half of them over episodes."""
    rng = random.Random(11)
    sets = {"screenspot-pro": make_pro(tmp_path / "pro", 60), "android-control": make_control(tmp_path / "ac", 12, 5)}
    killed = 0
    for number in range(10):
        name = list(sets)[number % 2]
        whole = tmp_path / f"whole-{name}"
        if not whole.exists():
            assert start(name, sets[name], whole).wait(timeout=900) == 0
        moments = rng.sample(range(56), 5)
        killed += killed_and_resumed(name, sets[name], tmp_path / f"out-{number}", moments, 60, whole)
    assert killed == 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_workers_end_when_their_run_is_killed(tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 40)
    process = start("screenspot-pro", data, tmp_path / "out")
    while not (tmp_path / "out" / runner.JOURNAL).exists() or not (tmp_path / "out" / runner.JOURNAL).read_bytes():
        time.sleep(0.01)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(workers) == 4
    process.kill()
    process.wait()
    end = time.monotonic() + 90
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < end, "a worker outlived its run"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
