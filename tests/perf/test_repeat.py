"""Practice pages: the same seeds and actions give the same screens and rewards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from helpers.desktop_programs import require_programs
from typer.testing import CliRunner

from perf import repeat
from perf.cli import app
from perf.repeat import EpisodeRecord, Kind, RepeatResult, busy_processes, compare_runs

SEEDS = range(repeat.SEED_START, repeat.SEED_START + 5)


@pytest.mark.browser
def test_two_runs_give_same_screens(chrome: str) -> None:
    for result in compare_runs(["use-autocomplete", "chase-circle"], SEEDS[:1], runs=2, steps=6):
        assert result.screens > 2
        assert result.different == 0


@pytest.mark.desktop
def test_desktop_runs_give_same_screens(chrome: str) -> None:
    require_programs("Xvfb")
    for result in compare_runs(["terminal", "chase-circle"], SEEDS[:1], 2, steps=6, surface_name="desktop:virtual"):
        assert result.screens > 2
        assert result.different == 0


@pytest.mark.browser
@pytest.mark.slow
def test_runs_beside_busy_processes_give_same_screens(chrome: str) -> None:
    with busy_processes(2):
        results = compare_runs(repeat.TASKS, SEEDS, runs=3, steps=8)
    assert len(results) == 20
    assert all(result.screens > 15 for result in results)
    assert [result.task for result in results if result.different] == []


def fake_runs(monkeypatch: pytest.MonkeyPatch, digests: Sequence[str]) -> None:
    remaining = iter(digests)

    def record(
        tasks: Sequence[str], seeds: Sequence[int], steps: int, surface_name: str
    ) -> Iterator[tuple[tuple[str, int, Kind], EpisodeRecord]]:
        records = [("start", 0.0, False), (next(remaining), 1.0, True)]
        yield (tasks[0], seeds[0], "scripted"), EpisodeRecord("goal", records)

    monkeypatch.setattr(repeat, "record_run", record)


def test_different_screen_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runs(monkeypatch, ["a", "a", "b"])
    assert compare_runs(["click-test"], SEEDS[:1], runs=3, steps=1) == [RepeatResult("click-test", 6, 1)]


def test_difference_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runs(monkeypatch, ["a", "b"])
    result = CliRunner().invoke(app, ["repeat", "click-test", "--seeds", "1", "--runs", "2", "--busy", "0", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["found"] == [{"task": "click-test", "screens": 4, "different": 1}]
