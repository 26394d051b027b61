"""Results and failures of the simulated phone's commands."""

from __future__ import annotations

from typing import NamedTuple


class ShellResult(NamedTuple):
    """The output of a command and its exit status."""

    out: bytes = b""
    err: bytes = b""
    code: int = 0


class CommandError(Exception):
    """A command that failed with a message and an exit status."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def text_result(text: str) -> ShellResult:
    """Return a success with a line of output, or none for ""."""
    return ShellResult(f"{text}\n".encode() if text else b"")
