"""Boxes in a model's reply, mapped to pixels of the page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.extraction.output import Box
from agent.see.results import Polygon

_NUMBER = re.compile(r"[+-]?\d{1,7}(?:\.\d{1,7})?")
_SEPARATOR = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class PageGeometry:
    """How the numbers of a reply map to the page.

    Args:
        width: Width in pixels of the part of the page that the model saw.
        height: Height of that part.
        model_width: The number that stands for its right edge.
        model_height: The number that stands for its lower edge.
        top: Row of the page at which the part begins.
    """

    width: int
    height: int
    model_width: int
    model_height: int
    top: int = 0

    @classmethod
    def of_page(cls, width: int, height: int) -> PageGeometry:
        """Return the geometry of numbers that are pixels of the page."""
        return cls(width, height, width, height)

    def x(self, number: float) -> int:
        """Return the column of the page, in its bounds."""
        return min(max(round(number * self.width / self.model_width), 0), self.width)

    def y(self, number: float) -> int:
        """Return the row of the page, in the bounds of the part."""
        return self.top + min(max(round(number * self.height / self.model_height), 0), self.height)

    def contains(self, points: Polygon | tuple[tuple[float, float], ...]) -> bool:
        """Whether all points are in the part of the page; its right and lower edges belong to it."""
        return all(0 <= x <= self.model_width and 0 <= y <= self.model_height for x, y in points)


def parse_box(text: str, geometry: PageGeometry) -> tuple[Box | None, str]:
    """Return the box in a `data-bbox` attribute and what is wrong with it, "" if nothing is."""
    numbers = _numbers(text)
    if len(numbers) != 4:
        return None, "is not four numbers"
    left, right = sorted((numbers[0], numbers[2]))
    top, bottom = sorted((numbers[1], numbers[3]))
    problem = ""
    if (left, top, right, bottom) != tuple(numbers):
        problem = "has its corners in the wrong order"
    elif not geometry.contains(((left, top), (right, bottom))):
        problem = "is outside the page"
    return (geometry.x(left), geometry.y(top), geometry.x(right), geometry.y(bottom)), problem


def parse_polygon(text: str, geometry: PageGeometry) -> tuple[Polygon, str]:
    """Return the polygon in a `data-polygon` attribute and what is wrong with it, "" if nothing is."""
    numbers = _numbers(text)
    if len(numbers) < 6 or len(numbers) % 2:
        return (), "is not three points or more"
    points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    problem = "" if geometry.contains(points) else "is outside the page"
    return tuple((geometry.x(x), geometry.y(y)) for x, y in points), problem


def bounding_box(polygon: Polygon) -> Box:
    """Return the smallest box around a polygon."""
    columns, rows = [x for x, _ in polygon], [y for _, y in polygon]
    return min(columns), min(rows), max(columns), max(rows)


def _numbers(text: str) -> list[float]:
    """Return the numbers that a text consists of; [] where anything else is among them."""
    parts = [part for part in _SEPARATOR.split(text.strip().strip("[]()")) if part]
    return [float(part) for part in parts] if all(_NUMBER.fullmatch(part) for part in parts) else []
