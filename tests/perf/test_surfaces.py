"""Benchmarks of surfaces: both sides in alternation, by medians, with a reason for what cannot be measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from typer.testing import CliRunner

from actions import SurfaceError, UsageError
from perf import surfaces
from perf.surface_baselines import TimedCall
from perf.surfaces import WARMUP_ROUNDS, SurfaceComparison, format_timings, measure, select_surfaces


def scripted_call(times_ms: list[float], log: list[str], name: str) -> TimedCall:
    def call(number: int) -> float:
        log.append(f"{name}{number}")
        return times_ms[number]

    return call


def use_comparison(
    monkeypatch: pytest.MonkeyPatch, comparison: SurfaceComparison | None, error: Exception | None = None
) -> None:
    @contextmanager
    def open_comparison() -> Iterator[SurfaceComparison]:
        if error is not None:
            raise error
        assert comparison is not None
        yield comparison

    monkeypatch.setattr(surfaces, "SURFACES", {"fake": open_comparison})


def test_sides_alternate_and_warmup_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    ours = {"look": scripted_call([900, 900, 1, 2, 90], log, "o")}
    baseline = {"look": scripted_call([900, 900, 4, 5, 6], log, "b")}
    use_comparison(monkeypatch, SurfaceComparison(ours, baseline, "a library"))
    (row,) = measure("fake", rounds=3)
    assert (row.ours_ms, row.peer_ms, row.ratio, row.rounds) == (2, 5, 2.5, 3)
    assert WARMUP_ROUNDS == 2
    assert log == ["o0", "b0", "o1", "b1", "o2", "b2", "o3", "b3", "o4", "b4"]
    assert row.as_dict() == {
        "surface": "fake", "what": "look", "ours_ms": 2, "peer": "a library", "peer_ms": 5, "rounds": 3, "problem": "",
        "ratio": 2.5, "baseline": "a library", "baseline_ms": 5,
    }  # fmt: skip


def test_failing_baseline_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> float:
        raise SurfaceError("no scrot here")

    ours: dict[str, TimedCall] = {"look": lambda number: 3.0, "act": lambda number: 4.0}
    use_comparison(monkeypatch, SurfaceComparison(ours, {"look": fail}, "a library"))
    look, act = measure("fake", rounds=2)
    assert (look.ours_ms, look.peer_ms, look.ratio, look.problem) == (3.0, None, None, "no scrot here")
    assert (act.ours_ms, act.peer_ms, act.problem) == (4.0, None, "")
    assert "no scrot here" in format_timings([look, act])
    assert " -" in format_timings([look])


def test_missing_surface_is_a_row_with_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    use_comparison(monkeypatch, None, UsageError("Xvfb is missing"))
    (row,) = measure("fake", rounds=1)
    assert row.ours_ms is None
    assert row.problem == "Xvfb is missing"
    with pytest.raises(UsageError, match="no surface could be measured: Xvfb is missing"):
        surfaces.surfaces(["fake"], 1, json=True)


def test_surface_names_are_checked() -> None:
    assert select_surfaces(["phone", "browser", "phone"]) == ["phone", "browser"]
    with pytest.raises(UsageError, match="one of browser, desktop:virtual, phone, not 'desktop'"):
        select_surfaces(["desktop"])


@pytest.mark.parametrize("option", ["--surface", "--on"])
def test_command_prints_json_per_row(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = SurfaceComparison({"look": lambda number: 3.0}, {"look": lambda number: 6.0}, "a library")
    use_comparison(monkeypatch, comparison)
    app = typer.Typer()
    app.command()(surfaces.surfaces)
    result = CliRunner().invoke(app, [option, "fake", "--rounds", "2", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ratio"] == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["browser", "desktop:virtual", "phone"])
def test_real_surface_is_measured(name: str) -> None:
    rows = measure(name, rounds=2)
    if rows[0].ours_ms is None:
        pytest.skip(f"{name} is not available: {rows[0].problem}")
    operations = ["guard", "look", "act", "step", "type"] if name != "phone" else ["guard", "look", "act", "step"]
    assert [row.what for row in rows] == operations
    for row in rows:
        assert row.ours_ms is not None
        assert row.ours_ms > 0
        assert row.problem or (row.peer_ms is not None and row.peer_ms > 0), row
