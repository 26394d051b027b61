"""A key combination on the person's own display, whichever window has the focus."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from actions import UsageError
from envs.desktop.x11.connection import open_connection

HOTKEY = "ctrl+alt+escape"


class Hotkey:
    """Calls a function when ctrl+alt+escape is pressed; a context manager with a connection and a thread of its own.

    Args:
        display: Name of the display.
        on_press: Called in the thread.

    Raises:
        UsageError: There is no such display, or another program uses the keys.
    """

    def __init__(self, display: str, on_press: Callable[[], None]) -> None:
        from Xlib import XK, X
        from Xlib.error import BadAccess, CatchError

        self._on_press, self._press_event = on_press, X.KeyPress
        self._connection = open_connection(display)
        root, failure = self._connection.screen().root, CatchError(BadAccess)
        keycode = self._connection.keysym_to_keycode(XK.XK_Escape)
        for locks in (0, X.LockMask, X.Mod2Mask, X.LockMask | X.Mod2Mask):  # caps lock and num lock are modifiers
            modifiers = X.ControlMask | X.Mod1Mask | locks
            root.grab_key(keycode, modifiers, False, X.GrabModeAsync, X.GrabModeAsync, onerror=failure)
        self._connection.sync()
        if failure.get_error() is not None:
            self._connection.close()
            raise UsageError(f"another program uses {HOTKEY} on display {display}")
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="pixelhand-hotkey", daemon=True)

    def __enter__(self) -> Hotkey:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the keys."""
        os.write(self._wake_writer, b"x")
        self._thread.join()
        for descriptor in (self._wake_reader, self._wake_writer):
            os.close(descriptor)

    def _watch(self) -> None:
        from Xlib.error import ConnectionClosedError

        with suppress(ConnectionClosedError, OSError):  # the server ended
            while True:
                while self._connection.pending_events():
                    if self._connection.next_event().type == self._press_event:
                        self._on_press()
                ready, _, _ = select.select([self._connection.fileno(), self._wake_reader], [], [])
                if self._wake_reader in ready:
                    break
        with suppress(ConnectionClosedError, OSError):
            self._connection.close()
