"""Waiting until the focused program has processed its input, by the _NET_WM_PING protocol.

A program answers a ping after all events before it, so a slow program gets the time it needs and a fast one costs none.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from actions import SurfaceError
from envs.desktop.x11.focus import focused_window

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as XWindow

    from envs.desktop.x11.keymap import KeyMap

PING_S = 10.0  # a program that does not answer within this time hangs
NO_PING_WAIT_S = 0.5  # for a program that does not support pings, before the map changes again
NO_PING_STROKE_S = 0.01  # for such a program, per stroke
NO_PING_ENTER_S = 0.05  # for such a program to close its window on Enter
REMAP_WAIT_S = 0.2  # for such a program to see a changed map: older ones merge several changes wrongly


class InputSync:
    """Focus and pings of the programs on a display."""

    def __init__(self, connection: Display, keymap: KeyMap) -> None:
        """Use a connection; changes of the keyboard map seen while waiting mark `keymap` as stale."""
        self._display = connection
        self._keymap = keymap
        self._root = connection.screen().root
        self._ping = connection.intern_atom("_NET_WM_PING")
        self._protocols = connection.intern_atom("WM_PROTOCOLS")
        self._type = connection.intern_atom("_NET_WM_WINDOW_TYPE")
        self._dialog = connection.intern_atom("_NET_WM_WINDOW_TYPE_DIALOG")
        self._ping_count = 0

    def focused_window(self) -> int:
        """Return the id of the program window that keys reach; 0 for none."""
        return focused_window(self._display)

    def is_dialog(self, window_id: int) -> bool:
        """Return whether a window is a dialog, or is transient for another one."""
        from Xlib import X
        from Xlib.error import XError

        window = self._display.create_resource_object("window", window_id)
        try:
            types = window.get_full_property(self._type, X.AnyPropertyType)
            return bool(window.get_wm_transient_for()) or (types is not None and self._dialog in types.value)
        except XError:  # there is no window, or it was closed meanwhile
            return False

    def find_pingable(self) -> XWindow | None:
        """Return the window around the focus whose program answers pings; None if it does not support them."""
        from Xlib import X
        from Xlib.error import XError

        window = self._display.get_input_focus().focus
        try:
            while window not in (X.NONE, X.PointerRoot) and window.id != self._root.id:
                protocols = window.get_full_property(self._protocols, X.AnyPropertyType)
                if protocols is not None and self._ping in protocols.value:
                    return window
                window = window.query_tree().parent
        except XError:  # it was closed meanwhile
            pass
        return None

    def delay_s(self, limit_s: float) -> float:
        """Return how long the focused program takes to answer a ping, at most `limit_s`; 0.0 without pings."""
        start, window = time.monotonic(), self.find_pingable()
        if window is None:
            return 0.0
        try:
            self.wait_until_processed(window, 0, timeout_s=limit_s)
        except SurfaceError:  # a program in a drag may answer late
            return limit_s
        return time.monotonic() - start

    def wait_until_processed(
        self, window: XWindow | None, strokes: int, after_enter: bool = False, timeout_s: float = PING_S
    ) -> None:
        """Wait until a program has processed its input or its window is gone.

        Args:
            window: from find_pingable() before the strokes; for None, a time per stroke is waited instead.
            strokes: number of keys since the last wait.
            after_enter: whether the last key was Enter, on which a window may close.
            timeout_s: seconds after which a program that does not answer hangs.

        Raises:
            SurfaceError: if the program does not answer in time.
        """
        from Xlib import X
        from Xlib.error import CatchError, XError
        from Xlib.protocol import event

        self._display.sync()
        if window is None:
            time.sleep(NO_PING_STROKE_S * strokes + NO_PING_ENTER_S * after_enter)
            return
        self._ping_count = (self._ping_count + 1) % 2**31
        timestamp = (int(time.monotonic() * 1000) + self._ping_count) & 0x7FFFFFFF
        self._root.change_attributes(event_mask=X.SubstructureNotifyMask)
        try:
            message = event.ClientMessage(
                window=window, client_type=self._protocols, data=(32, [self._ping, timestamp, window.id, 0, 0])
            )
            on_error = CatchError()
            window.send_event(message, onerror=on_error)
            self._display.sync()
            deadline = time.monotonic() + timeout_s
            while not on_error.get_error():
                if self._receive_pong(timestamp):
                    return
                if time.monotonic() > deadline:
                    raise SurfaceError(
                        f"the focused program hangs: it did not process its input within {timeout_s:.0f} s"
                    )
                if not select.select([self._display.fileno()], [], [], 0.05)[0]:
                    window.get_attributes()  # raises if the window is gone
        except XError:  # it closed on the input, so nothing will answer
            pass
        finally:
            self._root.change_attributes(event_mask=0)
            self._display.sync()

    def wait_after_remap(self, window: XWindow | None) -> None:
        """Let a program without pings see the changed keyboard map before the first stroke."""
        if window is None:
            time.sleep(REMAP_WAIT_S)

    def wait_before_restore(self, window: XWindow | None) -> None:
        """Let a program without pings read all strokes before the keyboard map is restored."""
        if window is None:
            time.sleep(NO_PING_WAIT_S)

    def _receive_pong(self, timestamp: int) -> bool:
        from Xlib import X

        while self._display.pending_events():
            event = self._display.next_event()
            self._keymap.is_stale |= event.type == X.MappingNotify
            if (
                event.type & 0x7F == X.ClientMessage
                and event.client_type == self._protocols
                and list(event.data[1][:2]) == [self._ping, timestamp]
            ):
                return True
        return False
