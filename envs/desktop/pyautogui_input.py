"""Input on macOS and Windows: pyautogui's pointer and keys without its pauses, text through the system's API.

pyautogui's own typing is not used: it silently drops every non-ASCII character. Not tested on real machines.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from actions import InvalidActionError, SurfaceError, UsageError
from actions.keys import KEYS, to_platform_key
from envs.desktop.input import NativePoint

KEY_DOWN_PAUSE_S = 0.05  # macOS treats a held key as released when the next event follows at once
MAC_LINES = 3  # lines of one wheel notch
WINDOWS_NOTCH = 120  # WHEEL_DELTA

TypeFn = Callable[[str], None]


class PyAutoGui(Protocol):
    """The part of the pyautogui module that is used here."""

    PAUSE: float
    MINIMUM_DURATION: float
    MINIMUM_SLEEP: float
    FAILSAFE_POINTS: list[tuple[int, int]]
    FailSafeException: type[Exception]

    def moveTo(self, x: int, y: int, duration: float = 0) -> None:
        """Move the pointer."""
        ...

    def dragTo(
        self,
        x: int,
        y: int,
        duration: float = 0,
        button: str = "left",
        mouseDownUp: bool = True,
    ) -> None:
        """Move the pointer with a button pressed."""
        ...

    def position(self) -> tuple[int, int]:
        """Return the pointer's position."""
        ...

    def mouseDown(self, *, button: str) -> None:
        """Press a button."""
        ...

    def mouseUp(self, *, button: str) -> None:
        """Release a button."""
        ...

    def scroll(self, clicks: int) -> None:
        """Scroll up by the system's units."""
        ...

    def hscroll(self, clicks: int) -> None:
        """Scroll left by the system's units."""
        ...

    def isValidKey(self, key: str) -> bool:
        """Return whether the keyboard has a key."""
        ...

    def keyDown(self, key: str) -> None:
        """Press a key."""
        ...

    def keyUp(self, key: str) -> None:
        """Release a key."""
        ...


class PyAutoGuiInput:
    """InputController of macOS and Windows."""

    def __init__(
        self, gui: PyAutoGui | None = None, type_text: TypeFn | None = None, platform: str = sys.platform
    ) -> None:
        """Prepare pyautogui; `gui`, `type_text` and `platform` replace the real ones in tests."""
        self._gui = _load_pyautogui() if gui is None else gui
        self._gui.PAUSE = 0
        self._gui.MINIMUM_DURATION = 0
        self._gui.MINIMUM_SLEEP = 0
        self._platform = platform
        self._type_text = type_text or _load_type_text(platform)
        self._pressed_keys: list[str] = []
        self._pressed_buttons: list[str] = []

    def move(self, x: int, y: int) -> None:
        """Move the pointer; pyautogui's fail-safe corners are refused."""
        if (x, y) in self._gui.FAILSAFE_POINTS:
            raise InvalidActionError(
                f"the corner at ({x}, {y}) is reserved for the user to stop the run; choose a point beside it"
            )
        with self._stop_on_failsafe():
            if self._platform == "darwin" and self._pressed_buttons:  # macOS has another event for moves with a button
                self._gui.dragTo(x, y, duration=0, button=self._pressed_buttons[-1], mouseDownUp=False)
            else:
                self._gui.moveTo(x, y, duration=0)

    def pointer(self) -> NativePoint:
        """Return the pointer's position."""
        x, y = self._gui.position()
        return int(x), int(y)

    def button(self, name: str, down: bool) -> None:
        """Press or release a button."""
        with self._stop_on_failsafe():
            if down:
                self._pressed_buttons.append(name)
                self._gui.mouseDown(button=name)
            else:
                self._gui.mouseUp(button=name)
                self._pressed_buttons = [pressed for pressed in self._pressed_buttons if pressed != name]

    def wheel(self, down: int, right: int) -> None:
        """Turn the wheel by notches.

        Source: pyautogui 0.9.54, whose units are the system's; its hscroll on Windows scrolls down instead.
        """
        with self._stop_on_failsafe():
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

    def check_keys(self, keys: Sequence[str]) -> None:
        """Raise InvalidActionError for keys that this keyboard lacks, or cannot press together."""
        for key in keys:
            if len(key) == 1 and key not in KEYS and not self._gui.isValidKey(key) and len(keys) > 1:
                raise InvalidActionError(f"'{key}' cannot be pressed together with other keys; press or type it alone")
            if key in KEYS and not self._gui.isValidKey(self._key_name(key)):
                raise InvalidActionError(f"key '{key}' does not exist on this desktop's keyboard")

    @contextlib.contextmanager
    def chord(self, keys: Sequence[str]) -> Iterator[None]:
        """Hold keys for the duration of the block; a single character without a key is typed."""
        if len(keys) == 1 and keys[0] not in KEYS and not self._gui.isValidKey(keys[0]):
            self._type_text(keys[0])
            yield
            return
        try:
            with self._stop_on_failsafe():
                for key in keys:
                    self._pressed_keys.append(self._key_name(key))
                    self._gui.keyDown(self._key_name(key))
                    if self._platform == "darwin":
                        time.sleep(KEY_DOWN_PAUSE_S)
            yield
        finally:
            self._release_keys()

    def type(self, text: str) -> None:
        """Type a text: newlines and tabs as keys, all else as characters."""
        line = ""
        for character in text:
            if character in "\n\t":
                if line:
                    self._type_text(line)
                line = ""
                with self.chord(("enter" if character == "\n" else "tab",)):
                    pass
            else:
                line += character
        if line:
            self._type_text(line)

    def program_delay_s(self, limit_s: float) -> float:
        """Return 0.0: these platforms do not report it."""
        return 0.0

    def is_dragging(self) -> bool:
        """Return False: these platforms do not report it."""
        return False

    def release_all(self) -> None:
        """Release the keys and buttons that an interrupted action left pressed."""
        self._release_keys()
        for name in reversed(self._pressed_buttons):
            self._gui.mouseUp(button=name)
        self._pressed_buttons = []

    def _release_keys(self) -> None:
        for key in reversed(self._pressed_keys):
            self._gui.keyUp(key)
        self._pressed_keys = []

    def _key_name(self, key: str) -> str:
        if key == "meta" and self._platform == "darwin":
            return "command"
        return to_platform_key(key, "pyautogui")

    @contextlib.contextmanager
    def _stop_on_failsafe(self) -> Iterator[None]:
        try:
            yield
        except self._gui.FailSafeException:
            raise SurfaceError("stopped: the pointer was moved into a corner of the screen") from None


def _load_pyautogui() -> PyAutoGui:
    try:
        import pyautogui
    except Exception as error:  # its platform modules raise various exceptions where there is no desktop
        raise UsageError(f"the desktop cannot be controlled: pyautogui does not start ({error})") from None
    gui: PyAutoGui = pyautogui
    return gui


def _load_type_text(platform: str) -> TypeFn:
    if platform == "win32":
        from envs.desktop.windows_input import type_text
    else:
        from envs.desktop.macos_input import type_text
    return type_text
