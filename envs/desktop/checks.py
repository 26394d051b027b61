"""Checks of a desktop's options before it is opened."""

from __future__ import annotations

from collections.abc import Sequence

from envs.desktop.backend import open_backend, require_windows
from envs.desktop.geometry import is_monitor_name, select_monitor
from envs.options import SurfaceOptions

VIRTUAL = "virtual"  # the desktop of its own, in `--on desktop:virtual`
HEADED = "--headed does not apply to a desktop; leave it out"


def combination_problems(where: str, window: str, url: str, program: str, shared: Sequence[object] = ()) -> list[str]:
    """Return which options do not go together, one sentence each."""
    problems: list[str] = []
    if where == VIRTUAL:
        if window:
            problems.append(
                "--window does not apply to a virtual desktop, which shows only what it opens; leave it out"
            )
        if url and program:
            problems.append("a virtual desktop opens an address or a program, not both; give --url or --program")
        return problems
    if url or program:
        flags = " and ".join(flag for flag, value in (("--url", url), ("--program", program)) if value)
        problems.append(
            f"{flags} cannot be used here: only a virtual desktop opens something; use --on desktop:virtual"
        )
    if shared:
        problems.append("--share applies to a virtual desktop only: programs of your own desktop see all folders")
    if where and window:
        problems.append("give a monitor or --window, not both: a window is found on any monitor")
    return problems


def check_display(options: SurfaceOptions) -> None:
    """Raise UsageError where the user's display, the monitor or the window is missing."""
    backend = open_backend(None)
    try:
        if options.window:
            require_windows(backend).find(options.window)
        elif is_monitor_name(options.where):
            select_monitor(backend.monitors(), options.where)
    finally:
        backend.close()
