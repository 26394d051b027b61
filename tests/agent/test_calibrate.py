"""Tests of `agent calibrate`: pointer errors, and a model's clicks and color names."""

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
from envs.calibration.target import COLORS, SIDE, Marker, PageTarget, PointerEvent, default_markers


class Canvas:
    """A target and the surface that shows it; actions arrive `offset` pixels lower."""

    name = "canvas"

    def __init__(self, offset: int = 0, verbs: tuple[str, ...] = ("move", "click")) -> None:
        self.offset, self.supported_verbs = offset, frozenset(verbs)
        self.last: PointerEvent | None = None
        self.actions: list[Any] = []

    def paint(
        self, painted: list[Marker], background: tuple[int, int, int] = (255, 255, 255), side: int = SIDE
    ) -> None:
        self.pixels = np.full((500, 800, 3), background, np.uint8)
        self.centers = {marker.color: (round(marker.x * 800), round(marker.y * 500)) for marker in painted}
        for color, (x, y) in self.centers.items():
            half = side // 2
            self.pixels[y - half : y + half + 1, x - half : x + half + 1] = COLORS[color]
        self.last = None

    def last_pointer_event(self) -> PointerEvent | None:
        return self.last

    def verbs(self) -> frozenset[str]:
        return self.supported_verbs

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def perform(self, action: Any) -> str:
        self.actions.append(action)
        x, y = action.x, action.y + self.offset
        color = min(
            self.centers, key=lambda marker: abs(self.centers[marker][0] - x) + abs(self.centers[marker][1] - y)
        )
        center = self.centers[color]
        self.last = PointerEvent(color, x - center[0], y - center[1], action.verb == "click")
        return ""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs.calibration import target

    monkeypatch.setattr(calibration, "wait_for", lambda ask, enough: target.wait_for(ask, enough, 0.0))


@pytest.mark.parametrize(("offset", "is_ok"), [(0, True), (1, True), (2, False), (-7, False), (400, False)])
def test_pointer_error_decides_result(offset: int, is_ok: bool) -> None:
    canvas = Canvas(offset)
    results = pointer_results("canvas", canvas, canvas)
    assert len(results) == len(COLORS)
    assert {action.verb for action in canvas.actions} == {"move"}
    assert (
        [result.ok for result in results] == [is_ok] * 5
        if abs(offset) < 400
        else not all(result.ok for result in results)
    )
    if abs(offset) < 400:
        assert all(result.off_px == abs(offset) for result in results)
        x, y = results[0].intended or (0, 0)
        assert results[0].arrived == (x, y + offset)


def test_surface_without_pointer_is_tapped() -> None:
    canvas = Canvas(verbs=("click",))
    assert all(result.ok for result in pointer_results("phone", canvas, canvas))
    assert {action.verb for action in canvas.actions} == {"click"}


def test_undetected_marker_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.calibration.target.time.sleep", lambda seconds: None)
    monkeypatch.setattr(calibration, "wait_for_markers", lambda capture, colors: (capture(), {}))
    canvas = Canvas()
    results = pointer_results("canvas", canvas, canvas)
    assert not any(result.ok for result in results)
    assert canvas.actions == []
    assert "not in the screenshot" in results[0].note


def click(x: int, y: int) -> str:
    return json.dumps({"verb": "click", "x": x, "y": y})


def test_model_clicks_and_color_names_are_judged() -> None:
    centers = {marker.color: (round(marker.x * 800), round(marker.y * 500)) for marker in default_markers()}
    red, blue = centers["red"], centers["blue"]
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
    results = list(model_results("canvas", canvas, canvas, ScriptPolicy(replies)))
    assert [(result.test, result.ok) for result in results] == [
        ("model clicks red", True),
        ("model clicks blue", True),
        ("model clicks green", False),
        ("model clicks purple", False),
        ("model clicks orange", False),
        ("model reads blue", True),
        ("model reads red", False),
        ("model reads green", False),
    ]
    assert results[1].off_px == MODEL_SIDE // 2
    assert "nearer to red" in results[2].note
    assert 'chose to type "rm -rf /"' in results[3].note
    assert "not JSON" in results[4].note
    assert {action.verb for action in canvas.actions} == {"click"}, "only clicks are performed"
    assert "It is Blue." in results[5].note


def test_table_has_rows_and_summary() -> None:
    canvas = Canvas(3)
    lines = format_table(pointer_results("canvas", canvas, canvas)).splitlines()
    assert len(lines) == 7
    assert "3.0 px  MISS" in lines[1]
    assert lines[-1] == "0 of 5 tests passed"
    exact = Canvas()
    assert (
        format_table(pointer_results("canvas", exact, exact)).splitlines()[-1]
        == "5 of 5 tests passed: clicks arrive where they are aimed"
    )


def test_page_target_requires_evaluate() -> None:
    with pytest.raises(UsageError, match="nothing can be painted on this canvas surface"):
        PageTarget(Canvas())


def test_real_browser_has_no_pointer_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs.chromium.executable import find_chrome

    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from envs.calibration import target

    monkeypatch.setattr(calibration, "wait_for", target.wait_for)
    results = calibrate(Settings(surface="browser", width=801, height=601))
    assert [result.off_px for result in results] == [0.0] * 5
    assert all(result.ok and result.screen == "browser" for result in results)


def test_unknown_monitor_raises_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table would read as success."""
    from envs.desktop import backend
    from envs.desktop.geometry import Box, Monitor

    class SingleMonitor:
        def monitors(self) -> list[Monitor]:
            return [Monitor(1, Box(0, 0, 800, 500), True)]

        def close(self) -> None:
            pass

    monkeypatch.setattr(backend, "open_backend", lambda display: SingleMonitor())
    for surface in ("desktop:monitor:9", "desktop:nonsense"):
        with pytest.raises(UsageError, match=r"have virtual, monitor:1 \(800x500\)"):
            calibrate(Settings(surface=surface))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY exists on X11 only")
@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "DISPLAY is not set; use --surface desktop:virtual"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "a Wayland session"),
    ],
)
def test_unusable_display_fails_before_model_is_loaded(
    environ: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        calibrate(Settings(surface="desktop"), lambda: pytest.fail("the model was loaded"))
