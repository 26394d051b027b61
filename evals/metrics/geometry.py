"""Points, boxes and polygons in image coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, float]
Box = Sequence[float]  # x1, y1, x2, y2


def parse_point(value: object) -> Point | None:
    """Return [x, y] as two finite floats, or None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if any(isinstance(side, bool) or not isinstance(side, int | float) for side in value):
        return None
    try:
        x, y = float(value[0]), float(value[1])
    except OverflowError:  # an integer beyond the range of a float
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def parse_box(value: object) -> Box | None:
    """Return [x1, y1, x2, y2] as four finite floats, or None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    first, second = parse_point(value[:2]), parse_point(value[2:])
    return (*first, *second) if first and second else None


def box_contains(box: Box, point: Point) -> bool:
    """Return whether the box contains the point; all four edges belong to the box."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def polygon_contains(corners: Sequence[float], point: Point) -> bool:
    """Return whether a polygon x, y, x, y, ... contains the point, by ray casting to the right."""
    x, y = point
    is_inside = False
    xs, ys = corners[0::2], corners[1::2]
    for i in range(len(xs)):
        x1, y1, x2, y2 = xs[i - 1], ys[i - 1], xs[i], ys[i]
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            is_inside = not is_inside
    return is_inside


def polygon_area(corners: Sequence[float]) -> float:
    """Return the area of a polygon x, y, x, y, ... by the shoelace formula."""
    xs, ys = corners[0::2], corners[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def box_center(box: Box) -> Point:
    """Return the center of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def box_area(box: Box) -> float:
    """Return the area of a box; negative when its corners are in the wrong order."""
    return (box[2] - box[0]) * (box[3] - box[1])


def box_polygon(box: Box) -> tuple[float, ...]:
    """Return a box as a polygon x, y, x, y, ..."""
    x1, y1, x2, y2 = box
    return x1, y1, x2, y1, x2, y2, x1, y2


def scale_box(box: Box, factor: float = 1.2) -> Box:
    """Return the box scaled about its center."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = (box[2] - box[0]) * factor / 2, (box[3] - box[1]) * factor / 2
    return x - width, y - height, x + width, y + height
