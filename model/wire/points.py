"""Parse numbers, points and boxes as models write them."""

from __future__ import annotations

import math
import re
import reprlib

from actions import InvalidActionError

Number = int | float

FULLWIDTH_TABLE = str.maketrans(
    "０１２３４５６７８９（），．：；＝［］｛｝＜＞－＋＇＂、",
    "0123456789(),.:;=[]{}<>-+'\",",
)
_TAG = re.compile(r"<\|?/?(?:box_start|box_end|quad_start|quad_end|point|bbox|box|quad)\|?>")
_BRACKET = re.compile(r"[()\[\]]")
_SEPARATOR = re.compile(r"[\s,;]+")
_MAX_POINT_LENGTH = 200  # characters
_DIGITS = r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?"
NUMBER = re.compile(rf"{_DIGITS}(?![0-9.])")
_PAIR = re.compile(
    rf"[(\[][ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS})(?:[ \t]*,[ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS}))?"
)


def find_point(text: str, form: str) -> list[Number]:
    """Return the numbers of the first point or box in a reply.

    Raises:
        InvalidActionError: if there is none, or it is cut off.
    """
    plain = text.translate(FULLWIDTH_TABLE)
    match = _PAIR.search(plain)
    if match is None:
        raise InvalidActionError(f"the reply has no point; answer with {form}")
    if plain[match.end() : match.end() + 40].lstrip()[:1] not in (")", "]"):
        raise InvalidActionError(
            f"the point is not closed, or has more or fewer numbers than it may; answer with {form}"
        )
    values = [parse_number(digits) for digits in match.groups() if digits is not None]
    numbers = [value for value in values if value is not None]
    if len(numbers) != len(values):
        raise InvalidActionError(f"a number of the point is too large; answer with {form}")
    return numbers


def parse_numbers(value: object, key: str) -> list[Number]:
    """Return the two numbers of a point or four of a box, from a list or text such as '(3,4)' or '<point>3 4</point>'.

    Raises:
        InvalidActionError: if the value is neither.
    """
    numbers = list_numbers(value, 4)
    if len(numbers) not in (2, 4):
        raise InvalidActionError(f"'{key}' must be a point of two numbers or a box of four, not {show(value)}")
    return numbers


def list_numbers(value: object, most: int) -> list[Number]:
    """Return the numbers of a list, of a list of pairs, or of a text such as '(3,4),(5,6)'; [] for anything else.

    Args:
        value: A value of a reply.
        most: The most numbers.
    """
    parts: list[object] = []
    if isinstance(value, str) and len(value) <= _MAX_POINT_LENGTH:
        plain = _BRACKET.sub(" ", _TAG.sub(" ", value.translate(FULLWIDTH_TABLE))).strip(" \t\r\n,")
        parts = [parse_number(part) for part in _SEPARATOR.split(plain)]
    elif isinstance(value, (list, tuple)) and len(value) <= most:
        parts = [number for part in value for number in (part if isinstance(part, (list, tuple)) else [part])]
    numbers = [part for part in parts if isinstance(part, (int, float)) and _is_usable(part)]
    return numbers if len(numbers) == len(parts) <= most else []


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
