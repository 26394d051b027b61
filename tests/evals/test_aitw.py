"""Android in the Wild: conversion of shards, scores and the matching rule's edge cases."""

from __future__ import annotations

import gzip
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tfrecord_writer import example, frame
from PIL import Image
from typer.testing import CliRunner

from actions import UsageError
from evals import runner
from evals.benchmarks import aitw
from evals.cli import app
from evals.dataset_check import check_dataset
from evals.datasets import convert_aitw
from evals.metrics.aitw_matching import Gesture, match
from evals.metrics.mobile_actions import MobileAction
from evals.registry import load_benchmark, load_dataset

WIDTH, HEIGHT = 60, 120
PIXELS = np.random.default_rng(5).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
BOXES = [0.25, 0.25, 0.125, 0.5, 0.75, 0.0, 0.25, 1.0]  # y, x, height, width; exact as 32-bit floats
KINDS: list[tuple[int, str, list[float], list[float]]] = [
    (4, "", [0.3125, 0.5], [0.3125, 0.5]),  # a tap in the first box
    (4, "", [0.75, 0.5], [0.25, 0.5]),  # the finger moves up
    (3, "seven ä", [-1.0, -1.0], [-1.0, -1.0]),
    (7, "", [-1.0, -1.0], [-1.0, -1.0]),
    (5, "", [-1.0, -1.0], [-1.0, -1.0]),
    (6, "", [-1.0, -1.0], [-1.0, -1.0]),
    (10, "", [-1.0, -1.0], [-1.0, -1.0]),
]


def record(episode: str, step: int, kinds: list[Any], **changed: list[Any]) -> bytes:
    kind, text, touch, lift = kinds[step]
    return example(
        {
            "android_api_level": [30],
            "current_activity": [b"com.example/.Main"],
            "device_type": [b"pixel_4"],
            "episode_id": [episode.encode()],
            "episode_length": [len(kinds)],
            "goal_info": [f"set an alarm, {episode}".encode()],
            "image/channels": [3],
            "image/height": [HEIGHT],
            "image/width": [WIDTH],
            "image/encoded": [PIXELS.tobytes()],
            "image/ui_annotations_positions": BOXES,
            "image/ui_annotations_text": [b"Alarm", b""],
            "image/ui_annotations_ui_types": [b"TEXT", b"ICON_PLUS"],
            "results/action_type": [kind],
            "results/type_action": [text.encode()],
            "results/yx_touch": touch,
            "results/yx_lift": lift,
            "step_id": [step],
            **changed,
        }
    )


def shard(path: Path, *records: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(map(frame, records))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two sets: one episode with every kind of action, shuffled over two shards, and one that gives up."""
    records = [record("111", n, KINDS) for n in range(len(KINDS))]
    shard(tmp_path / "general" / "general-00000-of-00002", *reversed(records[:4]), record("999", 0, KINDS[:1]))
    shard(tmp_path / "general" / "general-00001-of-00002", *records[4:])
    shard(tmp_path / "single" / "single-00000-of-00001", record("222", 0, [(11, "", [-1.0, -1.0], [-1.0, -1.0])]))
    (tmp_path / "splits").mkdir()
    splits = {"train": ["999"], "validation": [], "test": ["111", "222"]}
    (tmp_path / "splits" / "standard.json").write_text(json.dumps(splits))
    (tmp_path / "splits" / "unseen_verb.json").write_text(json.dumps({"test": ["999"]}))
    return tmp_path


def test_shards_are_converted_and_scored(folder: Path) -> None:
    assert CliRunner().invoke(app, ["unpack", "aitw", "--data", str(folder)]).exit_code == 0
    bench = load_benchmark("aitw")
    dataset = load_dataset(bench, folder)
    steps = dataset.tasks
    assert [step.id for step in steps] == [*(f"111/{n}" for n in range(7)), "222/0"]
    assert [step.action for step in steps] == [
        MobileAction("click", point=(30.0, 37.5)),
        MobileAction("swipe", direction="down"),
        MobileAction("type", text="seven ä"),
        MobileAction("press", button="enter"),
        MobileAction("press", button="back"),
        MobileAction("press", button="home"),
        MobileAction("stop"),
        MobileAction("stop", text="failure"),
    ]
    assert steps[0].boxes == ((15.0, 30.0, 45.0, 45.0), (0.0, 90.0, 60.0, 120.0))
    assert steps[0].size == (60, 120)
    with Image.open(folder / "images" / steps[0].image) as image:
        assert np.array_equal(np.asarray(image), PIXELS)
    assert not check_dataset("aitw", folder).findings
    summary = bench.score(dataset, {step.id: bench.oracle(step) for step in steps}, "aitw").as_dict()
    assert (summary["correct"], summary["total"]) == (8, 8)
    assert summary["metrics"]["action_matching"] == 1
    assert summary["metrics"]["episode_success"]["correct"] == 2
    assert any("mean of all five" in step for step in summary["notes"])
    wrong = {"id": "222/0", "actions": [{"verb": "done"}], "reply": "impossible is not done"}
    summary = bench.score(dataset, {"222/0": wrong, "111/0": bench.oracle(steps[0])}, "aitw").as_dict()
    assert summary["metrics"]["of each set"] == {"general": 1 / 7, "single": 0}
    assert summary["missing"] == 6
    assert summary["metrics"]["action_matching"] == pytest.approx(1 / 14)
    assert summary["correct"] == 1
    assert len(runner.plan_run("aitw", folder).ids) == 8


def test_other_splits_are_converted(folder: Path) -> None:
    assert convert_aitw.convert(folder, "train") == 1
    assert convert_aitw.convert(folder, "unseen_verb/test") == 1
    (folder / "general" / "general-00000-of-00002").unlink()
    with pytest.raises(UsageError, match=r"no episode of the split 'test' .*unseen_verb\.json"):
        convert_aitw.convert(folder, "unseen_verb/test")


def test_missing_or_damaged_shards_are_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="has no split 'all'"):
        convert_aitw.convert(folder, "all")
    with pytest.raises(UsageError, match=r"no splits/unseen_domain\.json .* get it from gs://gresearch"):
        convert_aitw.convert(folder, "unseen_domain/test")
    (folder / "general" / "general-00001-of-00002").unlink()
    with pytest.raises(UsageError, match=r"episode 111 of general has 4 of its 7 steps .* get the missing shards"):
        convert_aitw.convert(folder)
    short = record("222", 0, KINDS[:1], **{"image/encoded": [b"\x00" * 5]})
    for bad, words in (
        (short, r"record 0: not a step .*5 bytes are not an image of 60 x 120 x 3"),
        (record("222", 0, KINDS[:1], **{"image/ui_annotations_positions": [0.5]}), "not boxes of four"),
        (record("222", 0, KINDS[:1], goal_info=[]), "missing key 'goal_info'"),
    ):
        shard(folder / "single" / "single-00000-of-00001", bad)
        with pytest.raises(UsageError, match=words):
            convert_aitw.convert(folder)
    assert not (folder / "aitw_unpacked.jsonl").exists()
    with pytest.raises(UsageError, match="get them from gs://gresearch"):
        load_dataset(load_benchmark("aitw"), folder)


TAP = aitw.AitwStep(
    "e/0",
    "e",
    0,
    "goal",
    "",
    "p.png",
    (1000, 2000),
    MobileAction("click", (500.0, 1000.0)),
    gesture=Gesture((0.5, 0.5), (0.5, 0.5)),
)
SWIPE = replace(TAP, action=MobileAction("swipe", direction="down"), gesture=Gesture((0.5, 0.8), (0.5, 0.2)))
BOXED = replace(TAP, boxes=((300.0, 900.0, 500.0, 1000.0),))  # enlarged to 160..640 by 830..1070


@pytest.mark.parametrize(
    ("task", "predicted", "expected"),
    [
        (TAP, MobileAction("click", (640, 1000)), True),  # 0.14 of the width
        (TAP, MobileAction("click", (641, 1000)), False),
        (TAP, MobileAction("click", (500, 1280)), True),  # 0.14 of the height
        (TAP, MobileAction("click", (500, 1281)), False),
        (BOXED, MobileAction("click", (165, 835)), True),
        (BOXED, MobileAction("click", (155, 1000)), False),
        (TAP, MobileAction("swipe", direction="down"), False),
        (TAP, MobileAction("swipe", direction="up", path=((500, 1000), (510, 1010))), True),  # a short drag is a tap
        (SWIPE, MobileAction("swipe", direction="up"), True),  # the main axis alone
        (SWIPE, MobileAction("swipe", direction="left"), False),
        (SWIPE, MobileAction("click", (500, 1000)), False),
        (
            replace(TAP, action=MobileAction("type", text="a")),
            MobileAction("type", text="b"),
            True,
        ),  # by type alone
        (replace(TAP, action=MobileAction("press", button="back")), MobileAction("press", button="home"), False),
        (replace(TAP, action=MobileAction("stop")), MobileAction("stop", text="failure"), False),
        (replace(TAP, action=MobileAction("stop")), MobileAction("wait"), False),
        (TAP, MobileAction("other"), False),
    ],
)
def test_rule_matches_action(task: aitw.AitwStep, predicted: MobileAction, expected: bool) -> None:
    assert aitw.match_action(task, predicted)[1] is expected


def test_matching_is_symmetric() -> None:
    rng = random.Random(3)
    for _ in range(500):
        a, b = (Gesture(*((rng.random(), rng.random()) for _ in range(2))) for _ in range(2))
        boxes = [(0.1, 0.1, 0.1 + rng.random(), 0.1 + rng.random())]
        assert match(a, b, boxes) == match(b, a, boxes)
        near = Gesture(a.touch, (a.touch[0] + 0.04 * rng.random() / math.sqrt(2), a.touch[1]))  # type: ignore[index]
        assert near.is_tap
        assert match(near, near, [])[1]


SEECLICK = {
    "general": [
        [
            {
                "ep_id": "77",
                "step": 0,
                "img_filename": "general/77_0",
                "goal": "open maps",
                "action_type_id": 4,
                "action_type_text": "click",
                "touch": [0.25, 0.5],  # x, y
                "lift": [0.25, 0.5],
                "annot_position": [0.48, 0.2, 0.04, 0.1],
                "type_text": "",
            },
            {
                "img_filename": "general/77_1",
                "goal": "open maps",
                "action_type_id": 4,
                "action_type_text": "scroll down",
                "touch": [0.5, 0.7],
                "lift": [0.5, 0.3],
                "annot_position": [],
                "type_text": "",
            },
        ]
    ],
    "webshopping": [
        [
            {
                "img_filename": "webshopping/5_0",
                "goal": "buy",
                "action_type_id": 3,
                "action_type_text": "type",
                "annot_position": [],
                "type_text": "Shoes",
            }
        ]
    ],
}


def test_seeclick_test_set_is_read(tmp_path: Path) -> None:
    (tmp_path / "images" / "general").mkdir(parents=True)
    (tmp_path / "images" / "webshopping").mkdir()
    for name in ("general/77_0", "general/77_1", "webshopping/5_0"):
        Image.new("RGB", (100, 200)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "aitw_data_test.json").write_text(json.dumps(SEECLICK))
    bench = load_benchmark("aitw")
    dataset = load_dataset(bench, tmp_path)
    assert [step.id for step in dataset.tasks] == ["general-0/0", "general-0/1", "webshopping-0/0"]
    assert dataset.tasks[0].action == MobileAction("click", point=(25.0, 100.0))
    assert dataset.tasks[0].boxes[0] == pytest.approx((20, 96, 30, 104))
    assert dataset.tasks[1].action.direction == "down"
    predicted = {step.id: bench.oracle(step) for step in dataset.tasks}
    assert bench.score(dataset, predicted, "aitw").as_dict()["correct"] == 3
    predicted["webshopping-0/0"]["actions"] = [{"verb": "type", "text": "no such"}]
    summary = bench.score(dataset, predicted, "aitw").as_dict()
    assert summary["metrics"]["action_matching"] == 1  # the text does not count
    assert summary["metrics"]["typed texts that contain each other, not part of the score"]["correct"] == 0
    assert not check_dataset("aitw", tmp_path).findings
    (tmp_path / "aitw_unpacked.jsonl").write_text("")
    with pytest.raises(UsageError, match="two test sets"):
        load_dataset(bench, tmp_path)


def test_scroll_without_length_matches_no_drag() -> None:
    sideways, upright = Gesture((0.8, 0.5), (0.2, 0.5)), Gesture((0.5, 0.8), (0.5, 0.2))
    nowhere = Gesture(None, None)
    assert match(sideways, nowhere, []) == match(upright, nowhere, []) == (True, False)
    assert match(sideways, Gesture(None, None, "left"), []) == (True, True)
