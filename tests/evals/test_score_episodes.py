"""AndroidControl and AgentNetBench: matching rules, published figures and conversions of actions."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError, parse_action
from evals.benchmarks import agentnetbench, android_control
from evals.benchmarks.agentnetbench import NEW, OLD, RecordedAction, score_sequence, text_similarity
from evals.benchmarks.android_control import ASSUMED_SIZE, PROTOCOLS, MobileAction, RecordedMobileStep
from evals.dataset_check import check_dataset
from evals.metrics import mobile_actions
from evals.metrics.text_distance import levenshtein
from evals.metrics.trajectory import scroll_direction
from evals.registry import load_benchmark
from evals.scoring import score_file
from evals.types import Dataset

DATA = Path(__file__).parents[3] / "shared" / "data"
AC, ANB = DATA / "android_control", DATA / "agentnetbench"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public annotations are not in ../shared/data")
TOTALS = {
    "qwen-8444": 8444,
    "infigui-8444": 8444,
    "os-atlas-7708": 7708,
    "agentcpm-10161": 9379,
    "uground-500": 8444,
    "strict": 8444,
}


@cache
def recorded() -> Dataset:
    return android_control.read_dataset(AC)


def clicks(x: int, y: int) -> dict[str, Any]:
    return {step.id: {"id": step.id, "actions": [{"verb": "click", "x": x, "y": y}]} for step in recorded().tasks}


@needs_data
def test_split_has_published_counts() -> None:
    steps = recorded().tasks
    verbs = [step.action.verb for step in steps]
    sizes = {"click": 5074, "swipe": 1211, "type": 632, "open": 608, "wait": 567, "press": 343, "long_press": 9}
    assert {verb: verbs.count(verb) for verb in sizes} == sizes
    assert len(steps) == 8444
    assert len({step.episode for step in steps}) == 1543


@needs_data
@pytest.mark.parametrize(
    ("protocol", "per_cent", "hits"),
    [("qwen-8444", 25.5, 1296), ("infigui-8444", 25.6, 1300), ("os-atlas-7708", 9.0, 415), ("strict", 6.2, 313)],
)
def test_center_click_baseline_has_known_accuracy(protocol: str, per_cent: float, hits: int) -> None:
    predicted = load_benchmark("android-control").score(recorded(), clicks(540, 1200), protocol)
    grounding = predicted.metrics["grounding"]
    assert round(100 * grounding["accuracy"], 1) == per_cent
    assert grounding["correct"] == hits
    assert predicted.baselines["centre click"]["grounding"] == grounding


@needs_data
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_oracle_scores_under_every_protocol(protocol: str, tmp_path: Path) -> None:
    """Recorded actions are correct, except for clicks in no box under the rule of the smallest box."""
    bench, dataset = load_benchmark("android-control"), recorded()
    predictions = {step.id: bench.oracle(step) for step in (*dataset.tasks, *dataset.extra_tasks)}
    summary = bench.score(dataset, predictions, protocol).as_dict()
    unboxed = sum(step.action.point is not None and not step.boxes for step in dataset.tasks)
    assert summary["total"] == TOTALS[protocol]
    assert summary["missing"] == summary["wrong_format"] == 0
    assert summary["correct"] == summary["total"] - (unboxed if protocol in ("uground-500", "strict") else 0)
    assert summary["metrics"]["type"]["accuracy"] == 1

    path = tmp_path / "predictions.jsonl"
    kept = list(predictions)[::2]
    path.write_text("".join(json.dumps(predictions[name]) + "\n" for name in kept))
    half = score_file("android-control", AC, path, protocol).as_dict()
    assert half["missing"] + half["correct"] == pytest.approx(summary["total"], abs=unboxed)
    assert half["correct"] == pytest.approx(summary["correct"] / 2, rel=0.03)
    assert half["metrics"]["episode_success"]["correct"] < 0.2 * half["metrics"]["episode_success"]["total"]


@needs_data
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("actions", [None, [], "click", [{"verb": "tap"}], [{"verb": "click", "x": "middle"}]])
def test_unparsable_actions_score_zero(protocol: str, actions: Any) -> None:
    predicted = {step.id: {"id": step.id, "actions": actions, "reply": "%%%"} for step in recorded().tasks}
    summary = load_benchmark("android-control").score(recorded(), predicted, protocol).as_dict()
    assert summary["correct"] == 0
    assert summary["metrics"]["type"]["correct"] == 0
    assert summary["wrong_format"] + summary["missing"] == summary["total"]


STEP = RecordedMobileStep("7/0", "7", 0, "goal", "step", "7_0.png", (1000, 2000), MobileAction("wait"))
CLICK = replace(
    STEP,
    action=MobileAction("click", (500.0, 1000.0)),
    boxes=((450.0, 950.0, 550.0, 1050.0), (0.0, 900.0, 1000.0, 1100.0)),
)
BARE = replace(CLICK, boxes=())
TYPE, OPEN = (
    replace(STEP, action=MobileAction("type", text="New York")),
    replace(STEP, action=MobileAction("open", text="Clock")),
)
SWIPE = replace(STEP, action=MobileAction("swipe", direction="down"))


def at(x: float, y: float) -> MobileAction:
    return MobileAction("click", (x, y))


@pytest.mark.parametrize(
    ("protocol", "step", "predicted", "expected"),
    [
        ("qwen-8444", BARE, at(540, 1000), (True, True)),  # 0.04 of the width
        ("qwen-8444", BARE, at(541, 1000), (True, False)),
        ("qwen-8444", BARE, at(500, 1080), (True, True)),  # 0.04 of the height
        ("infigui-8444", BARE, at(580, 1000), (True, True)),  # 0.04 of the longer side
        ("infigui-8444", BARE, at(500, 1081), (True, False)),
        ("os-atlas-7708", CLICK, at(640, 1000), (True, True)),
        ("os-atlas-7708", CLICK, at(641, 1000), (True, False)),
        ("qwen-8444", CLICK, at(1000, 900), (True, True)),  # in the larger box
        ("strict", CLICK, at(1000, 900), (True, False)),
        ("strict", CLICK, at(550, 1050), (True, True)),  # the smaller one's corner
        ("qwen-8444", CLICK, at(500, 1120), (True, True)),  # the larger box, scaled by 1.2
        ("agentcpm-10161", CLICK, at(500, 1120), (True, True)),
        ("strict", BARE, at(500, 1000), (True, False)),
        ("qwen-8444", CLICK, MobileAction("long_press", (500.0, 1000.0)), (False, False)),
        ("qwen-8444", TYPE, MobileAction("type", text=" york "), (True, True)),
        ("os-atlas-7708", TYPE, MobileAction("type", text="york"), (True, False)),
        ("os-atlas-7708", TYPE, MobileAction("type", text="new jersey"), (True, True)),  # only the first word counts
        ("strict", TYPE, MobileAction("type", text="new york"), (True, False)),
        ("qwen-8444", SWIPE, MobileAction("swipe", direction="up"), (True, True)),
        ("infigui-8444", SWIPE, MobileAction("swipe", direction="up"), (True, False)),
        ("infigui-8444", SWIPE, MobileAction("swipe", direction="down"), (True, True)),
        ("agentcpm-10161", STEP, MobileAction("stop"), (True, True)),
        ("strict", STEP, MobileAction("stop"), (False, False)),
        ("qwen-8444", OPEN, at(1, 1), (False, False)),
        ("qwen-8444", replace(OPEN, boxes=((0.0, 0.0, 10.0, 10.0),)), at(11, 11), (True, True)),
        (
            "os-atlas-7708",
            replace(STEP, action=MobileAction("press", button="back")),
            MobileAction("press", button="home"),
            (False, False),
        ),
        (
            "qwen-8444",
            replace(STEP, action=MobileAction("press", button="back")),
            MobileAction("press", button="home"),
            (True, False),
        ),
    ],
)
def test_protocol_rule_matches_action(
    protocol: str, step: RecordedMobileStep, predicted: MobileAction, expected: tuple[bool, bool]
) -> None:
    assert PROTOCOLS[protocol].rule(step, predicted) == expected


@pytest.mark.parametrize(
    ("action", "side"),
    [
        ({"verb": "scroll", "down": 3}, "down"),
        ({"verb": "scroll", "down": -1, "right": 1}, "up"),
        ({"verb": "scroll", "right": -2, "down": 1}, "left"),
        ({"verb": "scroll"}, None),
        (
            {"verb": "drag", "path": [[500, 1800], [500, 600]]},
            "down",
        ),  # the finger moves up: the content below comes into view
        ({"verb": "drag", "path": [[100, 10], [900, 20]]}, "left"),
        ({"verb": "drag", "path": [[100, 10]]}, None),
    ],
)
def test_scroll_direction_is_side_coming_into_view(action: dict[str, Any], side: str | None) -> None:
    assert scroll_direction(parse_action(action)) == side


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"verb": "click", "x": 3, "y": 4}, MobileAction("click", (3, 4))),
        ({"verb": "click", "x": 3, "y": 4, "count": 2}, MobileAction("other")),
        ({"verb": "home"}, MobileAction("press", button="home")),
        ({"verb": "press", "keys": ["Return"]}, MobileAction("press", button="enter")),
        ({"verb": "press", "keys": ["ctrl", "c"]}, MobileAction("other")),
        ({"verb": "done"}, MobileAction("stop")),
        ({"verb": "done", "status": "failure"}, MobileAction("stop", text="failure")),
        ({"verb": "move", "x": 1, "y": 1}, MobileAction("other")),
    ],
)
def test_action_converts_to_mobile_action(action: dict[str, Any], expected: MobileAction) -> None:
    assert mobile_actions.to_mobile_action(parse_action(action)) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"verb": "click", "x": 3.0, "y": 4.9}, MobileAction("click", (3, 4))),  # rounded down
        (
            {"verb": "drag", "path": [[500.5, 1800.5], [500.5, 600.5]]},
            MobileAction("swipe", direction="down", path=((500, 1800), (500, 600))),
        ),
        ({"verb": "click", "x": float("nan"), "y": 4}, None),
        ({"verb": "click", "x": float("inf"), "y": 4}, None),
        ({"verb": "click", "x": "3", "y": 4}, None),
        ({"verb": "click", "x": True, "y": 4}, None),
        ({"verb": "click", "x": 10**400, "y": 4}, None),
        ({"verb": "drag", "path": [[1.5, "2"]]}, None),
        ([], None),
    ],
)
def test_fractional_points_are_rounded_down(action: Any, expected: MobileAction | None) -> None:
    assert mobile_actions.parse_prediction({"id": "7/0", "actions": [action]}) == expected


@needs_data
def test_missing_optional_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "test_8444.jsonl").write_bytes((AC / "test_8444.jsonl").read_bytes())
    path = tmp_path / "predictions.jsonl"
    path.write_text("")
    with pytest.raises(UsageError, match=r"needs os_atlas_7708_ids.txt .* github.com/OS-Copilot/OS-Atlas"):
        score_file("android-control", tmp_path, path, "os-atlas-7708")
    notes = " ".join(score_file("android-control", tmp_path, path).notes)
    assert "test_subsplits.json is not in the folder" in notes
    assert f"{ASSUMED_SIZE[0]} x {ASSUMED_SIZE[1]}" in notes

    (tmp_path / "test_subsplits.json").write_text(json.dumps({"IDD": [8193], "app_unseen": [8193, 8202]}))
    cells = score_file("android-control", tmp_path, path).groups
    assert cells["split IDD"]["total"] == 11
    assert cells["split app_unseen"]["total"] > 11
    findings = dict(check_dataset("android-control", tmp_path).findings)
    assert len(findings["click outside its screen"]) == 33


@needs_data
@pytest.mark.parametrize("protocol", [OLD, NEW])
def test_recorded_desktop_actions_score_one(protocol: str) -> None:
    bench = load_benchmark("agentnetbench")
    dataset = bench.read(ANB)
    predictions = {step.id: bench.oracle(step) for step in dataset.tasks}
    summary = bench.score(dataset, predictions, protocol).as_dict()
    assert (summary["correct"], summary["total"]) == (54, 54)
    assert summary["metrics"]["average_step_score"] == 1
    half = bench.score(dataset, dict(list(predictions.items())[::2]), protocol).as_dict()
    assert half["correct"] == half["missing"] == 27
    assert half["metrics"]["average_step_score"] == 0.5
    for actions in (None, [], [{"verb": "fly"}]):
        predicted = {name: {"id": name, "actions": actions} for name in predictions}
        summary = bench.score(dataset, predicted, protocol).as_dict()
        assert summary["metrics"]["average_step_score"] == 0
        assert summary["wrong_format"] == 54
    assert not check_dataset("agentnetbench", ANB).findings


@needs_data
def test_alternative_scores_like_recorded_action() -> None:
    step = next(name for name in agentnetbench.read_dataset(ANB).tasks if len(name.options) > 1)
    other = step.options[1][0]
    assert step.size is not None
    x, y = (round(n * side) for n, side in zip(other.value, step.size, strict=True))
    predicted = [parse_action({"verb": "click", "x": x, "y": y})]
    assert agentnetbench.score_actions(step, predicted, OLD)[0] == 1
    assert agentnetbench.score_actions(replace(step, options=step.options[:1]), predicted, OLD)[0] < 1
    with pytest.raises(UsageError, match=f"{step.image} is missing"):
        agentnetbench.score_actions(replace(step, size=None), predicted, OLD)


HIT = RecordedAction("click", (0.5, 0.5), ((0.4, 0.4, 0.2, 0.2),))


@pytest.mark.parametrize(
    ("recorded", "predicted", "old", "new"),
    [
        ([HIT], [RecordedAction("click", (0.6, 0.4))], 1, 1),  # the box's corner
        ([RecordedAction("click", (0.5, 0.5))], [RecordedAction("click", (0.51, 0.51))], 1, 1),
        (
            [RecordedAction("click", (0.5, 0.5))],
            [RecordedAction("click", (0.5, 0.524142135623731))],
            0.301194,
            0.301194,
        ),  # e^-1.2
        ([HIT], [RecordedAction("rightclick", (0.5, 0.5))], 0, 0),
        ([HIT], [RecordedAction("click", (0.5, 0.5)), RecordedAction("write", "more")], 1, 0.5),
        ([RecordedAction("hotkey", ("ctrl", "v"))], [RecordedAction("hotkey", ("v", "ctrl"))], 1, 0),
        ([RecordedAction("press", ("down", "down"))], [RecordedAction("press", ("down",))], 1, 0),
        ([RecordedAction("scroll", -6)], [RecordedAction("scroll", -3)], 1, 0.5),
        ([RecordedAction("scroll", -3)], [RecordedAction("scroll", 3)], 1, 0),
        (
            [RecordedAction("write", "hello"), RecordedAction("press", ("enter",))],
            [RecordedAction("write", "Hello\n")],
            1,
            1,
        ),
        ([RecordedAction("terminate", "success")], [RecordedAction("terminate", "failure")], 0, 0),
        (
            [RecordedAction("moveto", (0.1, 0.1)), RecordedAction("scroll", -1)],
            [RecordedAction("moveto", (0.1, 0.1))],
            0.5,
            0.5,
        ),
        ([RecordedAction("moveto", (0.1, 0.1)), RecordedAction("scroll", -1)], [RecordedAction("scroll", -1)], 0, 0),
    ],
)
def test_sequence_score_matches_official_script(
    recorded: list[RecordedAction], predicted: list[RecordedAction], old: float, new: float
) -> None:
    assert score_sequence(recorded, predicted, OLD)[0] == pytest.approx(old, abs=1e-5)
    assert score_sequence(recorded, predicted, NEW)[0] == pytest.approx(new, abs=1e-5)


def test_text_similarity_follows_edit_distance() -> None:
    assert levenshtein("kitten", "sitting") == 3
    assert levenshtein("", "abc") == 3
    assert levenshtein("abc", "abc") == 0
    assert text_similarity("abcdefghij", "abcdefghxy") == 1  # similarity 0.8
    assert text_similarity("abcd", "abxx") == pytest.approx(0.625)
    assert text_similarity("", " ") == 1
