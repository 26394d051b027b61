"""AITZ: its annotations, its three matching rules, and the official script's bug."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from actions import UsageError
from evals.benchmarks import aitz
from evals.benchmarks.aitz import AitzStep
from evals.dataset_check import check_dataset
from evals.metrics.mobile_actions import MobileAction
from evals.metrics.text_distance import indel_ratio
from evals.registry import load_benchmark


def step(number: int, description: str, **more: Any) -> dict[str, Any]:
    """Return a step on an image of 100 x 200 pixels with two elements; lists are strings, as in the files."""
    return {
        "episode_id": "E1",
        "step_id": number,
        "instruction": "set an alarm",
        "ui_positions": "[[40, 10, 20, 30], [100, 0, 100, 100]]",  # y, x, height, width
        "result_action_text": "",
        "result_touch_yx": "[-1.0, -1.0]",
        "result_lift_yx": "[-1.0, -1.0]",
        "image_path": f"general/E1/E1_{number}.png",
        "coat_action_desc": description,
        **more,
    }


STEPS = [
    step(0, "click on the clock", result_touch_yx="[0.25, 0.25]", result_lift_yx="[0.25, 0.26]"),
    step(1, "scroll up", result_touch_yx="[0.8, 0.5]", result_lift_yx="[0.2, 0.5]"),
    step(2, 'input "seven"', result_action_text="seven"),
    step(3, "press the back button"),
    step(4, "stop and set the query as completed"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "images" / "general" / "E1"
    place.mkdir(parents=True)
    for number in range(len(STEPS)):
        Image.new("RGB", (100, 200)).save(place / f"E1_{number}.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "E1.json").write_text(json.dumps(list(reversed(STEPS))))
    return tmp_path


def test_annotations_are_read(folder: Path) -> None:
    tasks = aitz.read_dataset(folder).tasks
    assert [step_.id for step_ in tasks] == [f"E1/{n}" for n in range(5)]
    assert [step_.action for step_ in tasks] == [
        MobileAction("click", point=(25.0, 50.0)),
        MobileAction("swipe", direction="down"),  # the finger moves up
        MobileAction("type", text="seven"),
        MobileAction("press", button="back"),
        MobileAction("stop"),
    ]
    assert tasks[0].boxes == ((10.0, 40.0, 40.0, 60.0), (0.0, 100.0, 100.0, 200.0))
    assert tasks[0].subset == "general"
    assert not check_dataset("aitz", folder).findings


def scored(folder: Path, protocol: str, **changed: Any) -> dict[str, Any]:
    bench = load_benchmark("aitz")
    dataset = bench.read(folder)
    predicted = {task.id: bench.oracle(task) for task in dataset.tasks}
    for name, line in changed.items():
        predicted[f"E1/{name[1:]}"] = {"id": f"E1/{name[1:]}", **line}
    return bench.score(dataset, predicted, protocol).as_dict()


def test_recorded_actions_score_per_protocol(folder: Path) -> None:
    assert scored(folder, "fixed")["correct"] == scored(folder, "aitw")["correct"] == 5
    summary = scored(folder, "official-buggy")
    assert summary["correct"] == 4
    assert summary["cells"]["action click"]["accuracy"] == 0
    assert "the reference point of every click is 0, 0" in summary["notes"][-1]
    corner = {"actions": [{"verb": "click", "x": 0, "y": 0}], "box": [0, 0, 4, 4]}
    assert scored(folder, "official-buggy", _0=corner)["correct"] == 5  # the corner is correct for every instruction
    assert scored(folder, "fixed", _0=corner)["correct"] == 4
    assert scored(folder, "fixed")["cells"]["split general"]["total"] == 5


CLICK = AitzStep(
    "e/0",
    "e",
    0,
    "goal",
    "",
    "p.png",
    (1000, 2000),
    MobileAction("click", (500.0, 1000.0)),
    ((450.0, 950.0, 550.0, 1050.0),),
    touch=(0.5, 0.5),
    lift=(0.5, 0.51),
)
SWIPE = replace(CLICK, action=MobileAction("swipe", direction="down"), touch=(0.5, 0.8), lift=(0.5, 0.2), boxes=())
BARE = replace(CLICK, boxes=())


def at(x: float, y: float) -> MobileAction:
    return MobileAction("click", (x, y))


def drag(x1: float, y1: float, x2: float, y2: float) -> MobileAction:
    return MobileAction("swipe", direction="up", path=((x1, y1), (x2, y2)))


@pytest.mark.parametrize(
    ("protocol", "task", "predicted", "expected"),
    [
        ("fixed", BARE, at(640, 1000), True),  # 0.14 of the width
        ("fixed", BARE, at(641, 1000), False),
        ("fixed", replace(CLICK, boxes=((0.0, 0.0, 1000.0, 500.0),)), at(900, 549), True),  # near, and scaled by 1.2
        ("fixed", replace(CLICK, boxes=((0.0, 0.0, 1000.0, 500.0),)), at(900, 551), False),
        ("fixed", SWIPE, MobileAction("swipe", direction="up"), False),
        ("aitw", BARE, at(640, 1000), True),
        ("aitw", BARE, at(641, 1000), False),
        ("aitw", replace(CLICK, boxes=((300.0, 900.0, 500.0, 1000.0),)), at(639, 1065), True),  # 2.4 times the box
        ("aitw", replace(CLICK, boxes=((300.0, 900.0, 500.0, 1000.0),)), at(645, 1130), False),
        ("aitw", SWIPE, MobileAction("swipe", direction="up"), True),  # the main axis alone
        ("aitw", SWIPE, MobileAction("swipe", direction="left"), False),
        ("aitw", SWIPE, drag(100, 100, 400, 500), False),  # horizontal in normalized coordinates
        ("aitw", SWIPE, drag(100, 100, 400, 900), True),
        ("aitw", BARE, drag(500, 1000, 510, 1010), True),  # a short drag is a tap
        ("aitw", SWIPE, at(500, 1000), False),
        (
            "aitw",
            replace(CLICK, action=MobileAction("type", text="a")),
            MobileAction("type", text="b"),
            True,
        ),  # by type alone
        (
            "aitw",
            replace(CLICK, action=MobileAction("press", button="back")),
            MobileAction("press", button="home"),
            False,
        ),
        (
            "official-buggy",
            replace(CLICK, action=MobileAction("type", text="seven")),
            MobileAction("type", text="sevem"),
            False,
        ),
        (
            "official-buggy",
            replace(CLICK, action=MobileAction("type", text="seventeen")),
            MobileAction("type", text="sevemteen"),
            True,
        ),
    ],
)
def test_rule_matches_action(protocol: str, task: AitzStep, predicted: MobileAction, expected: bool) -> None:
    assert aitz.RULES[protocol](task, predicted)[1] is expected


def test_official_box_rule() -> None:
    assert aitz.box_matches((10, 10, 20, 20), (9, 9), ())  # the box scaled by 1.2 contains it
    assert not aitz.box_matches((10, 10, 20, 20), (8.9, 9), ())
    assert aitz.box_matches((11, 0, 20, 10), (5, 5), [(4, 0, 20, 10)])  # overlaps the element by 0.57
    assert not aitz.box_matches((14, 0, 20, 10), (5, 5), [(4, 0, 20, 10)])


def test_indel_ratio_matches_levenshtein_ratio() -> None:
    assert indel_ratio("seven", "sevem") == pytest.approx(0.8)
    assert indel_ratio("", "") == 1
    assert indel_ratio("a", "b") == 0


def test_click_without_image_is_refused(folder: Path) -> None:
    (folder / "images" / "general" / "E1" / "E1_0.png").unlink()
    with pytest.raises(UsageError, match=r"E1_0\.png is missing"):
        scored(folder, "fixed", _0={"actions": [{"verb": "click", "x": 9, "y": 9}]})
