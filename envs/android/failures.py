"""Failures in the output of a phone's commands, whose exit status is 0 on many phones even when they fail."""

from __future__ import annotations

import re

from envs.android.adb import CommandResult

UNKNOWN_COMMAND = re.compile(r"(?i)\bunknown command\b")
FORBIDDEN = re.compile(r"SecurityException|INJECT_EVENTS|WRITE_SECURE_SETTINGS")
FAILURE = re.compile(r"(?i)\w*exception\b|\berror\b|\bunknown\b|\busage:|\binaccessible\b|\bnot found\b|\bdenied\b")
IGNORED = re.compile(
    r"WARNING: linker:|Starting: |Broadcasting: "
)  # lines; an address in the latter may contain "error"


def output_lines(result: CommandResult) -> list[str]:
    """Return the lines of both outputs that may report a failure."""
    lines = (result.out + b"\n" + result.err).decode("utf-8", "replace").split("\n")
    return [line.strip() for line in lines if line.strip() and not IGNORED.match(line.strip())]


def has_failed(result: CommandResult) -> bool:
    """Return whether the exit status or the output reports a failure."""
    return bool(result.code) or any(FAILURE.search(line) for line in output_lines(result))


def is_unknown_command(result: CommandResult) -> bool:
    """Return whether the phone does not have the command, as old versions of Android."""
    return any(UNKNOWN_COMMAND.search(line) for line in output_lines(result))


def is_forbidden(result: CommandResult) -> bool:
    """Return whether the phone denies a permission to adb."""
    return any(FORBIDDEN.search(line) for line in output_lines(result))
