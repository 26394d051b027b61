"""Recorded runs as a benchmark: what is read, what is left out, and how predictions are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.made_runs import make_screen
from typer.testing import CliRunner

from actions import Reply, Screen, Step, UsageError, parse_action
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from agent.trace import FRAMES, TraceWriter
from evals.benchmarks.traces import BENCHMARKS, agreement, read_dataset
from evals.metrics.geometry import box_contains
from evals.predictor import Predictor
from evals.score_cli import app

BENCH = BENCHMARKS["traces"]
AREA = [100, 100, 40, 30]
CLICK: dict[str, Any] = {"verb": "click", "x": 120, "y": 110}
TYPE: dict[str, Any] = {"verb": "type", "text": "alice"}
BUTTON = {"role": "button", "label": "Go", "field": "", "area": AREA, "neighbors": []}


def write_run(
    root: Path,
    name: str,
    actions: Sequence[Mapping[str, Any] | None],
    *,
    status: str = "success",
    target: Mapping[str, Any] | None = BUTTON,
    errors: Mapping[int, str] | None = None,
    masked: Sequence[int] = (),
) -> Path:
    """Write the trace of a run whose steps have these actions, None for an invalid reply."""
    folder = root / name
    folder.mkdir(parents=True)
    writer = TraceWriter(folder, {"goal": "go", "surface": "browser", "policy": {}, "settings": {}})
    writer.write("start", goal="go", seed=None, max_steps=9, screen=make_screen(0), note="")
    for number, fields in enumerate(actions, 1):
        action = parse_action(dict(fields)) if fields is not None else None
        text = json.dumps(fields) if fields is not None else "no idea"
        mark = {"masked": True} if number in masked else {}
        writer.write("reply", step=number, screen=make_screen(number), reply=Reply(text), **mark)
        call = JsonDialect().parse(text) if fields is not None else None
        if action is not None:
            writer.write("act.intent", step=number, call=call, action=action, targets=[target])
        error = (errors or {}).get(number, "" if action is not None else "no call")
        writer.write(
            "act.result",
            step=number,
            call=call,
            action=action,
            error=error,
            note="",
            reward=0.0,
            seconds=0.1,
            verdict=None,
            screen=make_screen(number + 1),
            timings_s={},
        )
    writer.write("end", status=status, cause="own word", message="", reward=None, steps=len(actions))
    writer.close()
    return folder


class RecordingPolicy(DialectPolicyMixin):
    """Click a fixed point and record the history that it is given."""

    def __init__(self, action: Mapping[str, Any]) -> None:
        self.dialect = JsonDialect()
        self.metadata: Mapping[str, object] = {"model": "fixed", "fingerprint": "", "prompt_hash": "plain"}
        self.histories: list[list[str]] = []
        self._action = action

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        self.histories.append([step.reply.text for step in steps])
        return Reply(json.dumps(self._action))

    def close(self) -> None:
        pass


def test_oracle_agrees_with_every_step(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK, TYPE, {"verb": "press", "keys": ["enter"]}, {"verb": "done"}])
    dataset = read_dataset(tmp_path)
    predictions = {task.id: BENCH.oracle(task) for task in dataset.tasks}
    result = BENCH.score(dataset, predictions, "box")
    assert [task.id for task in dataset.tasks] == ["a/1", "a/2", "a/3", "a/4"]
    assert result.accuracy == 1.0
    assert result.metrics["text"]["total"] == 2
    assert result.metrics["run"]["correct"] == 1


def test_prediction_gets_recorded_history(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK, TYPE, CLICK])
    dataset = read_dataset(tmp_path / "a")
    policy = RecordingPolicy({"verb": "wait"})
    predictor = Predictor(BENCH, dataset, "box", "high", policy)
    results = list(predictor.predict([task.id for task in dataset.tasks], {}))
    predictor.close()
    recorded = [json.dumps(CLICK), json.dumps(TYPE)]
    assert policy.histories == [[], recorded[:1], recorded]
    assert [result.score.outcome for result in results if result.score] == ["wrong"] * 3


@pytest.mark.parametrize(
    ("recorded", "predicted", "protocol", "expected"),
    [
        (CLICK, {**CLICK, "x": 101, "y": 128}, "box", {"type": True, "target": True}),
        (CLICK, {**CLICK, "x": 141}, "box", {"type": True, "target": False}),
        (CLICK, {**CLICK, "x": 137}, "distance", {"type": True, "target": True}),
        (CLICK, {**CLICK, "x": 139}, "distance", {"type": True, "target": False}),
        (CLICK, {**CLICK, "count": 2}, "box", {"type": False, "target": False}),
        (CLICK, TYPE, "box", {"type": False, "target": False}),
        (TYPE, {**TYPE, "text": "Alice"}, "box", {"type": True, "text": False}),
        ({"verb": "scroll", "down": 3}, {"verb": "scroll", "down": 9}, "box", {"type": True}),
        ({"verb": "scroll", "down": 3}, {"verb": "scroll", "down": -3}, "box", {"type": False}),
    ],
)
def test_parts_of_agreement(
    tmp_path: Path, recorded: dict[str, Any], predicted: dict[str, Any], protocol: str, expected: dict[str, bool]
) -> None:
    write_run(tmp_path, "a", [recorded])
    (task,) = read_dataset(tmp_path).tasks
    assert agreement(task, parse_action(predicted), protocol) == expected


def test_unknown_element_is_compared_by_distance(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK], target=None)
    (task,) = read_dataset(tmp_path).tasks
    assert task.box is None
    assert agreement(task, parse_action({**CLICK, "x": 137}), "box")["target"]
    assert not agreement(task, parse_action({**CLICK, "x": 139}), "box")["target"]


def test_box_holds_exactly_the_pixels_of_its_area(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK])
    (task,) = read_dataset(tmp_path).tasks
    assert box_contains(task.box, (100, 100))
    assert box_contains(task.box, (139, 129))
    assert not box_contains(task.box, (140, 110))


def test_steps_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    secret = {"verb": "type", "text": "•••"}
    write_run(tmp_path, "a", [None, CLICK, secret, CLICK, CLICK], errors={2: "denied"}, masked=[4])
    write_run(tmp_path, "b", [CLICK, CLICK], status="failure")
    dataset = read_dataset(tmp_path)
    assert [task.id for task in dataset.tasks] == ["a/5"]
    assert dataset.extra["left_out"] == {
        "without an action": 1,
        "whose action was not carried out": 1,
        "that type a secret": 1,
        "with a masked screenshot": 1,
        "of runs that ended with 'failure'": 2,
    }
    assert "left out 6 steps" in dataset.notes[0]


def test_old_trace_masks_all_after_a_secret(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK, {"verb": "type", "text": "•••"}, CLICK])
    assert [task.id for task in read_dataset(tmp_path).tasks] == ["a/1"]


def test_missing_screenshot_ends_the_history(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [CLICK, TYPE, CLICK])
    (folder / FRAMES / f"{make_screen(2).digest}.png").unlink()
    dataset = read_dataset(tmp_path)
    assert [task.id for task in dataset.tasks] == ["a/1"]
    assert "2 without their screenshot" in dataset.notes[0]


def test_failed_run_counts_if_named_itself(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [CLICK], status="failure")
    assert len(read_dataset(folder).tasks) == 1


@pytest.mark.parametrize("actions", [[], [None]])
def test_no_comparable_step_is_an_error(tmp_path: Path, actions: list[None]) -> None:
    write_run(tmp_path, "a", actions)
    with pytest.raises(UsageError, match="no step"):
        read_dataset(tmp_path)


def test_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder of runs"):
        read_dataset(tmp_path)


def test_changed_trace_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [CLICK])
    folder = write_run(tmp_path, "b", [CLICK])
    path = folder / "steps.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"x": 120', b'"x": 121'))
    dataset = read_dataset(tmp_path)
    assert [task.id for task in dataset.tasks] == ["a/1"]
    assert "1 damaged" in dataset.notes[0]


def test_predictions_file_is_scored_by_agent_score(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "a", [CLICK, TYPE])
    path = tmp_path / "predictions.jsonl"
    lines = [BENCH.oracle(task) for task in read_dataset(tmp_path / "runs").tasks]
    lines[1]["actions"] = [{**TYPE, "text": "bob"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["traces", "--data", str(tmp_path / "runs"), "--predictions", str(path), "--json"]
    summary = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (summary["correct"], summary["total"]) == (1, 2)
    assert summary["metrics"]["type"]["accuracy"] == 1.0
    assert summary["metrics"]["text"]["correct"] == 0
