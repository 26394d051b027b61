"""Whether what an action would touch is still what the model, or the person who approved it, saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from actions import Point, Screen, Surface
from actions.facts import ActionFacts, ElementFacts
from actions.screen import Pixels
from actions.surface import SupportsRegions

REGION_RADIUS_PX = 24  # half the side of the square around a target that is compared
LEVEL_TOLERANCE = 32  # a pixel has changed where a channel differs by more
STRICT_FRACTION = 0.02  # a region has changed where this fraction of its pixels has: "Cancel" to "Pay" is 8 to 18 %
LOOSE_FRACTION = 0.25  # the same where facts tell that the element and its label are the same
CARET_WIDTH_PX = 3


def region_unchanged(before: Screen, after: Screen, x: int, y: int, fraction: float = STRICT_FRACTION) -> bool:
    """Return whether the square around a point looks the same on both screens; a caret does not count.

    Args:
        before: One screen.
        after: The other screen.
        x: The point's column.
        y: The point's row.
        fraction: The share of changed pixels from which on the square has changed.
    """
    if before.pixels.shape != after.pixels.shape:
        return False
    left, top, width, height = region_of(before, x, y)
    rows, columns = slice(top, top + height), slice(left, left + width)
    return _is_alike(before.pixels[rows, columns], after.pixels[rows, columns], fraction)


def region_of(screen: Screen, x: int, y: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the part of the square around a point that is on the screen."""
    left, top = max(0, x - REGION_RADIUS_PX), max(0, y - REGION_RADIUS_PX)
    right, bottom = min(screen.width, x + REGION_RADIUS_PX + 1), min(screen.height, y + REGION_RADIUS_PX + 1)
    return left, top, right - left, bottom - top


def _is_alike(old_pixels: Pixels, new_pixels: Pixels, fraction: float) -> bool:
    """Return whether fewer than a fraction of the pixels differ, or no more than a caret."""
    old, new = old_pixels.astype(np.int16), new_pixels.astype(np.int16)
    changed = np.abs(old - new).max(axis=2) > LEVEL_TOLERANCE
    if not changed.any():
        return True
    changed_columns = np.flatnonzero(changed.any(axis=0))
    is_caret = changed_columns[-1] - changed_columns[0] < CARET_WIDTH_PX
    return bool(is_caret or changed.mean() < fraction)


def regions_unchanged(before: Screen, after: Screen, points: Iterable[Point], fraction: float) -> bool:
    """Return whether the squares around all points look the same; screens of other sizes never do."""
    if before.pixels.shape != after.pixels.shape:
        return False
    return all(region_unchanged(before, after, x, y, fraction) for x, y in points)


def surface_unchanged(before: Screen, surface: Surface, points: Sequence[Point], fraction: float) -> bool:
    """Return whether the squares around all points of a surface look as they did on a screen.

    Args:
        before: The screen.
        surface: The surface, of which only these squares are captured where it supports that.
        points: The points.
        fraction: The share of changed pixels from which on a square has changed.
    """
    if not isinstance(surface, SupportsRegions):
        return regions_unchanged(before, surface.capture(), points, fraction)
    for x, y in points:
        left, top, width, height = region_of(before, x, y)
        now = surface.capture_region(left, top, width, height)
        was = before.pixels[top : top + height, left : left + width]
        if now is None or now.pixels.shape != was.shape or not _is_alike(was, now.pixels, fraction):
            return False
    return True


def describe_difference(before: ActionFacts | None, after: ActionFacts | None) -> str:
    """Return what differs between two facts, "" if they are equal."""
    if before == after:
        return ""
    if before is None or after is None:
        return "what the action would touch is no longer known"
    if before.url != after.url or before.document != after.document:
        return "another page or window is shown"
    if (before.app, before.window, before.pid) != (after.app, after.window, after.pid):
        return "another window is in front"
    if before.focus != after.focus:
        return f"the keyboard focus moved{_names(before.focus, after.focus)}"
    if len(before.elements) == len(after.elements):
        for old, new in zip(before.elements, after.elements, strict=True):
            if old != new:
                return f"another element is at this place{_names(old, new)}"
    return after.changes[0] if after.changes else "the screen changed at this place"


def _names(old: ElementFacts | None, new: ElementFacts | None) -> str:
    """Return the labels of two elements in words, "" where they do not differ."""
    first, second = ((element.label or element.role if element is not None else "") for element in (old, new))
    return f' ("{second[:60]}" in place of "{first[:60]}")' if first and second and first != second else ""
