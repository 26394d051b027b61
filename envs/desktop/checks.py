"""Checks of a desktop's options before it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actions import usage_problems
from envs.chromium.address import check_reachable, person_address
from envs.desktop.backend import open_backend, require_windows
from envs.desktop.geometry import check_monitor_name, is_monitor_name, select_monitor
from envs.options import SurfaceOptions

VIRTUAL = "virtual"  # the desktop of its own, in `--surface desktop:virtual`
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
            f"{flags} cannot be used here: only a virtual desktop opens something; use --surface desktop:virtual"
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


def check_options(options: SurfaceOptions) -> list[str]:
    """Return every reason for which the desktop could not be opened now; see envs.options."""
    problems = [HEADED] if options.headed else []
    problems += combination_problems(options.where, options.window, options.url, options.program, options.share)
    if options.where == VIRTUAL:
        from envs.desktop.virtual_display import check_virtual_desktop

        checks: list[Callable[[], object]] = [lambda: check_virtual_desktop(options.program)]
        if options.url:
            checks.append(lambda: check_reachable(person_address(options.url)))
        return problems + usage_problems(*checks)
    if not is_monitor_name(options.where):
        return problems + usage_problems(lambda: check_monitor_name(options.where))
    return problems + usage_problems(lambda: check_display(options))
