"""Parse calls written as name(key=value, ...). Nothing is executed.

Values are numbers, strings in either quote, lists and tuples of these, tagged points, and bare words. Full-width
punctuation counts as its plain form outside strings. The last parenthesis may be missing at the end of the text. A
quote inside a string need not be escaped where only one reading is left. Time is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from model.wire.points import FULLWIDTH_TABLE, NUMBER, parse_number

MAX_CALLS = 20
MAX_VALUES = 32
MAX_DEPTH = 4
_MAX_TRIES = 20  # names with a parenthesis that the free text before the call may hold

_SPACE = re.compile(r"[\s\u3000]*+")
_KEY = re.compile(r"[\s\u3000]*+([A-Za-z_]\w{0,30})[ \t]*+[=＝]")
_NEXT_VALUE = re.compile(r"[\s\u3000]*+['\"＇＂“‘0-9０-９\[(（［-]")
_WORD = re.compile(r"[A-Za-z_][\w/-]{0,60}")
_TAGGED = re.compile(r"<\|?(?:box_start|point|bbox|box)\|?>[^<>'\"\n]{0,80}(?:<\|?/?(?:box_end|point|bbox|box)\|?>)?")
_BETWEEN = re.compile(r"(?:[\s\u3000;；`]|Action[ \t]*[:：])*+")
_QUOTES = {"'": "'", '"': '"', "＇": "＇", "＂": "＂", "“": "”", "‘": "’"}
_LISTS = {"(": ")）", "（": ")）", "[": "]］", "［": "]］"}
_CLOSE = ")）"
_TERMINATORS = "<`"  # a tag or a fence after a call without its last parenthesis
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "'": "'", '"': '"', "\\": "\\"}
_CLOSED = re.compile(r"\s*</\w+>")
_UNPARSED_QUOTE = re.compile(r"['\"][ \t]*[)）]")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class CallSyntaxError(ValueError):
    """A call has no single reading; the message is a clause."""


@dataclass(frozen=True)
class ParsedCall:
    """One call, written as text[start:end], with its positional and keyword arguments."""

    name: str
    positional: tuple[object, ...]
    keywords: Mapping[str, object] = field(default_factory=dict)
    start: int = 0
    end: int = 0


class CallParser:
    """A parser for the calls of some names."""

    def __init__(self, names: Iterable[str]) -> None:
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._start = re.compile(rf"(?<![\w.])({either})[ \t]*[(（]")

    def parse_call(self, text: str, start: int = 0, *, certain: bool = False) -> list[ParsedCall]:
        """Return the first call after `start` and those that follow it directly; [] if there is none.

        certain: the text before `start` announces a call, so the first candidate must be one. Otherwise candidates
        that cannot be parsed may be free text, and a later one counts.

        Raises:
            CallSyntaxError: if no candidate can be parsed.
        """
        calls: list[ParsedCall] = []
        first_error: CallSyntaxError | None = None
        for tried, match in enumerate(self._start.finditer(text, start)):
            if tried == (1 if certain else _MAX_TRIES):
                break
            try:
                calls.append(_parse(text, match))
                break
            except CallSyntaxError as error:
                first_error = first_error or error
        if not calls:
            if first_error is not None:
                raise first_error
            return []
        while True:
            between = _BETWEEN.match(text, calls[-1].end)
            following = self._start.match(text, between.end() if between else calls[-1].end)
            if following is None:
                break
            if len(calls) == MAX_CALLS:
                raise CallSyntaxError(f"the reply has more than {MAX_CALLS} calls")
            calls.append(_parse(text, following))
        last = calls[-1].end
        closed = _CLOSED.match(text, last)  # text after a closing tag is not part of a string
        if closed is None and _UNPARSED_QUOTE.search(text, last, _line_end(text, last)):
            raise CallSyntaxError("a quote inside a text must be written with a backslash before it")
        return calls


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _parse(text: str, match: re.Match[str]) -> ParsedCall:
    positional: list[object] = []
    keywords: dict[str, object] = {}
    at = _skip(text, match.end())
    while True:
        char = text[at : at + 1]
        if char and char in _CLOSE:
            return ParsedCall(match.group(1), tuple(positional), keywords, match.start(), at + 1)
        if len(positional) + len(keywords) == MAX_VALUES:
            raise CallSyntaxError(f"{match.group(1)} has more than {MAX_VALUES} arguments")
        key = _KEY.match(text, at)
        value, at, whole = _value(text, key.end() if key else at, 0, bare=key is not None)
        if key is None:
            positional.append(value)
        elif keywords.setdefault(key.group(1), value) != value:
            raise CallSyntaxError(f"'{key.group(1)}' is given twice with different values")
        at = _skip(text, at)
        char = text[at : at + 1]
        if char and char in ",，、":
            at = _skip(text, at + 1)
        elif char and char in _CLOSE:
            continue
        elif (not char or char in _TERMINATORS) and whole:
            return ParsedCall(match.group(1), tuple(positional), keywords, match.start(), at)
        else:
            raise CallSyntaxError(_expected("',' or ')'", text, at))


def _value(text: str, at: int, depth: int, *, bare: bool = True) -> tuple[object, int, bool]:
    """Return the value at a position, its end, and whether it is complete: a number at the end may be cut off."""
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
        value = parse_number(digits.group())
        if value is None:
            raise CallSyntaxError(f"{digits.group()[:20]} is not a finite number")
        return value, at + digits.end(), False
    word = _WORD.match(text, at)
    if word is None:
        raise CallSyntaxError(_expected("a value", text, at))
    return _CONSTANTS.get(word.group(), word.group()), word.end(), False


def _list(text: str, at: int, depth: int) -> tuple[list[object], int]:
    if depth == MAX_DEPTH:
        raise CallSyntaxError(f"it is nested more than {MAX_DEPTH} deep")
    close = _LISTS[text[at]]
    values: list[object] = []
    at = _skip(text, at + 1)
    while True:
        char = text[at : at + 1]
        if char and char in close:
            return values, at + 1
        if len(values) == MAX_VALUES:
            raise CallSyntaxError(f"a list has more than {MAX_VALUES} values")
        value, at, _ = _value(text, at, depth + 1)
        values.append(value)
        at = _skip(text, at)
        char = text[at : at + 1]
        if char and char in ",，、":
            at = _skip(text, at + 1)
        elif not (char and char in close):
            raise CallSyntaxError(_expected(f"',' or '{close[0]}'", text, at))


def _string(text: str, at: int, *, in_list: bool) -> tuple[str, int]:
    quote = _QUOTES[text[at]]
    start = position = at + 1
    while True:
        end = text.find(quote, position)
        if end < 0:
            raise CallSyntaxError(f"a string is never closed: {text[at : at + 20]!r}")
        position = end + 1
        backslashes = 0
        while end - backslashes > start and text[end - backslashes - 1] == "\\":
            backslashes += 1
        if backslashes % 2 == 0 and _closes(text, position, quote, in_list):
            return _ESCAPED.sub(_unescape, text[start:end]), position


def _closes(text: str, at: int, quote: str, in_list: bool) -> bool:
    """Whether the quote before `at` ends its string, judged by the text after it."""
    at = _skip(text, at)
    char = text[at : at + 1]
    if not char or char in _TERMINATORS:
        return True
    if char in ",，、":
        return bool(_KEY.match(text, at + 1) or (in_list and _NEXT_VALUE.match(text, at + 1)))
    if char in "]］":
        return in_list
    if char not in _CLOSE:
        return False
    after = text[at + 1 : at + 40].lstrip(" \t")[:1]
    return after != quote or in_list


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group())


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expected(token: str, text: str, at: int) -> str:
    return f"expected {token}, found {repr(text[at : at + 20]) if at < len(text) else 'the end'}"


def quoted(text: str, mark: str = "'") -> str:
    """Return a text as a string literal in either quote that parses to the same text."""
    escaped = text.replace("\\", "\\\\").replace(mark, f"\\{mark}").replace("\n", "\\n").replace("\t", "\\t")
    return f"{mark}{escaped}{mark}"
