"""A parser for the part of the shell's syntax that adb clients need: words, quotes, `;`, `&&`, `||` and `$?`.

Substitutions, pipes and redirections are errors, so that text which a client quotes wrongly is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

STATUS = "\0"  # stands for $? in a word until the command is run
UNSUPPORTED = {"|": "pipes", "&": "jobs", "<": "redirections", ">": "redirections", "(": "subshells", ")": "subshells"}


class ShellSyntaxError(Exception):
    """The line has syntax that this shell does not support."""


@dataclass(frozen=True)
class ShellCommand:
    """A simple command and when it runs: "" or ";" always, "&&" after a success, "||" after a failure."""

    joiner: str
    words: tuple[str, ...]


def parse_line(line: str) -> list[ShellCommand]:
    """Return the commands of a line in order.

    Raises:
        ShellSyntaxError: for syntax other than quoting and sequences.
    """
    commands: list[ShellCommand] = []
    words: list[str] = []
    word: str | None = None
    joiner, position = "", 0
    while position < len(line):
        character = line[position]
        length = 1
        if character in " \t":
            words, word = _finish_word(words, word), None
        elif character in ";\n" or line.startswith(("&&", "||"), position):
            words, word = _finish_word(words, word), None
            length = 2 if character in "&|" else 1
            if words:
                commands.append(ShellCommand(joiner, tuple(words)))
            elif length == 2:
                raise ShellSyntaxError(f"sh: syntax error: unexpected '{character * 2}'")
            words, joiner = [], character * 2 if length == 2 else ";"
        elif character == "'":
            end = line.find("'", position + 1)
            if end < 0:
                raise ShellSyntaxError("sh: no closing quote")
            word = (word or "") + line[position + 1 : end]
            length = end + 1 - position
        elif character == '"':
            text, length = _parse_double_quotes(line, position)
            word = (word or "") + text
        elif character == "\\":
            word = (word or "") + line[position + 1 : position + 2]
            length = 2
        elif line.startswith("$?", position):
            word = (word or "") + STATUS
            length = 2
        elif character in "$`":
            raise _substitution_error(line, position)
        elif character in UNSUPPORTED:
            excerpt = line[position : position + 20]
            raise ShellSyntaxError(f"sh: the simulated phone has no {UNSUPPORTED[character]}: {excerpt!r}")
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
        position += length
    words = _finish_word(words, word)
    if words:
        commands.append(ShellCommand(joiner, tuple(words)))
    return commands


def _finish_word(words: list[str], word: str | None) -> list[str]:
    return words if word is None else [*words, word]


def _parse_double_quotes(line: str, start: int) -> tuple[str, int]:
    """Return the text of a double-quoted string that starts at `start`, and its length with the quotes."""
    text, position = "", start + 1
    while position < len(line):
        character = line[position]
        if character == '"':
            return text, position + 1 - start
        if character == "\\" and line[position + 1 : position + 2] in ('"', "\\", "$", "`"):
            text += line[position + 1]
            position += 2
            continue
        if line.startswith("$?", position):
            text += STATUS
            position += 2
            continue
        if character in "$`":
            raise _substitution_error(line, position)
        text += character
        position += 1
    raise ShellSyntaxError("sh: no closing quote")


def _substitution_error(line: str, position: int) -> ShellSyntaxError:
    return ShellSyntaxError(f"sh: the simulated phone has no substitutions: {line[position : position + 20]!r}")
