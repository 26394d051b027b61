"""SourceBuilder: lines of exported code, with the step of the run that each of them repeats."""

from __future__ import annotations

import json
from collections.abc import Iterable

from agent.ui.formatting import sanitize

MAX_COMMENT_CHARS, MAX_REASON_CHARS = 100, 400
OBSTACLES = ("intercepts pointer events", "is not visible", "is not enabled", "is not stable", "strict mode violation")


class SourceBuilder:
    """Collects lines of code.

    Attributes:
        lines: The lines.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._steps: dict[int, str] = {}  # the step that begins with a line, by the line's number from 1

    def add(self, *lines: str) -> None:
        """Append lines."""
        self.lines += lines

    def add_step(self, label: str, lines: Iterable[str], *, indent: str = "    ", has_comment: bool = True) -> None:
        """Append the lines of a step, after a comment that names it."""
        self._steps[len(self.lines) + 1] = label
        if has_comment:
            self.lines.append(f"{indent}{comment(label)}")
        self.lines += [f"{indent}{line}" for line in lines]

    def step_at(self, number: int) -> str:
        """Return the label of the step that a line belongs to, "" before the first."""
        begins = [line for line in self._steps if line <= number]
        return self._steps[max(begins)] if begins else ""

    def text(self) -> str:
        """Return the code."""
        return "".join(f"{line}\n" for line in self.lines)


def literal(value: str | int | float | bool) -> str:
    """Return a value as a Python literal; a string with double quotes, escaped where an encoding could fail."""
    if isinstance(value, bool) or not isinstance(value, str):
        return repr(value)
    try:
        value.encode()
        is_plain = value.isprintable()
    except UnicodeEncodeError:
        is_plain = False
    return json.dumps(value, ensure_ascii=False) if is_plain else '"' + "".join(map(_escape, value)) + '"'


def comment(text: str, limit: int = MAX_COMMENT_CHARS) -> str:
    """Return untrusted text as a comment of one line."""
    return f"# {sanitize(text, limit)}"


def error_reason(text: str) -> str:
    """Return an error of Playwright as one line: what failed, and the last obstacle of its call log."""
    lines = [line.strip(" -") for line in text.strip().splitlines()] or ["no reason was given"]
    obstacles = [line for line in lines[1:] if any(words in line for words in OBSTACLES)]
    return sanitize("; ".join([lines[0], *obstacles[-1:]]), MAX_REASON_CHARS)


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    if 32 <= code < 127:
        return character
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"
