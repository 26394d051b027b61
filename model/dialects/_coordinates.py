"""Where a family's numbers lie: resized pixels, thousandths, shares of the picture; and numbers as models write them.

A space is declared by its family, never guessed from the size of a number, and nothing is clamped. In resized pixels
the rule is that of _qwen25_functions.py. In a scaled space a number v is the place v / scale of an axis, both ends
included, and means the pixel that holds this place: floor(v * pixels / scale), at the far end the last pixel.
A box means its centre.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from actions import InvalidActionError, Screen
from model.dialects._qwen25_functions import show, to_model, to_screen

Number = int | float

FULLWIDTH_TABLE = str.maketrans(
    "０１２３４５６７８９（），．：；＝［］｛｝＜＞－＋＇＂、",
    "0123456789(),.:;=[]{}<>-+'\",",
)
NUMBER = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?(?![0-9.])")
_TAG = re.compile(r"<\|?/?(?:box_start|box_end|point|bbox|box)\|?>")
_BRACKET = re.compile(r"[()\[\]]")
_BETWEEN = re.compile(r"[\s,;]+")
_LONGEST = 200  # characters of a point; more is no point


@dataclass(frozen=True)
class CoordinateSpace:
    """The numbers in which a family says where. scale: the number of the far edge; 0 for resized pixels."""

    name: str
    scale: int = 0


RESIZED_PIXELS = CoordinateSpace("pixels of the resized picture")
SCALE_1000 = CoordinateSpace("0 to 1000", 1000)
SCALE_999 = CoordinateSpace("0 to 999", 999)
NORMALIZED = CoordinateSpace("0 to 1", 1)


@dataclass(frozen=True)
class CoordinateMapper:
    """One picture: the screen, and the (width, height) at which it is shown; reads points and writes them."""

    space: CoordinateSpace
    screen: Screen
    shown: tuple[int, int]

    def to_screen(self, value: Any, key: str) -> tuple[int, int]:
        """The pixel of the screen that a point means, or a box by its centre; BadCall when it means none."""
        given = numbers(value, key)
        for one in given:
            if isinstance(one, float) and self.space.scale != 1 and 0 < one < 1:
                raise InvalidActionError(f"'{key}' is in {self._range()}, not {show(one)}")
        x, y = given if len(given) == 2 else [_middle(a, b) for a, b in zip(given[:2], given[2:], strict=True)]
        sides = ((x, self.shown[0], self.screen.width), (y, self.shown[1], self.screen.height))
        found = [self._pixel(number, shown, real) for number, shown, real in sides]
        if None in found:
            raise InvalidActionError(f"'{key}' {show(list(given))} is outside the picture, which is {self._range()}")
        return found[0], found[1]  # type: ignore[return-value]

    def to_model(self, x: int, y: int) -> tuple[Number, Number]:
        """The numbers for a pixel of the screen; point reads them as the same pixel, or as near as they can tell."""
        sides = ((x, self.shown[0], self.screen.width), (y, self.shown[1], self.screen.height))
        said = [self._number(pixel, shown, real) for pixel, shown, real in sides]
        return said[0], said[1]

    def _pixel(self, number: Number, shown: int, real: int) -> int | None:
        if not self.space.scale:
            whole = -1 if number < 0 else round(number)
            return to_screen(whole, shown, real) if 0 <= whole < shown else None
        if not 0 <= number <= self.space.scale:
            return None
        return min(math.floor(number * real / self.space.scale), real - 1)

    def _number(self, pixel: int, shown: int, real: int) -> Number:
        if not self.space.scale:
            return to_model(pixel, real, shown)
        share = (pixel + 0.5) / real
        return round(share, 4) if self.space.scale == 1 else round(share * self.space.scale)

    def _range(self) -> str:
        if self.space.scale:
            return f"{self.space.name} on both axes"
        return f"whole pixels, x 0 to {self.shown[0] - 1} and y 0 to {self.shown[1] - 1}"


def numbers(value: Any, key: str) -> list[Number]:
    """Two numbers (a point) or four (a box) out of a list, or of text such as '(3,4)' or '<point>3 4</point>'."""
    what = f"'{key}' must be a point of two numbers or a box of four, not {show(value)}"
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise InvalidActionError(what)
        plain = _BRACKET.sub(" ", _TAG.sub(" ", value.translate(FULLWIDTH_TABLE))).strip(" \t\r\n,")
        found: list[Any] = [number(part) for part in _BETWEEN.split(plain)]
    elif isinstance(value, (list, tuple)) and len(value) <= 4:
        found = [one for part in value for one in (part if isinstance(part, (list, tuple)) else [part])]
    else:
        raise InvalidActionError(what)
    if len(found) not in (2, 4) or not all(_is_number(one) for one in found):
        raise InvalidActionError(what)
    return found


def number(text: str) -> Number | None:
    """A number as models write it; None where the text is none. Never infinite."""
    plain = text.translate(FULLWIDTH_TABLE)
    if NUMBER.fullmatch(plain) is None:
        return None
    if plain.lstrip("+-").isdigit():
        return int(plain)
    value = float(plain)
    return value if math.isfinite(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and (_small(value) and math.isfinite(value))


def _small(value: Number) -> bool:
    return isinstance(value, float) or abs(value) < 2**63


def _middle(low: Number, high: Number) -> Number:
    middle = (low + high) / 2
    return int(middle) if middle == int(middle) else middle
