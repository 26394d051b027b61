"""Calibration targets: a page or a window with painted markers that reports where the pointer hit it.

Use: `paint()` the markers, find them in a screenshot, move there, and compare with `last_pointer_event()`. The
screenshot's pixel is compared with the position that the painted page or window itself received, so no monitor
position, scale factor or offset enters.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from actions import Screen, SurfaceError, UsageError
from envs.subprocesses import command

Value = TypeVar("Value")
Rgb = tuple[int, int, int]
SIDE = 15  # of a marker in the target's units; odd, so that it has a middle
COLORS: dict[str, Rgb] = {  # common names; far apart from each other and from white
    "red": (230, 0, 0),
    "blue": (0, 0, 230),
    "green": (0, 150, 0),
    "purple": (150, 0, 200),
    "orange": (255, 140, 0),
}
BACKGROUND: Rgb = (255, 255, 255)
POSITIONS = ((0.12, 0.15), (0.85, 0.2), (0.5, 0.5), (0.15, 0.8), (0.88, 0.85))  # fractions of the target's sides
MIN_MARKER_PX = 5
COLOR_TOLERANCE = 40  # of 255, per channel
ANSWER_TIMEOUT_S, MARKERS_TIMEOUT_S = 10.0, 5.0


@dataclass(frozen=True)
class Marker:
    """A painted square: its color's name, and its middle as fractions of the target's sides."""

    color: str
    x: float
    y: float


@dataclass(frozen=True)
class PointerEvent:
    """The last pointer event: offset from the middle of the nearest marker, in the target's units, and that marker."""

    color: str
    dx: float
    dy: float
    pressed: bool


@dataclass(frozen=True)
class DetectedMarker:
    """A marker in a screenshot: its middle pixel, and pixels per unit of the target."""

    x: int
    y: int
    scale: float


@runtime_checkable
class SupportsEvaluate(Protocol):
    """A surface that can evaluate JavaScript in the page it shows."""

    def evaluate(self, js: str) -> object:
        """Return the JSON value of a JavaScript expression."""
        ...


class CalibrationTarget(Protocol):
    """What can be painted with markers and reports pointer events."""

    def paint(self, markers: Sequence[Marker], background: Rgb = BACKGROUND, side: int = SIDE) -> None:
        """Show these markers, `side` units wide, and nothing else."""
        ...

    def last_pointer_event(self) -> PointerEvent | None:
        """Return the last pointer event since `paint()`."""
        ...


def default_markers() -> list[Marker]:
    """Return one marker of each color, spread over the target."""
    return [Marker(color, *position) for color, position in zip(COLORS, POSITIONS, strict=True)]


def detect_marker(screen: Screen, color: str, side: int = SIDE) -> DetectedMarker | None:
    """Return the largest square of a color, `side` units wide; None if there is none."""
    import cv2

    matches = (np.abs(screen.pixels.astype(np.int16) - np.array(COLORS[color], np.int16)) <= COLOR_TOLERANCE).all(
        axis=2
    )
    _, _, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(matches, np.uint8), connectivity=4)
    best: DetectedMarker | None = None
    for left, top, width, height, area in boxes[1:].tolist():  # the first component is the background
        is_square = abs(width - height) <= 2 and min(width, height) >= MIN_MARKER_PX and area >= 0.9 * width * height
        scale = (width + height) / 2 / side
        if is_square and (best is None or scale > best.scale):
            best = DetectedMarker(left + (width - 1) // 2, top + (height - 1) // 2, scale)
    return best


def wait_for_markers(
    capture: Callable[[], Screen], colors: Sequence[str], side: int = SIDE, timeout_s: float = MARKERS_TIMEOUT_S
) -> tuple[Screen, dict[str, DetectedMarker]]:
    """Capture until markers of all colors are detected; return the last screen and the markers on it."""
    deadline = time.monotonic() + timeout_s
    while True:
        screen = capture()
        detected = {color: marker for color in colors if (marker := detect_marker(screen, color, side))}
        if len(detected) == len(colors) or time.monotonic() > deadline:
            return screen, detected
        time.sleep(0.1)


def wait_for(read: Callable[[], Value], condition: Callable[[Value], bool], timeout_s: float = 3.0) -> Value:
    """Return the first value that meets the condition, or the last one: events take a moment to reach a window."""
    deadline = time.monotonic() + timeout_s
    while not condition(value := read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


PAGE = """<!doctype html><meta charset=utf-8><title>pixelhand calibration</title><style>
html, body {{ margin: 0; width: 100vw; height: 100vh; overflow: hidden; background: rgb{background} }}
div {{ position: absolute }}
</style><body><script>
window.target = {{ last: null, middles: {{}} }};
function paint(markers, background, side) {{
    const half = Math.floor(side / 2);
    document.body.innerHTML = ""; document.body.style.background = background; target.last = null; target.middles =
    {{}};
    for (const [color, rgb, x, y] of markers) {{
        const left = Math.round(x * innerWidth) - half, top = Math.round(y * innerHeight) - half;
        const square = document.createElement("div");
        Object.assign(square.style, {{ left: left + "px", top: top + "px", background: rgb }});
        Object.assign(square.style, {{ width: side + "px", height: side + "px" }});
        document.body.append(square); target.middles[color] = [left + half, top + half];
    }}
    return true;
}}
function onPointer(event) {{
    let nearest = null;
    for (const [color, [x, y]] of Object.entries(target.middles)) {{
        const dx = Math.floor(event.clientX) - x, dy = Math.floor(event.clientY) - y, distance = Math.hypot(dx, dy);
        if (nearest === null || distance < nearest.distance) nearest = {{ color, dx, dy, distance }};
    }}
    const pressed = event.type === "pointerdown";
    if (nearest) target.last = {{ color: nearest.color, dx: nearest.dx, dy: nearest.dy, pressed }};
}}
addEventListener("pointermove", onPointer); addEventListener("pointerdown", onPointer);
</script>"""


class PageTarget:
    """A target written over the page that a surface shows; it fills the page's viewport.

    Raises:
        UsageError: The surface does not support pages.
    """

    def __init__(self, surface: object) -> None:
        if not isinstance(surface, SupportsEvaluate):
            raise UsageError(
                f"nothing can be painted on this {getattr(surface, 'name', 'kind of')} surface; calibrate the browser, "
                "a desktop with a display, desktop:virtual, or a phone of `agent phone`"
            )
        self.surface = surface
        html = json.dumps(PAGE.format(background=BACKGROUND))
        self.surface.evaluate(f"(() => {{ document.open(); document.write({html}); document.close(); return true }})()")

    def paint(self, markers: Sequence[Marker], background: Rgb = BACKGROUND, side: int = SIDE) -> None:
        """Show these markers, `side` units wide, and nothing else."""
        rows = [[marker.color, "rgb" + str(COLORS[marker.color]), marker.x, marker.y] for marker in markers]
        self.surface.evaluate(f"paint({json.dumps(rows)}, 'rgb{background}', {side})")

    def last_pointer_event(self) -> PointerEvent | None:
        """Return the last pointer event since `paint()`."""
        event = self.surface.evaluate("target.last")
        return PointerEvent(**event) if isinstance(event, dict) else None

    def close(self) -> None:
        """Do nothing: the page is closed with its surface."""


class WindowTarget:
    """A window in a process of its own, with a text field, for screens that no page can be put on.

    Args:
        geometry: Left, top, width and height in the display's units.
        bare: Without a frame.

    Raises:
        UsageError: This Python has no tkinter.
        SurfaceError: The window does not open.
    """

    def __init__(self, geometry: tuple[int, int, int, int], *, bare: bool = False) -> None:
        arguments = command("envs.calibration.window", *map(str, geometry), str(int(bare)))
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True, name="pixelhand-calibration").start()
        try:
            answer = self._request({})
        except BaseException:
            self.close()
            raise
        if "missing" in answer:
            self.close()
            raise UsageError(f"the test window needs tkinter, which this Python lacks ({answer['missing']})")

    def paint(self, markers: Sequence[Marker], background: Rgb = BACKGROUND, side: int = SIDE) -> None:
        """Show these markers, `side` units wide, and nothing else."""
        rows = [[marker.color, COLORS[marker.color], marker.x, marker.y] for marker in markers]
        self._request({"paint": rows, "background": background, "side": side})

    def last_pointer_event(self) -> PointerEvent | None:
        """Return the last pointer event since `paint()`."""
        event = self._request({})["event"]
        return None if event is None else PointerEvent(**event)

    def text(self) -> str:
        """Return the text in the field along the bottom."""
        return str(self._request({})["text"])

    def field(self) -> None:
        """Show the text field and focus it."""
        self._request({"field": True})

    def close(self) -> None:
        """Close the window. Safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(5)

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=ANSWER_TIMEOUT_S)
        except (OSError, queue.Empty):
            line = ""
        if not line:
            raise SurfaceError("the test window did not open or was closed; check that a display is available")
        answer: dict[str, Any] = json.loads(line)
        return answer
