"""Plots of training logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the package matplotlib is missing (extra [train])")

from actions import UsageError
from training.plot import plot_losses, present_name, read_log


def write_log(folder: Path, *records: dict[str, Any], truncated: str = "") -> Path:
    folder.mkdir()
    (folder / "losses.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + truncated)
    return folder


def plot(*runs: Path) -> str:
    """Return the SVG of the runs."""
    out = runs[0].parent / "figures" / "curves.svg"
    plot_losses(runs, out)
    return out.read_text(encoding="utf-8")


def test_figure_has_losses_and_accuracies(tmp_path: Path) -> None:
    record = {"step": 20, "loss": 12.0, "token": 10.0, "token_right": 0.25, "s": 1.5}
    svg = plot(write_log(tmp_path / "a", record, {**record, "step": 40, "token": 0.1, "token_right": 0.5}))
    for text in ("a: losses", "a: accuracy", "token 0.1", "token 0.5"):
        assert text in svg
    assert "loss 12" not in svg


def test_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    records = [{"step": step, "token": value} for step, value in ((20, 4.0), (40, 3.0), (40, 2.0), (60, 1.0))]
    run = write_log(tmp_path / "a", *records, truncated='{"step": 80, "to')
    assert read_log(run) == {"token": {20: 4.0, 40: 2.0, 60: 1.0}}


def test_strips_have_their_own_row(tmp_path: Path) -> None:
    strips = {"strip_loss": 9.0, "strip_token": 2.0, "strip_char_token_right": 0.5, "strip_point_bins": 0.0}
    svg = plot(write_log(tmp_path / "a", {"step": 20, "token": 1.0, **strips}))
    for text in ("a: losses", "a, strips: losses", "token 1", "token 2", "char_token 0.5"):
        assert text in svg
    for text in ("strip_", "point_bins"):
        assert text not in svg


def test_figure_is_reproducible(tmp_path: Path) -> None:
    run = write_log(tmp_path / "a", {"step": 20, "token": 1.0}, {"step": 40, "token": 0.5})
    assert plot(run) == plot(run)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gaze", "target_attention"),
        ("gaze_right", "target_attention_right"),
        ("gaze_sought", "target_attention_cell_right"),
        ("named_sought", "named_cell_right"),
        ("strip_said_early", "strip_char_token_early"),
        ("moved_practice", "encoder_anchor_practice"),
        ("token_right", "token_right"),
    ],
)
def test_old_metric_names_are_read(old: str, new: str) -> None:
    assert present_name(old) == new


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"token": 1.0}, {"step": 2, "token": 1.0}], r"line 1 of .*losses\.jsonl is not the record of a step"),
        ([{"step": 1}], "has no metrics yet"),
    ],
)
def test_invalid_log_raises_usage_error(records: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    out = tmp_path / "curves.svg"
    with pytest.raises(UsageError, match=message):
        plot_losses([write_log(tmp_path / "a", *records)], out)
    assert not out.exists()


def test_missing_log_raises_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .* folder of a training run"):
        plot_losses([tmp_path], tmp_path / "curves.svg")


def test_no_runs_raise_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one run"):
        plot_losses([], tmp_path / "curves.svg")
