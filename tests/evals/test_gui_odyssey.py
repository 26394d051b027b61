"""GUI-Odyssey: its annotations, splits, averages and the matching rule's edge cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from PIL import Image

import evals
from actions import UsageError
from evals import runner
from evals.benchmarks import gui_odyssey
from evals.benchmarks.gui_odyssey import OdysseyStep, texts_match
from evals.dataset_check import check_dataset
from evals.metrics.mobile_actions import MobileAction
from evals.metrics.text_distance import levenshtein
from evals.registry import load_benchmark, load_dataset, resolve_protocol

STEPS: list[tuple[str, Any, Any]] = [
    ("CLICK", [[500, 250], [500, 250]], [400, 200, 600, 300]),
    ("LONG_PRESS", [[100, 900], [100, 900]], [50, 880, 150, 920]),
    ("SCROLL", [[500, 800], [510, 200]], None),
    ("TEXT", "Zürich hotels", None),
    ("CLICK", "KEY_HOME", None),
    ("CLICK", "KEY_BACK", None),
    ("CLICK", "KEY_APPSELECT", None),
    ("COMPLETE", "", None),
]


def episode(name: str, category: str, steps: list[tuple[str, Any, Any]], **more: Any) -> dict[str, Any]:
    return {
        "episode_id": name,
        "device_info": {
            "product": "sdk",
            "release_version": "14",
            "sdk_version": "34",
            "h": 2000,
            "w": 1000,
            "device_name": "Pixel 7 Pro" if name < "2" else "Pixel Tablet",
        },
        "task_info": {
            "category": category,
            "app": ["Maps"],
            "meta_task": "{}",
            "task": "t",
            "instruction": f"do {name}",
        },
        "step_length": len(steps),
        "steps": [
            {
                "step": number,
                "screenshot": f"{name}_{number}.png",
                "action": action,
                "info": info,
                "ps": "",
                "sam2_bbox": box,
                "low_level_instruction": f"low {number}",
                "description": "",
                "intention": "",
                "context": "",
            }
            for number, (action, info, box) in enumerate(steps)
        ],
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "splits").mkdir()
    episodes = [
        episode("1000", "Multi_Apps", STEPS),
        episode("2000", "Web_Shopping", [("INCOMPLETE", "", None)]),
        episode("3000", "Web_Shopping", STEPS[:2], step_length=3),  # incomplete: left out of SR
        episode("4000", "General_Tool", STEPS[:1]),
    ]
    for item in episodes:
        (tmp_path / "annotations" / f"{item['episode_id']}.json").write_text(json.dumps(item))
        for step in item["steps"]:
            Image.new("RGB", (100, 200)).save(tmp_path / "images" / step["screenshot"])
    for name, test in (("random", ["1000.json", "2000.json", "3000.json"]), ("device", ["2000.json", "9000.json"])):
        (tmp_path / "splits" / f"{name}_split.json").write_text(json.dumps({"train": ["4000.json"], "test": test}))
    return tmp_path


def test_annotations_are_read(folder: Path) -> None:
    dataset = load_dataset(load_benchmark("gui-odyssey"), folder)
    first = [item for item in dataset.tasks if item.episode == "1000"]
    assert [item.action for item in first] == [
        MobileAction("click", point=(50.0, 50.0)),
        MobileAction("long_press", point=(10.0, 180.0)),
        MobileAction("swipe", direction="down"),  # the finger moves up
        MobileAction("type", text="Zürich hotels"),
        MobileAction("press", button="home"),
        MobileAction("press", button="back"),
        MobileAction("press", button="recents"),
        MobileAction("stop"),
    ]
    assert first[0].boxes == ((40.0, 40.0, 60.0, 60.0),)
    assert first[0].instruction == "low 0"
    assert first[0].goal == "do 1000"
    assert dataset.protocol == "random"
    assert first[0].size == (100, 200)
    report = check_dataset("gui-odyssey", folder)
    assert [title for title, _ in report.findings] == ["incomplete episode"]


def test_recorded_actions_score_one_on_every_split(folder: Path) -> None:
    bench = load_benchmark("gui-odyssey")
    dataset = load_dataset(bench, folder)
    for protocol, steps in (("random", 11), ("device", 1), ("all", 12)):
        predicted = {task.id: bench.oracle(task) for task in bench.scored_tasks(dataset, protocol)}
        summary = bench.score(dataset, predicted, protocol).as_dict()
        assert (summary["correct"], summary["total"], summary["metrics"]["AMS"], summary["metrics"]["SR"]) == (
            steps,
            steps,
            1,
            1,
        )
    assert any(
        "1 episodes of the split device are missing" in note for note in bench.score(dataset, {}, "device").notes
    )
    with pytest.raises(UsageError, match=r"needs splits/task_split\.json .* get it from huggingface"):
        bench.scored_tasks(dataset, "task")


def test_official_average_depends_on_split(folder: Path) -> None:
    """With all 3 Web_Shopping steps and none of Multi_Apps' 8 correct, AMS is 3 / 11 or the mean of 1 and 0."""
    bench = load_benchmark("gui-odyssey")
    dataset = load_dataset(bench, folder)
    predicted = {task.id: bench.oracle(task) for task in dataset.tasks if task.category == "Web_Shopping"}
    random, every = (bench.score(dataset, predicted, protocol).as_dict() for protocol in ("random", "all"))
    assert random["metrics"]["AMS"] == pytest.approx(1 / 2)
    assert random["correct"] == 3
    assert random["missing"] == 8
    assert every["metrics"]["AMS"] == pytest.approx(3 / 12)
    assert random["metrics"]["SR"] == pytest.approx(1 / 2)  # only 2000 of its category is complete
    assert every["metrics"]["SR"] == pytest.approx(1 / 3)  # of 1000, 2000, 4000
    assert any("2 categories; the published mean is over 6" in note for note in random["notes"])
    assert any("1 episodes are incomplete" in note for note in random["notes"])
    assert random["cells"]["split device Pixel Tablet"]["correct"] == 3
    assert random["metrics"]["text"] == {"correct": 0, "total": 1, "accuracy": 0}


def test_annotations_without_boxes_get_a_note(folder: Path) -> None:
    for path in (folder / "annotations").iterdir():
        record = json.loads(path.read_text())
        for item in record["steps"]:
            del item["sam2_bbox"], item["low_level_instruction"]
        path.write_text(json.dumps(record))
    bench = load_benchmark("gui-odyssey")
    dataset = load_dataset(bench, folder)
    result = bench.score(dataset, {task.id: bench.oracle(task) for task in dataset.tasks}, "all")
    assert result.as_dict()["correct"] == 12
    assert any("before July 2025" in note for note in result.notes)


def test_without_splits_all_episodes_are_scored(folder: Path) -> None:
    for path in (folder / "splits").iterdir():
        path.unlink()
    bench = load_benchmark("gui-odyssey")
    assert resolve_protocol(bench, load_dataset(bench, folder)) == "all"
    planned = runner.plan_run("gui-odyssey", folder)
    assert len(planned.ids) == 12
    assert len(planned.jobs()) == 4
    record = episode("5000", "General_Tool", [("FLY", "", None)])
    (folder / "annotations" / "5000.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"5000\.json is not in GUI-Odyssey's format \(action 'FLY'\)"):
        load_dataset(bench, folder)


def test_benchmark_is_an_environment(folder: Path) -> None:
    evals.register()
    env = gymnasium.make("pixelhand/GUIOdyssey-v0", data=folder, level="low")
    _, info = env.reset(seed=0)
    assert info["goal"] == "do 1000\nThe step to do now: low 0"
    assert info["id"] == "1000/0"
    env.close()


CLICK = OdysseyStep(
    "e/0", "e", 0, "goal", "", "p.png", (1000, 2000), MobileAction("click", (500.0, 500.0)), target_point=(500, 250)
)
BOXED = replace(CLICK, target_box=(100, 100, 600, 300))


@pytest.mark.parametrize(
    ("task", "predicted", "expected"),
    [
        (CLICK, MobileAction("click", (640, 500)), True),  # 140 of 1000
        (CLICK, MobileAction("click", (640.5, 500)), False),
        (CLICK, MobileAction("click", (500, 780)), True),
        (CLICK, MobileAction("click", (500, 781)), False),
        (BOXED, MobileAction("click", (100, 200)), True),  # the box's corner, far from the point
        (BOXED, MobileAction("click", (99, 200)), False),
        (CLICK, MobileAction("long_press", (500, 500)), False),
        (replace(CLICK, action=MobileAction("press", button="home")), MobileAction("press", button="back"), False),
        (replace(CLICK, action=MobileAction("stop")), MobileAction("stop", text="failure"), False),
        (replace(CLICK, action=MobileAction("swipe", direction="down")), MobileAction("swipe", direction="up"), False),
        (replace(CLICK, action=MobileAction("swipe", direction="down")), MobileAction("swipe", direction="down"), True),
    ],
)
def test_rule_matches_action(task: OdysseyStep, predicted: MobileAction, expected: bool) -> None:
    assert gui_odyssey.match_action(task, predicted)[1] is expected


@pytest.mark.parametrize(
    ("recorded", "predicted", "expected"),
    [
        (" seven ", "seven", True),
        ("seven o'clock", "seven", True),
        ("Seven", "seven", True),  # one edit in five letters
        ("abcd", "abxy", True),  # similarity 0.5
        ("abcde", "abxyz", False),
        ("abcd", "", True),  # the empty text is contained, as in the official script
    ],
)
def test_texts_match(recorded: str, predicted: str, expected: bool) -> None:
    assert texts_match(recorded, predicted) is expected


def test_levenshtein_distance() -> None:
    assert [levenshtein(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("abc", "abc"), ("ab", "ba"))] == [
        3,
        3,
        0,
        2,
    ]


def test_scroll_direction_follows_longer_axis(tmp_path: Path) -> None:
    for info, side in (
        ([[500, 500], [900, 480]], "left"),  # the finger moves right
        ([[500, 500], [100, 480]], "right"),
        ([[500, 500], [600, 600]], "up"),  # ties are vertical
        ([[500, 500], [400, 400]], "down"),
    ):
        assert gui_odyssey._read_action("SCROLL", info)[0].direction == side
