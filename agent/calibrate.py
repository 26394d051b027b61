"""calibrate: whether clicks arrive where they are aimed.

Markers are painted and located in a screenshot, the pointer is moved to them, and the positions where the events arrive
are compared. A model, where one is given, clicks the markers itself and names a color that fills the screen; only its
clicks are performed, and under them is pixelhand's own window or page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from actions import Click, InvalidActionError, Screen, Surface, dispatch, make_action
from agent.config import Settings
from agent.policies.base import Policy
from agent.session import open_surface, surface_name
from agent.ui.formatting import describe_action, sanitize
from envs.calibration.target import (
    COLOURS,
    DetectedMarker,
    Marker,
    PageTarget,
    PointerEvent,
    WindowTarget,
    default_markers,
    shown,
)
from envs.doctor import settled

MAX_ERROR_PX = 1.0  # a larger error is a miss
MODEL_SIDE = 61  # side of the markers that a model clicks, in the target's units
NAMED_COLORS = ("blue", "red", "green")  # that a model names
QUESTION = "What colour fills the whole screen? Answer with one word."


class CalibrationTarget(Protocol):
    """A page or a window on which markers are painted, and which reports the pointer events that arrive."""

    def paint(self, painted: Sequence[Marker], ground: tuple[int, int, int] = ..., side: int = ...) -> None:
        """Paint markers on a plain ground."""
        ...

    def touched(self) -> PointerEvent | None:
        """Return the last pointer event, relative to the nearest marker; None without one."""
        ...

    def close(self) -> None:
        """Remove the target from the screen."""
        ...


@dataclass(frozen=True)
class CalibrationResult:
    """The result of one test."""

    screen: str
    test: str
    ok: bool
    intended: tuple[int, int] | None = None  # in screen pixels; None when nothing was aimed at
    arrived: tuple[float, float] | None = None  # in screen pixels; None when nothing arrived
    off_px: float | None = None  # distance between them
    note: str = ""


def calibrate(settings: Settings, load: Callable[[], Policy] | None = None) -> list[CalibrationResult]:
    """Return the results for the surface that the settings name; for a desktop, those of each monitor.

    Args:
        settings: The settings of the surface.
        load: Loads a model to test too. It is called once a screen is open, as loading can take minutes.
    """
    results: list[CalibrationResult] = []
    policy: Policy | None = None
    for name, surface, target in _targets(settings):
        results += pointer_results(name, surface, target)
        if load is not None:
            policy = policy or load()
            results += model_results(name, surface, target, policy)
    return results


def pointer_results(name: str, surface: Surface, target: CalibrationTarget) -> list[CalibrationResult]:
    """Move to the center of each marker (tap it, where the surface has no pointer) and compare."""
    markers, results = default_markers(), []
    target.paint(markers)
    _, detected = shown(surface.capture, [marker.colour for marker in markers])
    verb = "move" if "move" in surface.verbs() else "click"
    for marker in markers:
        test = f"{verb} to {marker.colour}"
        if marker.colour not in detected:
            results.append(CalibrationResult(name, test, False, note="the marker is not in the screenshot"))
            continue
        spot = detected[marker.colour]
        surface.perform(make_action(verb, x=spot.x, y=spot.y))
        event = settled(target.touched, partial(_pointer_reached, colour=marker.colour))
        result = CalibrationResult(name, test, False, (spot.x, spot.y))
        results.append(_compared(result, spot, event, marker.colour, MAX_ERROR_PX))
    return results


def model_results(
    name: str, surface: Surface, target: CalibrationTarget, policy: Policy
) -> Iterator[CalibrationResult]:
    """Have the model click each marker and name a color."""
    markers = default_markers()
    for marker in markers:
        target.paint(markers, side=MODEL_SIDE)
        screen, detected = shown(surface.capture, [marker.colour for marker in markers], MODEL_SIDE)
        result = CalibrationResult(name, f"model clicks {marker.colour}", False)
        if marker.colour not in detected:
            yield replace(result, note="the marker is not in the screenshot")
            continue
        spot = detected[marker.colour]
        result = replace(result, intended=(spot.x, spot.y))
        reply = policy.decide(f"Click the {marker.colour} square.", [], screen, surface.verbs())
        try:
            action = policy.to_actions(policy.parse(reply), screen)[0]
            if not isinstance(action, Click):
                raise InvalidActionError(f"the model chose to {describe_action(action)}")
            dispatch(action, surface, screen)
        except InvalidActionError as error:
            yield replace(result, note=sanitize(error, 200))
            continue
        event = settled(target.touched, partial(_pointer_reached, colour=marker.colour, pressed=True))
        yield _compared(result, spot, event, marker.colour, MODEL_SIDE / 2 * spot.scale)
    for colour in NAMED_COLORS:
        target.paint([], ground=COLOURS[colour])
        screen = settled(surface.capture, partial(_filled_screen, rgb=COLOURS[colour]))
        reply = policy.decide(QUESTION, [], screen, surface.verbs() | {"answer"})
        text = reply.text.lower()
        is_right = colour in text and not any(other in text for other in COLOURS if other != colour)
        yield CalibrationResult(name, f"model reads {colour}", is_right, note=f"its reply: {sanitize(reply.text, 200)}")


def format_table(results: Sequence[CalibrationResult]) -> str:
    """Return the results as a table with a summary line."""
    lines = [f"{'screen':22} {'test':22} {'intended':>14} {'arrived':>16} {'off by':>9}"]
    for result in results:
        intended = "" if result.intended is None else f"({result.intended[0]}, {result.intended[1]})"
        arrived = "" if result.arrived is None else f"({result.arrived[0]:g}, {result.arrived[1]:g})"
        off = "" if result.off_px is None else f"{result.off_px:.1f} px"
        end = f"{'ok' if result.ok else 'MISS'}{'; ' + result.note if result.note else ''}"
        lines.append(f"{result.screen:22} {result.test:22} {intended:>14} {arrived:>16} {off:>9}  {end}")
    missed = sum(not result.ok for result in results)
    summary = f"{len(results) - missed} of {len(results)} tests passed"
    lines.append(summary + ("" if missed else ": clicks arrive where they are aimed"))
    return "\n".join(lines)


def _targets(settings: Settings) -> Iterator[tuple[str, Surface, CalibrationTarget]]:
    """Yield name, surface and target of each screen; both are closed when the next one is requested."""
    if surface_name(settings) != "desktop" or settings.surface == "desktop:virtual":
        blank = replace(settings, url="about:blank")
        with closing(open_surface(blank)) as surface, closing(PageTarget(surface)) as page:
            yield settings.surface, surface, page
        return
    from envs.desktop import backend
    from envs.desktop.geometry import select_monitor

    with closing(backend.open_machine(None)) as machine:
        monitors = machine.monitors()
    location = settings.surface.partition(":")[2]
    for monitor in [select_monitor(monitors, location)] if location else monitors:
        name = f"desktop:monitor:{monitor.number}"
        with (
            closing(open_surface(replace(settings, surface=name))) as surface,
            closing(WindowTarget(monitor.box, bare=True)) as window,
        ):
            yield name, surface, window


def _compared(
    result: CalibrationResult, spot: DetectedMarker, event: PointerEvent | None, colour: str, max_error_px: float
) -> CalibrationResult:
    if event is None:
        return replace(result, note="no event arrived")
    if event.colour != colour:
        return replace(result, note=f"the event arrived nearer to {event.colour}")
    dx, dy = event.dx * spot.scale, event.dy * spot.scale
    error_px = max(abs(dx), abs(dy))
    arrived = (round(spot.x + dx, 1), round(spot.y + dy, 1))
    return replace(result, arrived=arrived, off_px=round(math.hypot(dx, dy), 2), ok=error_px <= max_error_px)


def _pointer_reached(event: PointerEvent | None, colour: str, pressed: bool = False) -> bool:
    return event is not None and event.colour == colour and (event.pressed or not pressed)


def _filled_screen(screen: Screen, rgb: tuple[int, int, int]) -> bool:
    return all(tuple(int(value) for value in screen.pixels[y, x]) == rgb for x, y in ((9, 9), (-9, -9)))
