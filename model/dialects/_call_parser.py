"""Text -> calls written as name(key=value, ...), the way the families without JSON write them. Nothing is executed.

Values are numbers, strings in either quote, lists and tuples of these, tagged points, and bare words. Full-width
punctuation counts as its plain form outside strings. A last parenthesis may be missing where the text ends. A quote
inside a string need not be escaped where only one reading is left; else the text is Unclear. Knows no family.
Linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model.dialects._coordinates import FULLWIDTH_TABLE, NUMBER, number

MOST_CALLS = 20
MOST_VALUES = 32
MOST_DEPTH = 4
_TRIES = 20  # names followed by a parenthesis that thoughts may hold before the call

_SPACE = re.compile(r"[\s\u3000]*+")
_KEY = re.compile(r"[\s\u3000]*+([A-Za-z_]\w{0,30})[ \t]*+[=＝]")
_NEXT_VALUE = re.compile(r"[\s\u3000]*+['\"＇＂“‘0-9０-９\[(（［-]")
_WORD = re.compile(r"[A-Za-z_][\w/-]{0,60}")
_TAGGED = re.compile(r"<\|?(?:box_start|point|bbox|box)\|?>[^<>'\"\n]{0,80}(?:<\|?/?(?:box_end|point|bbox|box)\|?>)?")
_BETWEEN = re.compile(r"(?:[\s\u3000;；`]|Action[ \t]*[:：])*+")
_QUOTES = {"'": "'", '"': '"', "＇": "＇", "＂": "＂", "“": "”", "‘": "’"}
_LISTS = {"(": ")）", "（": ")）", "[": "]］", "［": "]］"}
_CLOSE = ")）"
_ENDS = "<`"  # a tag or a fence behind a call whose parenthesis is missing
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANS = {"n": "\n", "t": "\t", "'": "'", '"': '"', "\\": "\\"}
_CLOSED = re.compile(r"\s*</\w+>")
_LEFT_OVER = re.compile(r"['\"][ \t]*[)）]")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class CallSyntaxError(ValueError):
    """Why a call cannot be read, as half a sentence."""


@dataclass(frozen=True)
class ParsedCall:
    """One call as it was written, text[start:end]."""

    name: str
    given: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)
    start: int = 0
    end: int = 0


class CallParser:
    """Finds and reads calls of a closed list of names."""

    def __init__(self, names: Iterable[str]) -> None:
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._start = re.compile(rf"(?<![\w.])({either})[ \t]*[(（]")

    def parse_call(self, text: str, start: int = 0, *, certain: bool = False) -> list[ParsedCall]:
        """The first call behind start, and those that follow it with nothing between; [] when there is none.

        certain: the calls are announced there, so the first that looks like one must be one; else what cannot be read
        may be part of the thoughts, and a later one counts. Raises Unclear.
        """
        found: list[ParsedCall] = []
        why: CallSyntaxError | None = None
        for tried, match in enumerate(self._start.finditer(text, start)):
            if tried == (1 if certain else _TRIES):
                break
            try:
                found.append(_read(text, match))
                break
            except CallSyntaxError as error:
                why = why or error
        if not found:
            if why is not None:
                raise why
            return []
        while True:
            between = _BETWEEN.match(text, found[-1].end)
            following = self._start.match(text, between.end() if between else found[-1].end)
            if following is None:
                break
            if len(found) == MOST_CALLS:
                raise CallSyntaxError(f"the reply has more than {MOST_CALLS} calls")
            found.append(_read(text, following))
        last = found[-1].end
        closed = _CLOSED.match(text, last)  # what follows a closing tag is no part of a text
        if closed is None and _LEFT_OVER.search(text, last, _line_end(text, last)):
            raise CallSyntaxError("a quote inside a text must be written with a backslash before it")
        return found


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _read(text: str, match: re.Match[str]) -> ParsedCall:
    given: list[Any] = []
    named: dict[str, Any] = {}
    at = _skip(text, match.end())
    while True:
        char = text[at : at + 1]
        if char and char in _CLOSE:
            return ParsedCall(match.group(1), tuple(given), named, match.start(), at + 1)
        if len(given) + len(named) == MOST_VALUES:
            raise CallSyntaxError(f"{match.group(1)} has more than {MOST_VALUES} arguments")
        key = _KEY.match(text, at)
        value, at, whole = _value(text, key.end() if key else at, 0, bare=key is not None)
        if key is None:
            given.append(value)
        elif named.setdefault(key.group(1), value) != value:
            raise CallSyntaxError(f"'{key.group(1)}' is given twice with different values")
        at = _skip(text, at)
        char = text[at : at + 1]
        if char and char in ",，、":
            at = _skip(text, at + 1)
        elif char and char in _CLOSE:
            continue
        elif (not char or char in _ENDS) and whole:
            return ParsedCall(match.group(1), tuple(given), named, match.start(), at)
        else:
            raise CallSyntaxError(_expected("',' or ')'", text, at))


def _value(text: str, at: int, depth: int, *, bare: bool = True) -> tuple[Any, int, bool]:
    """The value at a place, where it ends, and whether it is surely whole: a number at the end may be cut off."""
    at = _skip(text, at)
    char = text[at : at + 1]
    if char in _QUOTES and char:
        return (*_string(text, at, in_list=depth > 0 or not bare), True)
    if char in _LISTS and char:
        return (*_list(text, at, depth), True)
    if char == "<":
        tagged = _TAGGED.match(text, at)
        if tagged is not None:
            return tagged.group(), tagged.end(), True
    digits = NUMBER.match(text[at : at + 100].translate(FULLWIDTH_TABLE))
    if digits is not None:
        value = number(digits.group())
        if value is None:
            raise CallSyntaxError(f"{digits.group()[:20]} is not a finite number")
        return value, at + digits.end(), False
    word = _WORD.match(text, at)
    if word is None:
        raise CallSyntaxError(_expected("a value", text, at))
    return _WORDS.get(word.group(), word.group()), word.end(), False


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    if depth == MOST_DEPTH:
        raise CallSyntaxError(f"it is nested more than {MOST_DEPTH} deep")
    close = _LISTS[text[at]]
    found: list[Any] = []
    at = _skip(text, at + 1)
    while True:
        char = text[at : at + 1]
        if char and char in close:
            return found, at + 1
        if len(found) == MOST_VALUES:
            raise CallSyntaxError(f"a list has more than {MOST_VALUES} values")
        value, at, _ = _value(text, at, depth + 1)
        found.append(value)
        at = _skip(text, at)
        char = text[at : at + 1]
        if char and char in ",，、":
            at = _skip(text, at + 1)
        elif not (char and char in close):
            raise CallSyntaxError(_expected(f"',' or '{close[0]}'", text, at))


def _string(text: str, at: int, *, in_list: bool) -> tuple[str, int]:
    quote = _QUOTES[text[at]]
    begin = place = at + 1
    while True:
        end = text.find(quote, place)
        if end < 0:
            raise CallSyntaxError(f"a string is never closed: {text[at : at + 20]!r}")
        place = end + 1
        backslashes = 0
        while end - backslashes > begin and text[end - backslashes - 1] == "\\":
            backslashes += 1
        if backslashes % 2 == 0 and _closes(text, place, quote, in_list):
            return _ESCAPED.sub(_meant, text[begin:end]), place


def _closes(text: str, at: int, quote: str, in_list: bool) -> bool:
    """Whether the quote before `at` ends its string, by what follows it."""
    at = _skip(text, at)
    char = text[at : at + 1]
    if not char or char in _ENDS:
        return True
    if char in ",，、":
        return bool(_KEY.match(text, at + 1) or (in_list and _NEXT_VALUE.match(text, at + 1)))
    if char in "]］":
        return in_list
    if char not in _CLOSE:
        return False
    after = text[at + 1 : at + 40].lstrip(" \t")[:1]
    return after != quote or in_list


def _meant(match: re.Match[str]) -> str:
    return _MEANS.get(match.group(1), match.group())


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expected(what: str, text: str, at: int) -> str:
    return f"expected {what}, found {repr(text[at : at + 20]) if at < len(text) else 'the end'}"


def quoted(text: str) -> str:
    """A text as a string between single quotes, so that it is read back as it was."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"'{escaped}'"
