"""Corrections as training data: the stored rows, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.made_runs import CLICK, MadeStep, make_run, make_screen

from actions import Screen
from agent.trace import Trace, read_trace
from training.corrections import store_corrections
from training.dataset import read_samples
from training.packing import format_reply
from training.sft_data import load_source, prepare_screen

MISS: dict[str, Any] = {"verb": "click", "x": 5, "y": 5}
BUTTON = {"role": "button", "label": "Go", "field": "", "area": [100, 100, 40, 30], "neighbors": []}
ENTRY = {"folder": ".", "share": 1.0, "questions": 1}


def big_screen(number: int) -> Screen:
    return make_screen(number, 1288, 728)


def correct(root: Path, *, url: str = "miniwob:click-test", seed: int | None = 7, screen: Any = make_screen) -> Trace:
    """Return the trace of a run on a page in which a person moved a click."""
    approval = {"answer": "edited", "edited": CLICK, "targets": [BUTTON]}
    step = MadeStep(MISS, decision={"action": CLICK}, approval=approval)
    return read_trace(make_run(root, [step], manifest={"url": url, "seed": seed}, screen=screen))


def test_correction_becomes_training_row(tmp_path: Path) -> None:
    count, left_out = store_corrections([correct(tmp_path / "runs")], tmp_path / "data")
    assert (count, dict(left_out)) == (1, {})
    (sample,) = read_samples(tmp_path / "data")
    assert (sample.source, sample.seed, sample.goal) == ("click-test", 7, "press the button")
    question = sample.own_question
    assert question is not None
    assert question.answer == {"action": "left_click", "coordinate": [120, 110]}
    assert question.box == (100, 100, 40, 30)
    assert '"coordinate": [120, 110]' in format_reply(question)


def test_recipe_reads_corrections(tmp_path: Path) -> None:
    store_corrections([correct(tmp_path / "runs")], tmp_path / "data")
    (sample,) = load_source(ENTRY, tmp_path / "data").samples["click-test"]
    assert prepare_screen(sample).frame.shape == (364, 280, 3)


def test_runs_of_equal_seed_are_together(tmp_path: Path) -> None:
    traces = [correct(tmp_path / "runs"), correct(tmp_path / "runs")]
    assert store_corrections(traces, tmp_path / "data")[0] == 2
    assert [sample.state for sample in read_samples(tmp_path / "data")] == [0, 1]
    count, left_out = store_corrections(traces[:1], tmp_path / "data")
    assert (count, left_out["corrections of seeds that are stored already"]) == (0, 1)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"url": "https://shop.example"}, "practice pages"),
        ({"seed": 900_001}, "kept for evaluation"),
        ({"screen": big_screen}, "other sizes"),
    ],
)
def test_unusable_corrections_are_left_out(tmp_path: Path, facts: dict[str, Any], reason: str) -> None:
    count, left_out = store_corrections([correct(tmp_path / "runs", **facts)], tmp_path / "data")
    assert count == 0
    assert reason in next(iter(left_out))
