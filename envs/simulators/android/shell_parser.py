"""A phone's shell, as little of it as adb clients need: words, quotes, `;`, `&&`, `||`, `$?`. Runs nothing itself.

What a careless client would have the shell do with a text ($(...), backquotes, pipes, redirections, variables) is an
error here: quoting that is wrong shows at once.
"""

from __future__ import annotations

from dataclasses import dataclass

STATUS = "\0"  # stands for $? in a word until it is run
FORBIDDEN = {"|": "pipes", "&": "jobs", "<": "redirections", ">": "redirections", "(": "subshells", ")": "subshells"}


class ShellSyntax(Exception):
    """The line asks for what this shell has not."""


@dataclass(frozen=True)
class Command:
    """One simple command; joiner tells when it runs: "" or ";" always, "&&" after a success, "||" after a failure."""

    joiner: str
    words: tuple[str, ...]


def parse(line: str) -> list[Command]:
    """The commands of a line, in order. ShellSyntax for all but quoting and sequences."""
    commands: list[Command] = []
    words: list[str] = []
    word: str | None = None
    joiner, at = "", 0
    while at < len(line):
        char = line[at]
        step = 1
        if char in " \t":
            words, word = _ended(words, word), None
        elif char in ";\n" or line.startswith(("&&", "||"), at):
            words, word = _ended(words, word), None
            step = 2 if char in "&|" else 1
            if words:
                commands.append(Command(joiner, tuple(words)))
            elif step == 2:
                raise ShellSyntax(f"sh: syntax error: unexpected '{char * 2}'")
            words, joiner = [], char * 2 if step == 2 else ";"
        elif char == "'":
            end = line.find("'", at + 1)
            if end < 0:
                raise ShellSyntax("sh: no closing quote")
            word = (word or "") + line[at + 1 : end]
            step = end + 1 - at
        elif char == '"':
            quoted, step = _double(line, at)
            word = (word or "") + quoted
        elif char == "\\":
            word = (word or "") + line[at + 1 : at + 2]
            step = 2
        elif line.startswith("$?", at):
            word = (word or "") + STATUS
            step = 2
        elif char in "$`":
            raise ShellSyntax(f"sh: the simulated phone substitutes nothing: {line[at : at + 20]!r}")
        elif char in FORBIDDEN:
            raise ShellSyntax(f"sh: the simulated phone has no {FORBIDDEN[char]}: {line[at : at + 20]!r}")
        elif char == "#" and word is None:
            break
        else:
            word = (word or "") + char
        at += step
    words = _ended(words, word)
    if words:
        commands.append(Command(joiner, tuple(words)))
    return commands


def _ended(words: list[str], word: str | None) -> list[str]:
    return words if word is None else [*words, word]


def _double(line: str, at: int) -> tuple[str, int]:
    """The text of a double-quoted piece that begins at `at`, and its length with the quotes."""
    text, place = "", at + 1
    while place < len(line):
        char = line[place]
        if char == '"':
            return text, place + 1 - at
        if char == "\\" and line[place + 1 : place + 2] in ('"', "\\", "$", "`"):
            text += line[place + 1]
            place += 2
            continue
        if line.startswith("$?", place):
            text += STATUS
            place += 2
            continue
        if char in "$`":
            raise ShellSyntax(f"sh: the simulated phone substitutes nothing: {line[place : place + 20]!r}")
        text += char
        place += 1
    raise ShellSyntax("sh: no closing quote")
