"""Pointer and keyboard of an X server by XTEST; the pointer lands on the exact root pixel, without acceleration."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import NativePoint
from envs.desktop.x11.keyboard import Keyboard

if TYPE_CHECKING:
    from Xlib.display import Display

BUTTONS = {"left": 1, "middle": 2, "right": 3}
UP, DOWN, LEFT, RIGHT = 4, 5, 6, 7  # wheel turns are buttons
DOUBLE_CLICK_S, DOUBLE_CLICK_PX = 0.5, 8  # most programs take two closer clicks for a double click


class X11Input:
    """InputController of X11. Not thread-safe; raises Xlib's errors when the server fails."""

    def __init__(self, connection: Display, cleanup: CleanupProcess) -> None:
        """Use a connection; pressed keys and buttons are registered with the clean-up process."""
        self._display = connection
        self._root = connection.screen().root
        self._cleanup = cleanup
        self._keyboard = Keyboard(connection, cleanup)
        self._pressed_buttons: list[int] = []
        self._last_click: tuple[float, NativePoint] = (0.0, (0, 0))  # time and position
        self._is_in_click = False

    def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        from Xlib import X
        from Xlib.ext import xtest

        xtest.fake_input(self._display, X.MotionNotify, x=x, y=y)
        self._display.sync()
        self._is_in_click = False

    def pointer(self) -> NativePoint:
        """Return the pointer's position."""
        position = self._root.query_pointer()
        return int(position.root_x), int(position.root_y)

    def button(self, name: str, down: bool) -> None:
        """Press or release a logical button; a left-handed mouse has left and right swapped."""
        if down and not self._is_in_click:
            self._separate_from_last_click()
        self._is_in_click = True  # until the pointer moves, so that double clicks of one action are not delayed
        self._fake_button(self._physical_button(BUTTONS[name]), down)

    def wheel(self, down: int, right: int) -> None:
        """Turn the wheel by notches."""
        for notches, positive, negative in ((down, DOWN, UP), (right, RIGHT, LEFT)):
            button = self._physical_button(positive if notches > 0 else negative)
            for _ in range(abs(notches)):
                self._fake_button(button, True)
                self._fake_button(button, False)

    def check_keys(self, keys: Sequence[str]) -> None:
        """Raise InvalidActionError for a key that cannot be pressed."""
        self._keyboard.check_keys(keys)

    def chord(self, keys: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """Hold keys for the duration of the block."""
        return self._keyboard.chord(keys)

    def type(self, text: str) -> None:
        """Type a text exactly."""
        self._keyboard.type(text)

    def program_delay_s(self, limit_s: float) -> float:
        """Return how long the focused program takes to process the input so far; 0.0 if it does not answer pings."""
        return self._keyboard.program_delay_s(limit_s)

    def is_dragging(self) -> bool:
        """Return whether a program owns the selection of drag and drop. Source: freedesktop.org's XDND."""
        return bool(self._display.get_selection_owner(self._display.intern_atom("XdndSelection")))

    @contextlib.contextmanager
    def keys_only_to(self, window_id: int) -> Iterator[None]:
        """Send keys and text to no other window during the block; 0 for the window that has the focus."""
        self._keyboard.target = window_id
        try:
            yield
        finally:
            self._keyboard.target = 0

    def release_all(self) -> None:
        """Release the buttons and keys that an interrupted action left pressed."""
        for button in reversed(self._pressed_buttons):
            self._fake_button(button, False)
        self._keyboard.release_all()

    def _fake_button(self, button: int, down: bool) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        if down:
            self._pressed_buttons.append(button)
            self._cleanup.register(buttons=self._pressed_buttons)
        xtest.fake_input(self._display, X.ButtonPress if down else X.ButtonRelease, button)
        self._display.sync()
        if not down:
            self._pressed_buttons = [pressed for pressed in self._pressed_buttons if pressed != button]
            self._cleanup.register(buttons=self._pressed_buttons)

    def _physical_button(self, logical: int) -> int:
        """Return the physical button that is mapped to a logical one: XTEST presses physical buttons."""
        mapping = list(self._display.get_pointer_mapping())
        return mapping.index(logical) + 1 if logical in mapping else logical

    def _separate_from_last_click(self) -> None:
        """Wait until a click cannot become the second half of a double click with the one before."""
        x, y = self.pointer()
        clicked_at, (last_x, last_y) = self._last_click
        if abs(x - last_x) <= DOUBLE_CLICK_PX and abs(y - last_y) <= DOUBLE_CLICK_PX:
            time.sleep(max(clicked_at + DOUBLE_CLICK_S - time.monotonic(), 0.0))
        self._last_click = time.monotonic(), (x, y)
