"""The practice page of a virtual desktop: its clock stands still, except while an action advances it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actions import Action
from envs.chromium import clock

if TYPE_CHECKING:
    from envs.desktop.devtools import Devtools
    from envs.desktop.virtual_display import VirtualDesktop


class PracticePage:
    """The page that a virtual desktop was opened for; where it shows none, time is real and nothing is awaited."""

    def __init__(self, desktop: VirtualDesktop | None) -> None:
        self._desktop = desktop

    def wait(self, seconds: float) -> None:
        """Let seconds pass, of virtual time where the page has it."""
        if devtools := self._connection():
            devtools.advance(clock.wait_js(seconds))
        else:
            time.sleep(seconds)

    @contextlib.contextmanager
    def settle_after(self, action: Action) -> Iterator[None]:
        """Advance the page, after the block, to the end of what the action started."""
        devtools = self._connection()
        received = devtools.advance(clock.RECEIVED_JS) if devtools else None
        yield
        if devtools and isinstance(received, dict):
            devtools.advance(clock.settle_after_js(action, received))

    def is_busy(self) -> bool:
        """Return whether the page has still to draw its present state.

        Input that reached the page only after the action had ended is brought to its end first.
        """
        devtools = self._connection()
        if devtools is None:
            return False
        return bool(devtools.advance(clock.SETTLE_LATE_JS)) or not devtools.wait_until_drawn()

    def _connection(self) -> Devtools | None:
        """Return the connection to a page whose time is virtual, None for any other page."""
        desktop = self._desktop
        if desktop is None or desktop.page is None or desktop.devtools is None or not desktop.runs_chromium():
            return None
        return desktop.devtools if desktop.devtools.advance(clock.HAS_CLOCK_JS) else None
