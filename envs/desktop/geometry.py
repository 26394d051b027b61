"""Rectangles, monitors and the mapping from screenshot pixels to pointer coordinates.

Three coordinate systems are involved. Pointer coordinates ("points") are pixels on X11 and Windows and logical points
on macOS; a monitor to the left of the primary one has negative ones. Captured images are in display pixels. A Screen is
in logical pixels; `Monitor.scale` is the number of pointer points per logical pixel.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from actions import UsageError


class Box(NamedTuple):
    """A rectangle in pointer coordinates."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.top + self.height

    def contains(self, x: int, y: int) -> bool:
        """Return whether the point lies in the box."""
        return self.left <= x < self.right and self.top <= y < self.bottom

    def intersection(self, other: Box) -> Box:
        """Return the part that both boxes cover; its width or height is 0 when there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, max(right - left, 0), max(bottom - top, 0))


@dataclass(frozen=True)
class Monitor:
    """One monitor as measured.

    Examples: macOS with Retina has scale 1 and picture_scale 1 or 2; Windows at 150 % has scale 1.5 and picture_scale
    1; X11 has 1 for both.
    """

    number: int
    box: Box
    primary: bool
    scale: float = 1.0  # pointer points per logical pixel
    picture_scale: float = 1.0  # captured pixels per pointer point
    name: str = ""


@dataclass(frozen=True)
class Viewport:
    """A box of the desktop and the size in pixels of the Screen that shows it."""

    box: Box
    width: int
    height: int

    @classmethod
    def of(cls, box: Box, scale: float) -> Viewport:
        """Return the viewport of a box.

        Args:
            box: the part of the desktop.
            scale: pointer points per Screen pixel.

        Raises:
            UsageError: if the scale is not a positive number below 100.
        """
        if not 0 < scale < 100:
            raise UsageError(f"scale {scale} is invalid: give pointer points per pixel, such as 1 or 1.5")
        return cls(box, max(round(box.width / scale), 1), max(round(box.height / scale), 1))

    def area(self, box: Box) -> tuple[int, int, int, int]:
        """Return left, top, width and height, in Screen pixels, of what shows a box of the desktop."""
        left, right = ((x - self.box.left) * self.width / self.box.width for x in (box.left, box.left + box.width))
        top, bottom = ((y - self.box.top) * self.height / self.box.height for y in (box.top, box.top + box.height))
        x, y = math.floor(left), math.floor(top)
        return x, y, math.ceil(right) - x, math.ceil(bottom) - y

    def point(self, x: int, y: int) -> tuple[int, int]:
        """Return the pointer coordinates of the middle of a Screen pixel."""
        return (
            self.box.left + (2 * x + 1) * self.box.width // (2 * self.width),
            self.box.top + (2 * y + 1) * self.box.height // (2 * self.height),
        )


def is_monitor_name(where: str) -> bool:
    """Return whether a text is "" or "monitor:N"."""
    return re.fullmatch(r"(monitor:\d+)?", where) is not None


def check_monitor_name(where: str) -> None:
    """Raise UsageError for a name of a desktop that no machine has."""
    if not is_monitor_name(where):
        raise UsageError(f"unknown desktop '{where}': --surface takes desktop, desktop:monitor:N or desktop:virtual")


def select_monitor(monitors: list[Monitor], where: str) -> Monitor:
    """Return the primary monitor for "" and the N-th one for "monitor:N".

    Raises:
        UsageError: for any other value; the message lists the available monitors.
    """
    if not where:
        return next((monitor for monitor in monitors if monitor.primary), monitors[0])
    kind, _, number = where.partition(":")
    if kind == "monitor":
        for monitor in monitors:
            if number == str(monitor.number):
                return monitor
    available = ", ".join(
        f"monitor:{monitor.number} ({monitor.box.width}x{monitor.box.height})" for monitor in monitors
    )
    raise UsageError(f"unknown desktop '{where}': have virtual, {available}, or nothing for the primary monitor")
