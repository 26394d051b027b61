"""Corrections of runs: which edits count, and the cases that the evaluation reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.made_runs import CLICK, MadeStep, make_run

from actions import UsageError
from agent.corrections import Correction, read_corrections, write_cases
from agent.trace import read_trace
from evals.benchmarks.screenspot_pro import BENCHMARKS
from evals.benchmarks.traces import read_dataset

MISS: dict[str, Any] = {"verb": "click", "x": 5, "y": 5}
BUTTON = {"role": "button", "label": "Go", "field": "", "area": [100, 100, 40, 30], "neighbors": []}
TYPE: dict[str, Any] = {"verb": "type", "text": "a"}


def edit(action: dict[str, Any], edited: dict[str, Any], *, targets: list[Any] | None = None, **more: Any) -> MadeStep:
    """Return a step whose action the person replaced."""
    approval = {"answer": "edited", "edited": edited, "targets": targets if targets is not None else [BUTTON]}
    return MadeStep(action, decision={"action": edited}, approval=approval, **more)


def corrections_of(tmp_path: Path, *steps: MadeStep) -> list[Correction]:
    return read_corrections(read_trace(make_run(tmp_path, steps)))[0]


def test_moved_action_is_correction(tmp_path: Path) -> None:
    (correction,) = corrections_of(tmp_path, MadeStep(CLICK), edit(MISS, CLICK))
    assert correction.id.endswith("/2")
    assert correction.proposed.points() == ((5, 5),)
    assert correction.action.points() == ((120, 110),)
    assert correction.box == (100, 100, 139, 129)
    assert correction.instruction == 'button "Go"'
    assert correction.screen.digest == read_trace(correction.run).reply(2)["screen"]


def test_point_beside_elements_has_square(tmp_path: Path) -> None:
    (correction,) = corrections_of(tmp_path, edit(MISS, CLICK, targets=[], thought="the blue button"))
    assert correction.box == (106, 96, 134, 124)
    assert (correction.instruction, correction.source) == ("the blue button", "model")


def test_edge_of_screen_cuts_square(tmp_path: Path) -> None:
    (correction,) = corrections_of(tmp_path, edit(CLICK, {"verb": "click", "x": 279, "y": 2}, targets=[]))
    assert correction.box == (265, 0, 279, 16)


def test_moved_end_of_drag_counts(tmp_path: Path) -> None:
    before = {"verb": "drag", "path": [[1, 1], [50, 50]]}
    after = {"verb": "drag", "path": [[1, 1], [120, 110]]}
    (correction,) = corrections_of(tmp_path, edit(before, after, targets=[None, BUTTON]))
    assert correction.moved_index == 1
    assert correction.box == (100, 100, 139, 129)


@pytest.mark.parametrize(
    "step",
    [
        edit(TYPE, {"verb": "type", "text": "b"}),
        edit(MISS, {"verb": "long_press", "x": 120, "y": 110}),
        edit(MISS, CLICK, error="the person refused this"),
        MadeStep(CLICK, approval={"answer": "approved"}),
    ],
)
def test_other_answers_are_no_corrections(tmp_path: Path, step: MadeStep) -> None:
    assert corrections_of(tmp_path, step) == []


def test_left_out_edits_are_counted(tmp_path: Path) -> None:
    steps = [edit(TYPE, {"verb": "type", "text": "b"}), edit(MISS, CLICK, error="refused")]
    _, left_out = read_corrections(read_trace(make_run(tmp_path, steps)))
    assert sorted(left_out.values()) == [1, 1]


def test_cases_are_read_by_screenspot_pro(tmp_path: Path, agent: Agent) -> None:
    run = make_run(tmp_path / "runs", [edit(MISS, CLICK), edit(CLICK, MISS, targets=[])])
    folder = tmp_path / "cases"
    code, out, err = agent("runs", "corrections", str(run), "--to", str(folder))
    assert code == 0, out + err
    bench = BENCHMARKS["screenspot-pro"]
    dataset = bench.read(folder)
    assert [task.instruction for task in dataset.tasks] == ['button "Go"', "press the button"]
    assert all((folder / "images" / task.image).is_file() for task in dataset.tasks)
    assert bench.check_annotations(dataset) == []
    predictions = [bench.oracle(dataset.tasks[0]), {"id": dataset.tasks[1].id, "point": [120, 110]}]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in predictions))
    code, out, err = agent("score", "screenspot-pro", "--predictions", str(path), "--data", str(folder), "--json")
    assert code == 0, out + err
    assert json.loads(out)["averages"]["micro (over samples)"] == 0.5


def test_earlier_cases_are_kept(tmp_path: Path) -> None:
    first, second = (corrections_of(tmp_path, edit(MISS, CLICK)) for _ in range(2))
    write_cases(first, tmp_path / "cases")
    path = write_cases([*second, *first], tmp_path / "cases")
    assert [record["id"] for record in json.loads(path.read_text())] == [first[0].id, second[0].id]


def test_other_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "corrections.json"
    path.parent.mkdir()
    path.write_text('["mine"]')
    with pytest.raises(UsageError, match="--to"):
        write_cases(corrections_of(tmp_path / "runs", edit(MISS, CLICK)), tmp_path)
    assert path.read_text() == '["mine"]'


def test_runs_without_corrections_fail(tmp_path: Path, agent: Agent) -> None:
    run = make_run(tmp_path / "runs", [edit(TYPE, {"verb": "type", "text": "b"})])
    code, _, err = agent("runs", "corrections", str(run), "--to", str(tmp_path / "cases"))
    assert code == 1
    assert "left out: 1 edits of a text" in err
    assert not (tmp_path / "cases").exists()


def test_traces_compare_with_corrected_action(tmp_path: Path) -> None:
    run = make_run(tmp_path, [edit(MISS, CLICK)], manifest={"settings": {}})
    (step,) = read_dataset(run).tasks
    assert step.action.points() == ((120, 110),)
    assert step.box == (100, 100, 139, 129)
