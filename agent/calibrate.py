"""Whether clicks land: squares are painted, seen in a picture, moved to, and told where the pointer really came.

Knows surfaces and policies by their protocols. A model, where one is given, clicks the squares itself and reads a
color that fills the screen; nothing but its clicks is carried out, and our own window or page lies under them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from actions import Click, InvalidActionError, dispatch, make_action
from agent.config import Settings
from agent.policies.base import Policy
from agent.session import open_surface, surface_name
from agent.ui.formatting import describe_action, sanitize
from envs.calibration.target import (
    COLORS,
    DetectedMarker,
    PageTarget,
    PointerEvent,
    WindowTarget,
    default_markers,
    wait_for,
    wait_for_markers,
)

MOST_PX = 1.0  # off by more is a miss
MODEL_SIDE = 61  # of the squares that a model clicks, in the easel's units
READ = ("blue", "red", "green")  # colors that a model reads
QUESTION = "What colour fills the whole screen? Answer with one word."


@dataclass(frozen=True)
class CalibrationResult:
    """One test. intended and arrived are pixels of the screen, None where there were none; off_px is between them."""

    screen: str
    test: str
    ok: bool
    intended: tuple[int, int] | None = None
    arrived: tuple[float, float] | None = None
    off_px: float | None = None
    note: str = ""


def calibrate(settings: Settings, load: Callable[[], Policy] | None = None) -> list[CalibrationResult]:
    """Every row, for the screen that the settings name: of somebody's desktop, for each monitor.

    load gives the model, once a screen is open: a screen that is not there is said before minutes of loading.
    """
    rows: list[CalibrationResult] = []
    policy: Policy | None = None
    for name, surface, easel in _targets(settings):
        rows += pointer_rows(name, surface, easel)
        if load is not None:
            policy = policy or load()
            rows += model_rows(name, surface, easel, policy)
    return rows


def pointer_rows(name: str, surface: Any, easel: Any) -> list[CalibrationResult]:
    """Move to the middle of each square (tap it, where nothing hovers), and compare."""
    painted, rows = default_markers(), []
    easel.paint(painted)
    _, seen = wait_for_markers(surface.capture, [square.color for square in painted])
    verb = "move" if "move" in surface.verbs() else "click"
    for square in painted:
        test = f"{verb} to {square.color}"
        if square.color not in seen:
            rows.append(CalibrationResult(name, test, False, note="the square is not in the picture"))
            continue
        spot = seen[square.color]
        surface.perform(make_action(verb, x=spot.x, y=spot.y))
        touch = wait_for(easel.last_pointer_event, partial(_pointer_reached, color=square.color))
        rows.append(
            _compared(CalibrationResult(name, test, False, (spot.x, spot.y)), spot, touch, square.color, MOST_PX)
        )
    return rows


def model_rows(name: str, surface: Any, easel: Any, policy: Policy) -> Iterator[CalibrationResult]:
    """Have the model click each square, and read a color."""
    painted = default_markers()
    for square in painted:
        easel.paint(painted, side=MODEL_SIDE)
        screen, seen = wait_for_markers(surface.capture, [square.color for square in painted], MODEL_SIDE)
        row = CalibrationResult(name, f"model clicks {square.color}", False)
        if square.color not in seen:
            yield replace(row, note="the square is not in the picture")
            continue
        spot = seen[square.color]
        row = replace(row, intended=(spot.x, spot.y))
        reply = policy.decide(f"Click the {square.color} square.", [], screen, surface.verbs())
        try:
            action = policy.to_actions(policy.parse(reply), screen)[0]
            if not isinstance(action, Click):
                raise InvalidActionError(f"it wants to {describe_action(action)}")
            dispatch(action, surface, screen)
        except InvalidActionError as error:
            yield replace(row, note=sanitize(error, 200))
            continue
        touch = wait_for(easel.last_pointer_event, partial(_pointer_reached, color=square.color, pressed=True))
        yield _compared(row, spot, touch, square.color, MODEL_SIDE / 2 * spot.scale)
    for color in READ:
        easel.paint([], background=COLORS[color])
        screen = wait_for(surface.capture, partial(_filled_screen, rgb=COLORS[color]))
        reply = policy.decide(QUESTION, [], screen, surface.verbs() | {"answer"})
        said = reply.text.lower()
        right = color in said and not any(other in said for other in COLORS if other != color)
        yield CalibrationResult(name, f"model reads {color}", right, note=f"it says: {sanitize(reply.text, 200)}")


def format_table(rows: Sequence[CalibrationResult]) -> str:
    """The rows for a person, and a verdict."""
    lines = [f"{'screen':22} {'test':22} {'intended':>14} {'arrived':>16} {'off by':>9}"]
    for row in rows:
        intended = "" if row.intended is None else f"({row.intended[0]}, {row.intended[1]})"
        arrived = "" if row.arrived is None else f"({row.arrived[0]:g}, {row.arrived[1]:g})"
        off = "" if row.off_px is None else f"{row.off_px:.1f} px"
        end = f"{'ok' if row.ok else 'MISS'}{'; ' + row.note if row.note else ''}"
        lines.append(f"{row.screen:22} {row.test:22} {intended:>14} {arrived:>16} {off:>9}  {end}")
    missed = sum(not row.ok for row in rows)
    lines.append(f"{len(rows) - missed} of {len(rows)} landed" + ("" if missed else ": clicks go where they are sent"))
    return "\n".join(lines)


def _targets(settings: Settings) -> Iterator[tuple[str, Any, Any]]:
    """(name, surface, what is painted on) for each screen; both are closed when the next one is asked for."""
    if surface_name(settings) != "desktop" or settings.on == "desktop:virtual":
        on_a_page = replace(settings, url="about:blank")
        with closing(open_surface(on_a_page)) as surface, closing(PageTarget(surface)) as page:
            yield settings.on, surface, page
        return
    from envs.desktop import backend
    from envs.desktop.geometry import select_monitor

    with closing(backend.open_backend(None)) as own:
        monitors = own.monitors()
    named = settings.on.partition(":")[2]
    for monitor in [select_monitor(monitors, named)] if named else monitors:
        where = f"desktop:monitor:{monitor.number}"
        with (
            closing(open_surface(replace(settings, on=where))) as surface,
            closing(WindowTarget(monitor.box, bare=True)) as window,
        ):
            yield where, surface, window


def _compared(
    row: CalibrationResult, spot: DetectedMarker, touch: PointerEvent | None, color: str, most_px: float
) -> CalibrationResult:
    if touch is None:
        return replace(row, note="nothing arrived there")
    dx, dy = touch.dx * spot.scale, touch.dy * spot.scale
    if touch.color != color:
        return replace(row, note=f"it arrived nearer to {touch.color}")
    off = max(abs(dx), abs(dy))
    arrived = (round(spot.x + dx, 1), round(spot.y + dy, 1))
    return replace(row, arrived=arrived, off_px=round(math.hypot(dx, dy), 2), ok=off <= most_px)


def _pointer_reached(touch: PointerEvent | None, color: str, pressed: bool = False) -> bool:
    return touch is not None and touch.color == color and (touch.pressed or not pressed)


def _filled_screen(screen: Any, rgb: tuple[int, int, int]) -> bool:
    return all(tuple(int(value) for value in screen.pixels[y, x]) == rgb for x, y in ((9, 9), (-9, -9)))
