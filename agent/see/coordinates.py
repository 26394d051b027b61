"""Boxes and points of a model's answers: their JSON schemas, and their pixels in the original image."""

from __future__ import annotations

from dataclasses import dataclass

from actions import InvalidActionError, Screen
from agent.extraction.output import Box
from agent.see.results import Pixel
from model.dialects.parts.coordinates import SCALE_999, SCALE_1000, CoordinateMapper, CoordinateSpace
from model.dialects.parts.dialect import BaseDialect
from model.json_file import JsonObject
from model.wire.points import Number, parse_numbers, show

BOX_KEY, POINT_KEY = "bbox_2d", "point_2d"  # as Qwen2.5-VL and Qwen3-VL were trained to write them


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
        """Return the JSON schema of a box or a point.

        Args:
            key: BOX_KEY or POINT_KEY.
        """
        kind = "number" if self.space.scale == 1 else "integer"
        width, height = self.limits if key == BOX_KEY or self.space.scale else (side - 1 for side in self.limits)
        axes = [{"type": kind, "minimum": 0, "maximum": limit} for limit in (width, height)]
        count = 4 if key == BOX_KEY else 2
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


def _edges(low: Number, high: Number, limit: int, real: int) -> tuple[int, int]:
    """Return the edges of an axis in pixels of the image, at least one pixel apart."""
    start = min(round(low * real / limit), real - 1)
    return start, max(start + 1, round(high * real / limit))
