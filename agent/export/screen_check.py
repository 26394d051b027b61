"""Check code of positions on a real screen: it must end with the screen that the run ended with."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actions import Screen, Surface, UsageError
from agent.export.check import RUNS, SCRIPT, run_code
from agent.export.run import ExportedRun, ExportError
from agent.export.source import SourceBuilder
from agent.fork import screen_difference
from agent.replay.recording import performed_actions
from agent.safety.freshness import STRICT_FRACTION
from agent.trace import Trace

SETTLE_TRIES, SETTLE_S = 10, 0.5
MIN_CHANGED_PX = 60  # of a visible effect; a caret has fewer


def check_on_screen(source: SourceBuilder, run: ExportedRun, trace: Trace) -> None:
    """Run code twice, each time on a screen as the run had it at its start, and compare the screen afterwards.

    Raises:
        UsageError: The screen cannot be opened, or the run's screens do not show what it did.
        ExportError: The code failed, or ended with another screen.
    """
    first, last = trace.screen(str(trace.first("start")["screen"])), trace.screen(run.end_screen)
    change = _last_change(trace, last)
    if not change:
        raise UsageError(
            f"the last screen of the run {run.name} does not differ from those before it, so nothing shows that the "
            "code works; use --no-check"
        )
    for number in range(1, RUNS + 1):
        with _open_screen(run, first) as (surface, variables):
            run_code(source, "export.py", SCRIPT, run.variables, variables, number)
            share = _settled_difference(surface, last)
        if share >= min(STRICT_FRACTION, change / 2):
            raise ExportError(
                f"run {number} of {RUNS} of the code ended with another screen than the run: {share:.1%} of the pixels "
                "differ"
            )


def _last_change(trace: Trace, last: Screen) -> float:
    """Return the share of pixels that the last action with a visible effect changed, 0 if none did."""
    for item in reversed(performed_actions(trace)):
        change = screen_difference(trace.screen(item.before), last)
        if change * last.width * last.height >= MIN_CHANGED_PX:
            return change
    return 0.0


@contextmanager
def _open_screen(run: ExportedRun, first: Screen) -> Iterator[tuple[Surface, Mapping[str, str]]]:
    """Return the screen that the code acts on, and the environment variables that lead to it, within the block."""
    name, _, where = run.surface.partition(":")
    if name == "android":
        from envs.surfaces.android import Surface as Phone

        with Phone(where) as phone:
            yield phone, {"ANDROID_SERIAL": phone.serial}
        return
    if where != "virtual":
        raise UsageError(
            "the code would act on your own screen, which is no fresh one; use --no-check, or record the run on "
            "desktop:virtual"
        )
    from envs.desktop.x11.connection import find_cookie, write_cookie
    from envs.surfaces.desktop import Surface as Desktop

    width, height = run.size
    with Desktop(where, url=run.url, program=run.program, width=width, height=height) as desktop:
        share = _settled_difference(desktop, first)
        if share >= STRICT_FRACTION:
            raise ExportError(f"the desktop does not start as in the run: {share:.1%} of the pixels differ")
        display = desktop.environ["DISPLAY"]
        number = int(display.partition(":")[2].partition(".")[0])
        _, secret = find_cookie(desktop.environ, number)
        with tempfile.TemporaryDirectory(prefix="pixelhand-export-") as folder:
            authority = Path(folder) / "cookie"
            write_cookie(authority, number, secret, socket.gethostname())
            yield desktop, {"DISPLAY": display, "XAUTHORITY": str(authority)}


def _settled_difference(surface: Surface, expected: Screen) -> float:
    """Return the share of pixels in which a screen differs from another one, once it does so the least."""
    share = 1.0
    for _ in range(SETTLE_TRIES):
        share = min(share, screen_difference(expected, surface.capture()))
        if share == 0:
            break
        time.sleep(SETTLE_S)
    return share
