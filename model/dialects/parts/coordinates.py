"""Coordinate spaces of model families, and lenient parsing of points and boxes.

A dialect declares its space; it is never guessed from the size of a number, and nothing is clamped.

Resized pixels: the model sees the screen resized to (W, H) by smart_resize and answers in those pixels. A pixel of the
resized image maps to the screen pixel that contains its center: x_screen = floor((x + 1/2) * screen_width / W). A
fractional number is rounded to the nearest pixel first (half to even), except between 0 and 1, which is an error.

Scaled spaces: v maps to the screen pixel at v / scale of the axis: floor(v * pixels / scale), and the far end to the
last pixel. A box maps to its center.
"""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass

from actions import InvalidActionError, Screen

Number = int | float

FULLWIDTH_TABLE = str.maketrans(
    "０１２３４５６７８９（），．：；＝［］｛｝＜＞－＋＇＂、",
    "0123456789(),.:;=[]{}<>-+'\",",
)
NUMBER = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?(?![0-9.])")
_TAG = re.compile(r"<\|?/?(?:box_start|box_end|point|bbox|box)\|?>")
_BRACKET = re.compile(r"[()\[\]]")
_SEPARATOR = re.compile(r"[\s,;]+")
_MAX_POINT_LENGTH = 200  # characters


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
        """Return the screen pixel of a point, or of a box's center.

        Raises:
            InvalidActionError: if the value is no point, or lies outside the screen.
        """
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


def parse_numbers(value: object, key: str) -> list[Number]:
    """Return the two numbers of a point or four of a box, from a list or text such as '(3,4)' or '<point>3 4</point>'.

    Raises:
        InvalidActionError: if the value is neither.
    """
    parts: list[object] = []
    if isinstance(value, str) and len(value) <= _MAX_POINT_LENGTH:
        plain = _BRACKET.sub(" ", _TAG.sub(" ", value.translate(FULLWIDTH_TABLE))).strip(" \t\r\n,")
        parts = [parse_number(part) for part in _SEPARATOR.split(plain)]
    elif isinstance(value, (list, tuple)) and len(value) <= 4:
        parts = [number for part in value for number in (part if isinstance(part, (list, tuple)) else [part])]
    numbers = [part for part in parts if isinstance(part, (int, float)) and _is_usable(part)]
    if len(numbers) not in (2, 4) or len(numbers) != len(parts):
        raise InvalidActionError(f"'{key}' must be a point of two numbers or a box of four, not {show(value)}")
    return numbers


def parse_number(text: str) -> Number | None:
    """Return a number as models write it, always finite; None if the text is no number."""
    plain = text.translate(FULLWIDTH_TABLE)
    if NUMBER.fullmatch(plain) is None:
        return None
    if plain.lstrip("+-").isdigit():
        return int(plain)
    value = float(plain)
    return value if math.isfinite(value) else None


def show(value: object) -> str:
    """Return a short, single-line repr of a value from a reply, for error messages."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print integers of more than 4300 digits
        return "a number too long to write"


def _is_usable(value: Number) -> bool:
    return not isinstance(value, bool) and (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63)


def _center(low: Number, high: Number) -> Number:
    center = (low + high) / 2
    return int(center) if center == int(center) else center
