"""Boxes and points of a model's answers: their JSON schemas, and their pixels in the original image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actions import InvalidActionError, Screen
from agent.extraction.output import Box
from agent.see.results import Pixel, Polygon
from model.dialects.parts.coordinates import SCALE_999, SCALE_1000, CoordinateMapper, CoordinateSpace
from model.dialects.parts.dialect import BaseDialect
from model.json_file import JsonObject
from model.wire.points import Number, list_numbers, parse_numbers, show

BOX_KEY, POINT_KEY = "bbox_2d", "point_2d"  # as Qwen2.5-VL and Qwen3-VL were trained to write them
QUAD_KEY = "quad_2d"
QUAD_KEYS = (QUAD_KEY, "quad", "poly_2d", "polygon")  # in replies; some models write eight numbers under BOX_KEY
QUAD_PROMPT = "Give the four corners of each, clockwise, from the top left one of its upright form."
NUMBERS = {BOX_KEY: 4, POINT_KEY: 2, QUAD_KEY: 8}


Corner = tuple[Number, Number]


@dataclass(frozen=True)
class AnswerSpace:
    """The coordinate space of answers about one image.

    Args:
        screen: The image.
        space: The units of the model's answers.
        resized: Width and height at which the model sees the image.
    """

    screen: Screen
    space: CoordinateSpace
    resized: tuple[int, int]

    @property
    def limits(self) -> tuple[int, int]:
        """The right and the bottom edge of the image in the model's units."""
        return (self.space.scale,) * 2 if self.space.scale else self.resized

    @property
    def unit(self) -> str:
        """The units in words, for a prompt."""
        width, height = self.limits
        if self.space.scale:
            return f"from 0 to {self.space.scale} on both axes"
        return f"in pixels of the image, which is {width} wide and {height} high"

    def schema(self, key: str) -> JsonObject:
        """Return the JSON schema of a box, a point or four corners.

        Args:
            key: BOX_KEY, POINT_KEY or QUAD_KEY.
        """
        kind = "number" if self.space.scale == 1 else "integer"
        width, height = self.limits if key != POINT_KEY or self.space.scale else (side - 1 for side in self.limits)
        axes = [{"type": kind, "minimum": 0, "maximum": limit} for limit in (width, height)]
        count = NUMBERS[key]
        return {"type": "array", "prefixItems": axes * (count // 2), "minItems": count, "maxItems": count}

    def box(self, value: object) -> Box:
        """Return the pixels of a box of the answer.

        Raises:
            InvalidActionError: It is no box inside the image.
        """
        numbers = parse_numbers(value, BOX_KEY)
        if len(numbers) != 4:
            raise InvalidActionError(f"'{BOX_KEY}' {show(value)} does not have four numbers")
        left, top, right, bottom = numbers
        width, height = self.limits
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise InvalidActionError(f"'{BOX_KEY}' {show(list(numbers))} is no box inside the image; it is {self.unit}")
        x1, x2 = _edges(left, right, width, self.screen.width)
        y1, y2 = _edges(top, bottom, height, self.screen.height)
        return x1, y1, x2, y2

    def place(self, item: JsonObject) -> tuple[Box, Polygon]:
        """Return the box of an item of the answer, and its four corners where it has them.

        Raises:
            InvalidActionError: It has neither a box nor four corners inside the image.
        """
        value = next((item[key] for key in QUAD_KEYS if key in item), None)
        if value is None:
            value = item.get(BOX_KEY)
            if len(list_numbers(value, NUMBERS[QUAD_KEY])) != NUMBERS[QUAD_KEY]:
                return self.box(value), ()
        polygon = self.quad(value)
        xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
        left, top = min(min(xs), self.screen.width - 1), min(min(ys), self.screen.height - 1)
        return (left, top, max(max(xs), left + 1), max(max(ys), top + 1)), polygon

    def quad(self, value: object) -> Polygon:
        """Return the corners of a quadrilateral of the answer in pixels, in the model's order.

        Args:
            value: Eight numbers, or four pairs.

        Raises:
            InvalidActionError: They are no quadrilateral inside the image.
        """
        numbers = list_numbers(value, NUMBERS[QUAD_KEY])
        if len(numbers) != NUMBERS[QUAD_KEY]:
            raise InvalidActionError(f"'{QUAD_KEY}' {show(value)} does not have eight numbers")
        width, height = self.limits
        corners = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if not all(0 <= x <= width and 0 <= y <= height for x, y in corners) or not _is_simple(corners):
            raise InvalidActionError(
                f"'{QUAD_KEY}' {show(numbers)} is no quadrilateral inside the image; it is {self.unit}"
            )
        return tuple((round(x * self.screen.width / width), round(y * self.screen.height / height)) for x, y in corners)

    def point(self, value: object) -> Pixel:
        """Return the pixel of a point of the answer.

        Raises:
            InvalidActionError: It is no point inside the image.
        """
        if len(parse_numbers(value, POINT_KEY)) != 2:
            raise InvalidActionError(f"'{POINT_KEY}' {show(value)} does not have two numbers")
        return CoordinateMapper(self.space, self.screen, self.resized).to_screen(value, POINT_KEY)


def answer_space(dialect: BaseDialect, screen: Screen) -> AnswerSpace:
    """Return the coordinate space of a family's answers about an image."""
    # Qwen3-VL's functions have coordinates up to 999, its answers up to 1000
    space = SCALE_1000 if dialect.SPACE == SCALE_999 else dialect.SPACE
    return AnswerSpace(screen, space, dialect.size(screen))


def _is_simple(corners: Sequence[Corner]) -> bool:
    """Return whether four corners have an area, and no two sides cross."""
    area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True)) / 2
    a, b, c, d = corners
    return area != 0 and not _cross(a, b, c, d) and not _cross(b, c, d, a)


def _cross(a: Corner, b: Corner, c: Corner, d: Corner) -> bool:
    """Return whether the line from a to b crosses the one from c to d, each inside its ends."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Corner, b: Corner, point: Corner) -> float:
    """Return a number whose sign says on which side of the line from a to b a point is."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def _edges(low: Number, high: Number, limit: int, real: int) -> tuple[int, int]:
    """Return the edges of an axis in pixels of the image, at least one pixel apart."""
    start = min(round(low * real / limit), real - 1)
    return start, max(start + 1, round(high * real / limit))
