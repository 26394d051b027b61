"""Expectations of a user about the state in which a run ends, as `--expect` names them."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from actions import UsageError

Kind = Literal["text", "no-text", "url", "title", "element", "file", "request"]
FORMS = {
    "text": 'text "WORDS"',
    "no-text": 'no-text "WORDS"',
    "url": "url PATTERN",
    "title": "title PATTERN",
    "element": 'element ROLE "LABEL"',
    "file": 'file PATH [contains "WORDS"]',
    "request": "request METHOD PATH [STATUS]",
}
METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET")
_STATUS = re.compile(r"[1-5](\d\d|xx)")


@dataclass(frozen=True)
class Expectation:
    """One condition that holds after the run.

    Args:
        kind: What is looked at.
        source: The expectation as the user wrote it.
        value: The text, pattern, label, path of a file or path of a request.
        qualifier: The role of an element, the content of a file, or the method of a request; "" for any.
        status: The status of a request, such as "201" or "2xx"; "" for the other kinds.
    """

    kind: Kind
    source: str
    value: str
    qualifier: str = ""
    status: str = ""

    @property
    def is_told_by_page(self) -> bool:
        """Whether the page itself decides whether it holds, so that a page can feign it."""
        return self.kind in ("text", "no-text", "url", "title", "element")


def parse_expectation(source: str) -> Expectation:
    """Return the expectation that a text such as `text "Order received"` or `request POST /orders 2xx` describes.

    Raises:
        UsageError: It has none of the forms.
    """
    try:
        words = shlex.split(source)
    except ValueError as error:
        raise UsageError(f"--expect {source!r} cannot be read: {str(error).lower()}") from None
    kind = words[0] if words else ""
    parse = _PARSERS.get(kind)
    if parse is None:
        raise UsageError(f"--expect {source!r} has no known form; the forms are: {', '.join(FORMS.values())}")
    expectation = parse(source, words[1:])
    if expectation is None:
        raise UsageError(f"--expect {source!r} is incomplete or has too many words; its form is: {FORMS[kind]}")
    return expectation


def parse_expectations(sources: Sequence[str]) -> tuple[Expectation, ...]:
    """Return the expectations that texts describe.

    Raises:
        UsageError: At least one text has none of the forms; one line for each.
    """
    expectations, problems = [], []
    for source in sources:
        try:
            expectations.append(parse_expectation(source))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return tuple(expectations)


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern with `*` and `?`; the brackets of other globs stand for themselves."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


def _one_value(kind: Kind) -> Callable[[str, list[str]], Expectation | None]:
    def parse(source: str, words: list[str]) -> Expectation | None:
        return Expectation(kind, source, words[0]) if len(words) == 1 and words[0].strip() else None

    return parse


def _element(source: str, words: list[str]) -> Expectation | None:
    return Expectation("element", source, words[1], words[0].lower()) if len(words) == 2 and all(words) else None


def _file(source: str, words: list[str]) -> Expectation | None:
    if len(words) == 3 and words[1] == "contains" and words[2]:
        return Expectation("file", source, words[0], words[2])
    return Expectation("file", source, words[0]) if len(words) == 1 and words[0] else None


def _request(source: str, words: list[str]) -> Expectation | None:
    if len(words) not in (2, 3) or words[0].upper() not in METHODS:
        return None
    status = words[2].lower() if len(words) == 3 else "2xx"
    return Expectation("request", source, words[1], words[0].upper(), status) if _STATUS.fullmatch(status) else None


_PARSERS: dict[str, Callable[[str, list[str]], Expectation | None]] = {
    "text": _one_value("text"),
    "no-text": _one_value("no-text"),
    "url": _one_value("url"),
    "title": _one_value("title"),
    "element": _element,
    "file": _file,
    "request": _request,
}
