"""Key events by XTEST."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from Xlib.display import Display


def press(connection: Display, keycode: int) -> None:
    """Press a key; the event is sent at the next sync."""
    from Xlib import X
    from Xlib.ext import xtest

    xtest.fake_input(connection, X.KeyPress, keycode)


def release(connection: Display, keycode: int) -> None:
    """Release a key; the event is sent at the next sync."""
    from Xlib import X
    from Xlib.ext import xtest

    xtest.fake_input(connection, X.KeyRelease, keycode)


def tap(connection: Display, keycode: int, shift: int = 0) -> None:
    """Press and release a key, with the shift key of keycode `shift` held unless it is 0.

    The events are sent in one write at the next sync, so no key stays pressed if this process ends.
    """
    if shift:
        press(connection, shift)
    press(connection, keycode)
    release(connection, keycode)
    if shift:
        release(connection, shift)
