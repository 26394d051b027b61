"""Parse JSON as models write it: nearly valid JSON is accepted if only one reading is left.

Accepted beyond JSON: single quotes, line breaks within strings, bare words as keys, a comma before a closing bracket,
Python's True, False and None, and objects left open before a mark that ends the text. Time is linear in the text's
length; nesting is bounded, so nothing recurses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 32  # a call nests three deep, and code that walks the value may recurse

_SPACE = re.compile(r"[ \t\r\n]*+")
_BETWEEN = re.compile(r"[\s,;]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_STRINGS = {
    '"': re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL),
}
_TO_ESCAPE = re.compile(r'\\.|["\x00-\x1f]', re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class LenientJsonError(ValueError):
    """A text is no JSON value; the message is a clause."""


def parse_json(text: str, start: int = 0, ends: str = "") -> tuple[Any, int]:
    """Return the value at `start` and its end; text after it is ignored. No float in the value is NaN or infinite.

    Args:
        ends: a mark before which objects (not lists) may be left unclosed.

    Raises:
        LenientJsonError: if the value has no single reading.
    """
    try:
        value, end = _STRICT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _parse_leniently(text, start, ends)
    _check_depth(value)
    return value, end


def find_values(text: str, first_keys: Sequence[str], most: int) -> tuple[list[object], int, int]:
    """Return the JSON values in a text that follow each other, lists flattened, and their start and end.

    The first is an object that starts with one of the keys, or a list of such objects; more than `most` are not read.

    Raises:
        LenientJsonError: one of them is not readable.
    """
    opening = re.compile(rf"(?:\[[ \t\r\n]*+)?\{{[ \t\r\n]*+(['\"])(?:{'|'.join(first_keys)})\1[ \t\r\n]*+:")
    values: list[object] = []
    match = opening.search(text)
    start = end = match.start() if match else 0
    while match is not None and len(values) <= most:
        value, end = parse_json(text, match.start())
        values += value if isinstance(value, list) else [value]
        between = _BETWEEN.match(text, end)
        match = opening.match(text, between.end() if between else end)
    return values, start, end


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        _put(value, key, item)
    return value


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if key in target and target[key] != value:
        raise LenientJsonError(f"{_short(key)} is given twice with different values")
    target[key] = value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise LenientJsonError(f"{digits[:20]} is not a finite number")
    return value


def _constant(name: str) -> Any:
    raise LenientJsonError(f"{name} is not a number that JSON has")


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [child for node in level if isinstance(node, dict) for child in node.values()]
        inner += [child for node in level if isinstance(node, list) for child in node]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return
    raise LenientJsonError(f"it is nested more than {MAX_DEPTH} deep")


def _parse_leniently(text: str, at: int, ends: str) -> tuple[Any, int]:
    """Parse in one pass with a stack of open containers; `expect` is the next token: a value, a key, or "after" one."""
    open_: list[dict[str, Any] | list[Any]] = []
    keys: list[str] = []  # for each open object whose value is being read
    expect = "value"
    while True:
        at = _skip(text, at)
        char = text[at : at + 1]
        top = open_[-1] if open_ else None
        if expect == "value" and char in ("{", "["):
            if len(open_) == MAX_DEPTH:
                raise LenientJsonError(f"it is nested more than {MAX_DEPTH} deep")
            open_.append({} if char == "{" else [])
            expect = "key" if char == "{" else "value"
            at += 1
            continue
        if expect == "key" and char != "}":
            key, at = _key(text, at)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise LenientJsonError(_expected("':' behind a key", text, at))
            keys.append(key)
            expect, at = "value", at + 1
            continue
        if expect == "after" and char == ",":
            expect = "key" if isinstance(top, dict) else "value"
            at += 1
            continue
        value: Any
        if (char == "}" and isinstance(top, dict) and expect != "value") or (char == "]" and isinstance(top, list)):
            value = open_.pop()
            at += 1
        elif (
            expect == "after"
            and ends
            and text.startswith(ends, at)
            and all(isinstance(container, dict) for container in open_)
        ):
            value = open_.pop()  # `at` stays: the mark closes one object after the other
        elif expect == "value":
            value, at = _scalar(text, at)
        else:
            raise LenientJsonError(_expected("',' or '}'" if isinstance(top, dict) else "',' or ']'", text, at))
        if not open_:
            return value, at
        outer = open_[-1]
        if isinstance(outer, dict):
            _put(outer, keys.pop(), value)
        else:
            outer.append(value)
        expect = "after"


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] in _STRINGS:
        return _string(text, at)
    word = _WORD.match(text, at)
    if word is None:
        raise LenientJsonError(_expected("a key in quotes", text, at))
    return word.group(), word.end()


def _scalar(text: str, at: int) -> tuple[Any, int]:
    if text[at : at + 1] in _STRINGS:
        return _string(text, at)
    number = _NUMBER.match(text, at)
    if number is not None:
        digits = number.group()
        if not digits.lstrip("-").isdigit():
            return _float(digits), number.end()
        try:
            return int(digits), number.end()
        except ValueError:  # Python parses at most 4300 digits
            raise LenientJsonError(f"it has a number of {len(digits)} digits") from None
    word = _WORD.match(text, at)
    if word is not None and word.group() in _WORDS:
        return _WORDS[word.group()], word.end()
    raise LenientJsonError(_expected("a value", text, at))


def _string(text: str, at: int) -> tuple[str, int]:
    """Parse a string in either quote; its body is made strict JSON, whose rules for escapes decide."""
    match = _STRINGS[text[at]].match(text, at)
    if match is None:
        raise LenientJsonError(f"a string is never closed: {_short(text[at : at + 20])}")
    body = _TO_ESCAPE.sub(_escaped, match.group(1))
    try:
        return json.loads(f'"{body}"'), match.end()
    except ValueError:
        raise LenientJsonError(f"a string has a backslash that escapes nothing: {_short(match.group(1))}") from None


def _escaped(match: re.Match[str]) -> str:
    part = match.group()
    if part == "\\'":
        return "'"
    if part == '"':
        return '\\"'
    return part if part[0] == "\\" else f"\\u{ord(part):04x}"


def _expected(token: str, text: str, at: int) -> str:
    return f"expected {token}, found {_short(text[at : at + 20]) if at < len(text) else 'the end'}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 20 else text[:20] + "...")
