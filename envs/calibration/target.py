"""A page or a window with painted squares, which tells where the pointer met it: for the doctor and for calibration.

Both kinds are used alike: paint(), then find the squares in a captured picture, move there, and ask touched(). What
is compared is a picture's pixel with the place that the painted thing itself was told of, so it knows nothing of
monitors, scale factors and offsets.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actions import Screen, SurfaceError, UsageError
from envs.subprocesses import command

SIDE = 15  # of a square, in the easel's own units: odd, so that it has a middle
COLOURS = {  # names that any model has words for, far apart from each other and from the white ground
    "red": (230, 0, 0),
    "blue": (0, 0, 230),
    "green": (0, 150, 0),
    "purple": (150, 0, 200),
    "orange": (255, 140, 0),
}
GROUND = (255, 255, 255)
PLACES = ((0.12, 0.15), (0.85, 0.2), (0.5, 0.5), (0.15, 0.8), (0.88, 0.85))  # of the squares' middles, shares of a side
LEAST_PX = 5  # a smaller square has no middle to speak of
FAR = 40  # of 255: a pixel of the screen this near to a colour has it
ANSWER_S, SHOW_S = 10.0, 5.0


@dataclass(frozen=True)
class Marker:
    """A painted square: its colour's name, and where its middle is to be, in shares of the easel's sides."""

    colour: str
    x: float
    y: float


@dataclass(frozen=True)
class PointerEvent:
    """Where the pointer last met the easel: so many units from the middle of the nearest square, and that square."""

    colour: str
    dx: float
    dy: float
    pressed: bool


@dataclass(frozen=True)
class DetectedMarker:
    """A square in a picture: its middle pixel, and how many pixels a unit of the easel is."""

    x: int
    y: int
    scale: float


def default_markers() -> list[Marker]:
    """One square of each colour, spread over the easel."""
    return [Marker(colour, *place) for colour, place in zip(COLOURS, PLACES, strict=True)]


def detect_marker(screen: Screen, colour: str, side: int = SIDE) -> DetectedMarker | None:
    """The square of a colour on a screen, side units wide; None where there is none. Of several, the largest."""
    import cv2

    near = (np.abs(screen.pixels.astype(np.int16) - np.array(COLOURS[colour], np.int16)) <= FAR).all(axis=2)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(near, np.uint8), connectivity=4)
    best: DetectedMarker | None = None
    for left, top, width, height, area in boxes[1:].tolist():  # the first is what has another colour
        alone = area >= 0.9 * width * height and abs(width - height) <= 2 and min(width, height) >= LEAST_PX
        scale = (width + height) / 2 / side
        if alone and (best is None or scale > best.scale):
            best = DetectedMarker(left + (width - 1) // 2, top + (height - 1) // 2, scale)
    return best


def shown(
    capture: Any, colours: Sequence[str], side: int = SIDE, within_s: float = SHOW_S
) -> tuple[Screen, dict[str, DetectedMarker]]:
    """The screen once every colour is seen on it; the last screen and what was seen when time is over."""
    until = time.monotonic() + within_s
    while True:
        screen = capture()
        found = {colour: seen for colour in colours if (seen := detect_marker(screen, colour, side))}
        if len(found) == len(colours) or time.monotonic() > until:
            return screen, found
        time.sleep(0.1)


PAGE = """<!doctype html><meta charset=utf-8><title>pixelhand easel</title><style>
html, body {{ margin: 0; width: 100vw; height: 100vh; overflow: hidden; background: rgb{ground} }}
div {{ position: absolute }}
</style><body><script>
window.easel = {{ last: null, middles: {{}} }};
function paint(squares, ground, side) {{
    const half = Math.floor(side / 2);
    document.body.innerHTML = ""; document.body.style.background = ground; easel.last = null; easel.middles = {{}};
    for (const [colour, rgb, x, y] of squares) {{
        const left = Math.round(x * innerWidth) - half, top = Math.round(y * innerHeight) - half;
        const square = document.createElement("div");
        Object.assign(square.style, {{ left: left + "px", top: top + "px", background: rgb }});
        Object.assign(square.style, {{ width: side + "px", height: side + "px" }});
        document.body.append(square); easel.middles[colour] = [left + half, top + half];
    }}
    return true;
}}
function met(event) {{
    let best = null;
    for (const [colour, [x, y]] of Object.entries(easel.middles)) {{
        const dx = Math.floor(event.clientX) - x, dy = Math.floor(event.clientY) - y, far = Math.hypot(dx, dy);
        if (best === null || far < best.far) best = {{ colour, dx, dy, far }};
    }}
    if (best) easel.last = {{ colour: best.colour, dx: best.dx, dy: best.dy, pressed: event.type === "pointerdown" }};
}}
addEventListener("pointermove", met); addEventListener("pointerdown", met);
</script>"""


class PageTarget:
    """Written over the page that a surface with evaluate() shows; the page's whole view is its ground."""

    def __init__(self, surface: Any) -> None:
        if not hasattr(surface, "evaluate"):
            raise UsageError(
                f"nothing can be painted on this {surface.name} surface; calibrate the browser, a desktop with a "
                "display, desktop:virtual, or a phone of `agent phone`"
            )
        self.surface = surface
        html = json.dumps(PAGE.format(ground=GROUND))
        surface.evaluate(f"(() => {{ document.open(); document.write({html}); document.close(); return true }})()")

    def paint(self, painted: Sequence[Marker], ground: tuple[int, int, int] = GROUND, side: int = SIDE) -> None:
        """Show these squares, side units wide, and nothing else, on a ground."""
        plain = [[one.colour, "rgb" + str(COLOURS[one.colour]), one.x, one.y] for one in painted]
        self.surface.evaluate(f"paint({json.dumps(plain)}, 'rgb{ground}', {side})")

    def touched(self) -> PointerEvent | None:
        """Where the pointer met it last, since it was painted."""
        last = self.surface.evaluate("easel.last")
        return None if last is None else PointerEvent(last["colour"], last["dx"], last["dy"], bool(last["pressed"]))

    def close(self) -> None:
        """Nothing to end: the page goes with its surface."""


class WindowTarget:
    """A window of its own process on the display, for a screen that no page can be put on. It has a field for text.

    geometry: (left, top, width, height) on the display in its own units; bare: without a frame.
    Raises UsageError when this Python has no tkinter, SurfaceError when the window does not come up.
    """

    def __init__(self, geometry: tuple[int, int, int, int], *, bare: bool = False) -> None:
        left, top, width, height = geometry
        line = command("envs.calibration.window", str(left), str(top), str(width), str(height), str(int(bare)))
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True, name="pixelhand-easel").start()
        try:
            said = self._ask({})
        except BaseException:
            self.close()
            raise
        if "missing" in said:
            self.close()
            raise UsageError(f"a window of our own needs tkinter, which this Python lacks ({said['missing']})")

    def paint(self, painted: Sequence[Marker], ground: tuple[int, int, int] = GROUND, side: int = SIDE) -> None:
        """Show these squares, side units wide, and nothing else, on a ground."""
        plain = [[one.colour, COLOURS[one.colour], one.x, one.y] for one in painted]
        self._ask({"paint": plain, "ground": ground, "side": side})

    def touched(self) -> PointerEvent | None:
        """Where the pointer met it last, since it was painted."""
        last = self._ask({"touched": True})["touched"]
        return None if last is None else PointerEvent(**last)

    def text(self) -> str:
        """What stands in the field, which lies along the bottom."""
        return str(self._ask({"text": True})["text"])

    def field(self) -> None:
        """Show the text field and put the focus into it."""
        self._ask({"field": True})

    def close(self) -> None:
        """End the window. Safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=ANSWER_S)
        except (OSError, queue.Empty):
            line = ""
        if not line:
            raise SurfaceError("the window for the test did not come up or was closed; is there a display?")
        answer: dict[str, Any] = json.loads(line)
        return answer
