"""Hands on one X server, by XTEST: the pointer lands on the exact pixel, unaccelerated. Knows root pixels."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import NativePoint
from envs.desktop.x11.keyboard import Keyboard

BUTTONS = {"left": 1, "middle": 2, "right": 3}
UP, DOWN, LEFT, RIGHT = 4, 5, 6, 7  # the wheel's turns are buttons
DOUBLE_S, DOUBLE_PX = 0.5, 8  # two clicks closer than this are one double click to most programs


class X11Input:
    """envs.desktop.hands.Hands. Not for two threads at a time; raises Xlib's errors when the server fails."""

    def __init__(self, connection: Any, keeper: CleanupProcess) -> None:
        self._x = connection
        self._root = connection.screen().root
        self._keeper = keeper
        self._keyboard = Keyboard(connection, keeper)
        self._held: list[int] = []
        self._click: tuple[float, NativePoint] = (0.0, (0, 0))  # the last one's time and place
        self._in_click = False

    def move(self, x: int, y: int) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        xtest.fake_input(self._x, X.MotionNotify, x=x, y=y)
        self._x.sync()
        self._in_click = False

    def pointer(self) -> NativePoint:
        at = self._root.query_pointer()
        return int(at.root_x), int(at.root_y)

    def button(self, name: str, down: bool) -> None:
        """Of the mouse as the person set it: a left-handed one has its left button where others have the right."""
        if down and not self._in_click:
            self._apart_from_the_last()
        self._in_click = True  # until the pointer moves: the further presses of one click belong to it
        self._button(self._number(BUTTONS[name]), down)

    def wheel(self, down: int, right: int) -> None:
        for count, more, less in ((down, DOWN, UP), (right, RIGHT, LEFT)):
            number = self._number(more if count > 0 else less)
            for _ in range(abs(count)):
                self._button(number, True)
                self._button(number, False)

    def check(self, keys: Sequence[str]) -> None:
        self._keyboard.check(keys)

    def chord(self, keys: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        return self._keyboard.chord(keys)

    def type(self, text: str) -> None:
        self._keyboard.type(text)

    def let_go(self) -> None:
        """Release what an action that was cut left held."""
        for number in reversed(self._held):
            self._button(number, False)
        self._keyboard.let_go()

    def _button(self, number: int, down: bool) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        if down:
            self._held.append(number)
            self._keeper.register(buttons=self._held)
        xtest.fake_input(self._x, X.ButtonPress if down else X.ButtonRelease, number)
        self._x.sync()
        if not down:
            self._held = [held for held in self._held if held != number]
            self._keeper.register(buttons=self._held)

    def _number(self, logical: int) -> int:
        """The physical button that means this one: XTEST presses physical ones."""
        mapping = list(self._x.get_pointer_mapping())
        return mapping.index(logical) + 1 if logical in mapping else logical

    def _apart_from_the_last(self) -> None:
        """A click by itself at the place of the one before must not become the second half of a double click."""
        x, y = self.pointer()
        when, (last_x, last_y) = self._click
        if abs(x - last_x) <= DOUBLE_PX and abs(y - last_y) <= DOUBLE_PX:
            time.sleep(max(when + DOUBLE_S - time.monotonic(), 0.0))
        self._click = time.monotonic(), (x, y)
