"""Modifier keys that the user may hold or have locked while the agent types."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actions import SurfaceError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.x11.keymap import NUM_LOCK, KeyMap
from envs.desktop.x11.strokes import tap

if TYPE_CHECKING:
    from Xlib.display import Display

RELEASE_S = 2.0  # how long a modifier held by the user is waited for
NAMES = ("Shift", "Lock", "Control", "Alt", "Mod2", "Mod3", "Super", "Mod5")


class Modifiers:
    """The modifier state of a display."""

    def __init__(self, connection: Display, keymap: KeyMap, cleanup: CleanupProcess) -> None:
        """Use a connection; a Caps Lock that is switched off is registered with the clean-up process."""
        self._display = connection
        self._keymap = keymap
        self._cleanup = cleanup

    def wait_for_release(self) -> None:
        """Wait until the user holds no modifier, which would turn typed text into shortcuts.

        Raises:
            SurfaceError: if one stays pressed.
        """
        from Xlib import X

        ignored = X.LockMask | self._keymap.modifier_mask(NUM_LOCK)
        deadline = time.monotonic() + RELEASE_S
        while (state := self._keymap.state()) & 0xFF & ~ignored:
            if time.monotonic() > deadline:
                pressed = [name for bit, name in enumerate(NAMES) if state & ~ignored & 1 << bit]
                raise SurfaceError(
                    f"{' and '.join(pressed)} is held down on the keyboard and would change what is typed; release it"
                )
            time.sleep(0.02)

    @contextlib.contextmanager
    def caps_lock_off(self) -> Iterator[None]:
        """Switch Caps Lock off for the duration of the block.

        Raises:
            SurfaceError: if it cannot be switched off.
        """
        from Xlib import X

        if not self._keymap.state() & X.LockMask:
            yield
            return
        keycode = self._keymap.caps_lock_keycode()
        if not keycode:
            raise SurfaceError("Caps Lock is on and this keyboard has no key for it; switch it off")
        self._cleanup.register(lock=keycode)
        tap(self._display, keycode)
        self._display.sync()
        try:
            if self._keymap.state() & X.LockMask:
                raise SurfaceError("Caps Lock is on and stays on; switch it off")
            yield
        finally:
            if not self._keymap.state() & X.LockMask:
                tap(self._display, keycode)
                self._display.sync()
            self._cleanup.register(lock=0)
