"""Surfaces beside the peers' plain calls: in turns, by medians, and what cannot be measured is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from actions import SurfaceError, UsageError
from perf import surfaces
from perf.surfaces import WARM, Comparison, Row, chosen, measure, table


def scripted(spent: list[float], log: list[str], name: str) -> Any:
    def call(turn: int) -> float:
        log.append(f"{name}{turn}")
        return spent[turn]

    return call


def on(monkeypatch: pytest.MonkeyPatch, pair: Comparison | None, error: Exception | None = None) -> None:
    @contextmanager
    def opened() -> Iterator[Comparison]:
        if error is not None:
            raise error
        assert pair is not None
        yield pair

    monkeypatch.setattr(surfaces, "KINDS", {"still": opened})


def test_both_take_turns_and_the_median_of_what_is_warm_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    ours = {"look": scripted([900, 900, 1, 2, 90], log, "o")}
    theirs = {"look": scripted([900, 900, 4, 5, 6], log, "t")}
    on(monkeypatch, Comparison(ours, theirs, "a peer"))
    (row,) = measure("still", rounds=3)
    assert (row.ours_ms, row.peer_ms, row.ratio, row.rounds) == (2, 5, 2.5, 3)
    assert WARM == 2 and log == ["o0", "t0", "o1", "t1", "o2", "t2", "o3", "t3", "o4", "t4"]
    assert row.as_dict() == {
        "surface": "still", "what": "look", "ours_ms": 2, "peer": "a peer", "peer_ms": 5, "rounds": 3, "problem": "",
        "ratio": 2.5,
    }  # fmt: skip


def test_a_peer_that_fails_is_no_zero_and_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(turn: int) -> float:
        raise SurfaceError("no scrot here")

    on(monkeypatch, Comparison({"look": lambda turn: 3.0, "act": lambda turn: 4.0}, {"look": fails}, "a peer"))
    look, act = measure("still", rounds=2)
    assert (look.ours_ms, look.peer_ms, look.ratio, look.problem) == (3.0, None, None, "no scrot here")
    assert (act.ours_ms, act.peer_ms, act.problem) == (4.0, None, "")
    assert "no scrot here" in table([look, act]) and " -" in table([look])


def test_a_surface_that_cannot_be_had_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, None, UsageError("Xvfb is missing"))
    (row,) = measure("still", rounds=1)
    assert row.ours_ms is None and row.problem == "Xvfb is missing"
    with pytest.raises(UsageError, match="no surface could be measured: Xvfb is missing"):
        surfaces.surfaces(["still"], 1, json=True)


def test_names_are_said_once_and_unknown_ones_are_the_persons() -> None:
    assert chosen(["phone", "browser", "phone"]) == ["phone", "browser"]
    with pytest.raises(UsageError, match="on browser, desktop:virtual, phone, not on 'desktop'"):
        chosen(["desktop"])


def test_the_command_prints_a_line_of_json_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Comparison({"look": lambda turn: 3.0}, {"look": lambda turn: 6.0}, "a peer"))
    app = typer.Typer()
    app.command()(surfaces.surfaces)
    ran = CliRunner().invoke(app, ["--on", "still", "--rounds", "2", "--json"])
    assert ran.exit_code == 0 and json.loads(ran.stdout)["ratio"] == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["browser", "desktop:virtual", "phone"])
def test_each_real_surface_is_measured_beside_its_peer(name: str) -> None:
    rows = measure(name, rounds=2)
    if rows[0].ours_ms is None:
        pytest.skip(f"{name} cannot be had here: {rows[0].problem}")
    whats = ["look", "act", "step", "type"] if name != "phone" else ["look", "act", "step"]
    assert [row.what for row in rows] == whats
    for row in rows:
        assert isinstance(row, Row) and row.ours_ms is not None and row.ours_ms > 0
        assert row.problem or (row.peer_ms is not None and row.peer_ms > 0), row
