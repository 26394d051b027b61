"""Which part of which desktop a Screen shows. Arithmetic only: no machine.

Three sizes meet here. The pointer has its own points (X11 and Windows: pixels; macOS: logical points; a monitor to the
left of the first has negative ones). The captured picture has the display's pixels. The Screen has logical pixels, of
which scale says how many points of the pointer make one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from actions import UsageError


class Box(NamedTuple):
    """A rectangle in the pointer's points."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def contains(self, x: int, y: int) -> bool:
        return self.left <= x < self.right and self.top <= y < self.bottom

    def intersection(self, other: Box) -> Box:
        """The part that both cover; without width or height where there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, max(right - left, 0), max(bottom - top, 0))


@dataclass(frozen=True)
class Monitor:
    """One monitor as measured. scale: the pointer's points per logical pixel, picture_scale: picture pixels per point.

    macOS with Retina: scale 1, picture_scale 1 or 2. Windows at 150 %: scale 1.5, picture_scale 1. X11: both 1.
    """

    number: int
    box: Box
    primary: bool
    scale: float = 1.0
    picture_scale: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Viewport:
    """A box of the desktop, and the size of the Screen that shows it."""

    box: Box
    width: int
    height: int

    @classmethod
    def of(cls, box: Box, scale: float) -> Viewport:
        """scale: the pointer's points per pixel of the Screen. UsageError unless it is a positive number."""
        if not 0 < scale < 100:
            raise UsageError(f"a scale of {scale} cannot be; it is points of the pointer per pixel, such as 1 or 1.5")
        return cls(box, max(round(box.width / scale), 1), max(round(box.height / scale), 1))

    def point(self, x: int, y: int) -> tuple[int, int]:
        """The pointer's point under the middle of a pixel of the Screen."""
        return (
            self.box.left + (2 * x + 1) * self.box.width // (2 * self.width),
            self.box.top + (2 * y + 1) * self.box.height // (2 * self.height),
        )


def select_monitor(monitors: list[Monitor], where: str) -> Monitor:
    """The primary monitor for "", the N-th for "monitor:N"; UsageError, naming those there are, for any other."""
    if not where:
        return next((monitor for monitor in monitors if monitor.primary), monitors[0])
    kind, _, number = where.partition(":")
    if kind == "monitor":
        for monitor in monitors:
            if number == str(monitor.number):
                return monitor
    have = ", ".join(f"monitor:{monitor.number} ({monitor.box.width}x{monitor.box.height})" for monitor in monitors)
    raise UsageError(f"there is no desktop '{where}'; have virtual, {have}, or nothing for the primary monitor")
