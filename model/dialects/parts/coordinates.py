"""Coordinate spaces of model families: how their points and boxes map to the screen (docs/dialects.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from actions import InvalidActionError, Screen
from model.wire.points import Number, parse_numbers, show


@dataclass(frozen=True)
class CoordinateSpace:
    """The unit of a family's coordinates; `scale` is the number at the far edge, 0 for resized pixels."""

    name: str
    scale: int = 0


RESIZED_PIXELS = CoordinateSpace("pixels of the resized image")
SCALE_1000 = CoordinateSpace("0 to 1000", 1000)
SCALE_999 = CoordinateSpace("0 to 999", 999)
NORMALIZED = CoordinateSpace("0 to 1", 1)


def to_screen(x: int, resized: int, real: int) -> int:
    """Return the screen pixel of an axis of `real` pixels that contains the center of resized pixel x."""
    return (2 * x + 1) * real // (2 * resized)


def to_model(x: int, real: int, resized: int) -> int:
    """Return the resized pixel that contains the center of screen pixel x: the inverse of to_screen where it exists."""
    return (2 * x + 1) * resized // (2 * real)


@dataclass(frozen=True)
class CoordinateMapper:
    """Maps points between a screen and the model's space; `resized` is the (width, height) the model sees."""

    space: CoordinateSpace
    screen: Screen
    resized: tuple[int, int]

    def to_screen(self, value: object, key: str) -> tuple[int, int]:
        """Return the screen pixel of a point or of a box's center, or raise InvalidActionError for any other value."""
        values = parse_numbers(value, key)
        for number in values:
            if isinstance(number, float) and self.space.scale != 1 and 0 < number < 1:
                raise InvalidActionError(f"'{key}' is in {self._range()}, not {show(number)}")
        x, y = values if len(values) == 2 else [_center(a, b) for a, b in zip(values[:2], values[2:], strict=True)]
        screen_x = self._pixel(x, self.resized[0], self.screen.width)
        screen_y = self._pixel(y, self.resized[1], self.screen.height)
        if screen_x is None or screen_y is None:
            raise InvalidActionError(f"'{key}' {show(list(values))} is outside the screenshot; {self._range()}")
        return screen_x, screen_y

    def to_model(self, x: int, y: int) -> tuple[Number, Number]:
        """Return the model's numbers for a screen pixel; to_screen maps them back as closely as they can express."""
        return (
            self._number(x, self.resized[0], self.screen.width),
            self._number(y, self.resized[1], self.screen.height),
        )

    @property
    def limits(self) -> tuple[int, int]:
        """The largest valid (x, y) in the model's space."""
        return (self.space.scale,) * 2 if self.space.scale else (self.resized[0] - 1, self.resized[1] - 1)

    def _pixel(self, number: Number, resized: int, real: int) -> int | None:
        if not self.space.scale:
            pixel = -1 if number < 0 else round(number)
            return to_screen(pixel, resized, real) if 0 <= pixel < resized else None
        if not 0 <= number <= self.space.scale:
            return None
        return min(math.floor(number * real / self.space.scale), real - 1)

    def _number(self, pixel: int, resized: int, real: int) -> Number:
        if not self.space.scale:
            return to_model(pixel, real, resized)
        share = (pixel + 0.5) / real
        return round(share, 4) if self.space.scale == 1 else round(share * self.space.scale)

    def _range(self) -> str:
        if self.space.scale:
            return f"{self.space.name} on both axes"
        return f"whole pixels: x must be 0 to {self.resized[0] - 1} and y 0 to {self.resized[1] - 1}"


def _center(low: Number, high: Number) -> Number:
    center = (low + high) / 2
    return int(center) if center == int(center) else center
