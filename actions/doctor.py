"""Findings about the machine: what `agent doctor` reports, whichever package checks it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from actions.errors import Error

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was checked.
        level: "warning": something will not work; "error": the agent will not work.
        message: What was found.
        fix: What the user can do, "" where there is nothing to fix.
    """

    name: str
    level: Level
    message: str
    fix: str = ""


class DiskUsage(Protocol):
    """Sizes of a file system in bytes, as `shutil.disk_usage` returns them."""

    @property
    def total(self) -> int:
        """All of it."""
        ...

    @property
    def free(self) -> int:
        """What is free."""
        ...


@dataclass(frozen=True)
class Host:
    """The machine to check; tests replace its parts."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    platform: str = sys.platform
    version: tuple[int, ...] = sys.version_info[:3]
    which: Callable[[str], str | None] = shutil.which
    disk: Callable[[Path], DiskUsage] = shutil.disk_usage

    @property
    def home(self) -> Path:
        """The user's home folder."""
        return Path(self.environ.get("HOME") or self.environ.get("USERPROFILE") or Path.home())


AnyHost = TypeVar("AnyHost", bound=Host)
Check = Callable[[AnyHost], Iterator[Finding]]  # a function called check_NAME


def run_checks(checks: Iterable[Check[AnyHost]], host: AnyHost) -> Iterator[Finding]:
    """Yield the findings of every check in order; a check that fails becomes a finding too."""
    for check in checks:
        name = getattr(check, "__name__", "check").removeprefix("check_")
        try:
            yield from check(host)
        except Error as error:
            yield Finding(name, "error", str(error))
        except Exception as error:
            yield Finding(name, "warning", f"the check failed ({type(error).__name__}: {error})")
