"""`agent calibrate`: what lands is told, what misses is told, and a model's clicks and words are judged."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from actions import Screen, UsageError
from agent import calibrate as calibration
from agent.calibrate import MODEL_SIDE, calibrate, format_table, model_results, pointer_results
from agent.config import Settings
from agent.policies.scripted import ScriptPolicy
from envs.calibration.target import COLOURS, SIDE, Marker, PageTarget, PointerEvent, default_markers


class Canvas:
    """An easel and the surface that shows it: what is sent to a pixel arrives `off` pixels lower."""

    name = "canvas"

    def __init__(self, off: int = 0, verbs: tuple[str, ...] = ("move", "click")) -> None:
        self.off, self.can = off, frozenset(verbs)
        self.last: PointerEvent | None = None
        self.sent: list[Any] = []

    def paint(self, painted: list[Marker], ground: tuple[int, int, int] = (255, 255, 255), side: int = SIDE) -> None:
        self.pixels = np.full((500, 800, 3), ground, np.uint8)
        self.middles = {one.colour: (round(one.x * 800), round(one.y * 500)) for one in painted}
        for colour, (x, y) in self.middles.items():
            half = side // 2
            self.pixels[y - half : y + half + 1, x - half : x + half + 1] = COLOURS[colour]
        self.last = None

    def touched(self) -> PointerEvent | None:
        return self.last

    def verbs(self) -> frozenset[str]:
        return self.can

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def perform(self, action: Any) -> str:
        self.sent.append(action)
        x, y = action.x, action.y + self.off
        colour = min(self.middles, key=lambda one: abs(self.middles[one][0] - x) + abs(self.middles[one][1] - y))
        at = self.middles[colour]
        self.last = PointerEvent(colour, x - at[0], y - at[1], action.verb == "click")
        return ""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs import doctor

    monkeypatch.setattr(calibration, "settled", lambda ask, enough: doctor.settled(ask, enough, 0.0))


@pytest.mark.parametrize(("off", "ok"), [(0, True), (1, True), (2, False), (-7, False), (400, False)])
def test_each_square_is_moved_to_and_compared(off: int, ok: bool) -> None:
    canvas = Canvas(off)
    rows = pointer_results("canvas", canvas, canvas)
    assert len(rows) == len(COLOURS) and {action.verb for action in canvas.sent} == {"move"}
    assert [row.ok for row in rows] == [ok] * 5 if abs(off) < 400 else not all(row.ok for row in rows)
    if abs(off) < 400:
        assert all(row.off_px == abs(off) for row in rows)
        x, y = rows[0].intended or (0, 0)
        assert rows[0].arrived == (x, y + off)


def test_where_nothing_hovers_it_taps() -> None:
    canvas = Canvas(verbs=("click",))
    assert all(row.ok for row in pointer_results("phone", canvas, canvas))
    assert {action.verb for action in canvas.sent} == {"click"}


def test_what_is_not_in_the_picture_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.calibration.target.time.sleep", lambda seconds: None)
    monkeypatch.setattr(calibration, "shown", lambda capture, colours: (capture(), {}))
    canvas = Canvas()
    rows = pointer_results("canvas", canvas, canvas)
    assert not any(row.ok for row in rows) and canvas.sent == [] and "not in the picture" in rows[0].note


def click(x: int, y: int) -> str:
    return json.dumps({"verb": "click", "x": x, "y": y})


def test_a_model_clicks_the_squares_and_reads_colours() -> None:
    middles = {one.colour: (round(one.x * 800), round(one.y * 500)) for one in default_markers()}
    red, blue = middles["red"], middles["blue"]
    replies = [
        click(*red),
        click(blue[0] + MODEL_SIDE // 2, blue[1]),
        click(*red),
        json.dumps({"verb": "type", "text": "rm -rf /"}),
        "I cannot",
        "It is Blue.",
        "blue or red",
        "no idea",
    ]
    canvas = Canvas()
    rows = list(model_results("canvas", canvas, canvas, ScriptPolicy(replies)))
    assert [(row.test, row.ok) for row in rows] == [
        ("model clicks red", True),
        ("model clicks blue", True),
        ("model clicks green", False),
        ("model clicks purple", False),
        ("model clicks orange", False),
        ("model reads blue", True),
        ("model reads red", False),
        ("model reads green", False),
    ]
    assert rows[1].off_px == MODEL_SIDE // 2 and "nearer to red" in rows[2].note
    assert 'wants to type "rm -rf /"' in rows[3].note and "not JSON" in rows[4].note
    assert {action.verb for action in canvas.sent} == {"click"}, "nothing but clicks is carried out"
    assert "It is Blue." in rows[5].note


def test_the_table_has_a_line_for_each_and_a_verdict() -> None:
    canvas = Canvas(3)
    lines = format_table(pointer_results("canvas", canvas, canvas)).splitlines()
    assert len(lines) == 7 and "3.0 px  MISS" in lines[1] and lines[-1] == "0 of 5 landed"
    good = Canvas()
    assert (
        format_table(pointer_results("canvas", good, good)).splitlines()[-1]
        == "5 of 5 landed: clicks go where they are sent"
    )


def test_a_surface_that_nothing_can_be_painted_on_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match="nothing can be painted on this canvas surface"):
        PageTarget(Canvas())


def test_in_a_real_browser_every_square_is_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs.chromium.executable import find_chrome

    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from envs import doctor

    monkeypatch.setattr(calibration, "settled", doctor.settled)
    rows = calibrate(Settings(surface="browser", width=801, height=601))
    assert [row.off_px for row in rows] == [0.0] * 5 and all(row.ok and row.screen == "browser" for row in rows)


def test_a_monitor_that_is_not_there_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of nothing says that all is well."""
    from envs.desktop import backend
    from envs.desktop.geometry import Box, Monitor

    class One:
        def monitors(self) -> list[Monitor]:
            return [Monitor(1, Box(0, 0, 800, 500), True)]

        def close(self) -> None:
            pass

    monkeypatch.setattr(backend, "open_machine", lambda display: One())
    for on in ("desktop:monitor:9", "desktop:nonsense"):
        with pytest.raises(UsageError, match=r"have virtual, monitor:1 \(800x500\)"):
            calibrate(Settings(surface=on))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays by name are X11's")
@pytest.mark.parametrize(
    ("environ", "sentence"),
    [({}, "DISPLAY is not set; use --on desktop:virtual"), ({"WAYLAND_DISPLAY": "wayland-0"}, "a Wayland session")],
)
def test_a_display_that_cannot_be_used_is_said_before_a_model_is_loaded(
    environ: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=sentence):
        calibrate(Settings(surface="desktop"), lambda: pytest.fail("it was loaded"))
