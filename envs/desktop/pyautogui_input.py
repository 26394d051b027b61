"""Hands on macOS and Windows: pyautogui's pointer and keys without its pauses, and the system's own typing.

pyautogui's own typing is not used: it drops every character beyond ASCII without a word. Untried on real machines.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from actions import InvalidActionError, SurfaceError, UsageError
from actions.keys import KEYS, to_platform_key
from envs.desktop.input import NativePoint

SETTLE_S = 0.05  # macOS takes a held key for released when the next event comes at once
MAC_LINES = 3  # of one notch of a wheel
WINDOWS_NOTCH = 120  # WHEEL_DELTA

Typist = Callable[[str], None]


class PyAutoGuiInput:
    """envs.desktop.hands.Hands. gui and typist: pyautogui and the platform's, or a test's."""

    def __init__(self, gui: Any = None, typist: Typist | None = None, platform: str = sys.platform) -> None:
        self._gui = _pyautogui() if gui is None else gui
        self._gui.PAUSE = 0
        self._gui.MINIMUM_DURATION = 0
        self._gui.MINIMUM_SLEEP = 0
        self._platform = platform
        self._type = typist or _typist(platform)
        self._held: list[str] = []
        self._buttons: list[str] = []

    def move(self, x: int, y: int) -> None:
        if (x, y) in self._gui.FAILSAFE_POINTS:
            raise InvalidActionError(
                f"the corner at ({x}, {y}) is the person's way to stop the run; choose a point beside it"
            )
        with self._stop():
            if self._platform == "darwin" and self._buttons:  # macOS knows a move with a button down as another event
                self._gui.dragTo(x, y, duration=0, button=self._buttons[-1], mouseDownUp=False)
            else:
                self._gui.moveTo(x, y, duration=0)

    def pointer(self) -> NativePoint:
        x, y = self._gui.position()
        return int(x), int(y)

    def button(self, name: str, down: bool) -> None:
        with self._stop():
            if down:
                self._buttons.append(name)
                self._gui.mouseDown(button=name)
            else:
                self._gui.mouseUp(button=name)
                self._buttons = [held for held in self._buttons if held != name]

    def wheel(self, down: int, right: int) -> None:
        """Source: pyautogui 0.9.54, whose units are the system's; its hscroll on Windows scrolls down instead."""
        with self._stop():
            if self._platform == "win32":
                if down:
                    self._gui.scroll(-down * WINDOWS_NOTCH)
                if right:
                    from envs.desktop.windows_input import send, wheel_right

                    send([wheel_right(right * WINDOWS_NOTCH)])
                return
            if down:
                self._gui.scroll(-down * MAC_LINES)
            if right:
                self._gui.hscroll(-right * MAC_LINES)

    def check(self, keys: Sequence[str]) -> None:
        for key in keys:
            if len(key) == 1 and key not in KEYS and not self._gui.isValidKey(key) and len(keys) > 1:
                raise InvalidActionError(
                    f"'{key}' cannot be pressed together with other keys; press it alone, or type it"
                )
            if key in KEYS and not self._gui.isValidKey(self._spell(key)):
                raise InvalidActionError(f"key '{key}' does not exist on this desktop's keyboard")

    @contextlib.contextmanager
    def chord(self, keys: Sequence[str]) -> Iterator[None]:
        if len(keys) == 1 and keys[0] not in KEYS and not self._gui.isValidKey(keys[0]):
            self._type(keys[0])
            yield
            return
        try:
            with self._stop():
                for key in keys:
                    self._held.append(self._spell(key))
                    self._gui.keyDown(self._spell(key))
                    if self._platform == "darwin":
                        time.sleep(SETTLE_S)
            yield
        finally:
            self._release()

    def type(self, text: str) -> None:
        """Lines and tabs as keys, all else as characters."""
        line = ""
        for character in text:
            if character in "\n\t":
                self._type(line) if line else None
                line = ""
                with self.chord(("enter" if character == "\n" else "tab",)):
                    pass
            else:
                line += character
        if line:
            self._type(line)

    def let_go(self) -> None:
        """Release what a cut action left held."""
        self._release()
        for name in reversed(self._buttons):
            self._gui.mouseUp(button=name)
        self._buttons = []

    def _release(self) -> None:
        for key in reversed(self._held):
            self._gui.keyUp(key)
        self._held = []

    def _spell(self, key: str) -> str:
        if key == "meta" and self._platform == "darwin":
            return "command"
        return to_platform_key(key, "pyautogui")

    @contextlib.contextmanager
    def _stop(self) -> Iterator[None]:
        try:
            yield
        except self._gui.FailSafeException:
            raise SurfaceError("stopped: the pointer was pushed into the corner of the screen") from None


def _pyautogui() -> Any:
    try:
        import pyautogui
    except Exception as error:  # whatever its platform modules raise when they find no desktop
        raise UsageError(f"the desktop cannot be acted on: pyautogui does not start ({error})") from None
    return pyautogui


def _typist(platform: str) -> Typist:
    if platform == "win32":
        from envs.desktop.windows_input import type_text
    else:
        from envs.desktop.macos_input import type_text
    return type_text
