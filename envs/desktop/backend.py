"""One opened display: its camera, hands and, on X11, its windows. Knows platforms; knows no Screen and no action."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.geometry import Monitor
from envs.desktop.input import InputController
from envs.desktop.screen_capture import ScreenCapture


class DesktopBackend:
    """camera, hands, and windows where windows can be told apart (None where not)."""

    camera: ScreenCapture
    hands: InputController
    windows: Any = None

    def failed(self, error: BaseException) -> bool:
        """Whether an error says that the machine failed, and not that this program has a mistake."""
        return isinstance(error, OSError)

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """For what is to be done at the end, and cannot be where the machine is gone already."""
        try:
            yield
        except Exception as error:
            if not self.failed(error):
                raise

    def monitors(self) -> list[Monitor]:
        return self.camera.monitors()

    def let_go(self) -> None:
        """Release keys and buttons that a cut action left held."""

    def close(self) -> None:
        self.camera.close()


class X11Backend(DesktopBackend):
    """display: by name. keeper: of a virtual desktop, which has its own; else one is started."""

    def __init__(
        self,
        display: str,
        environ: Mapping[str, str] = os.environ,
        authority: Path | None = None,
        keeper: CleanupProcess | None = None,
    ) -> None:
        from mss.exception import ScreenShotError
        from Xlib import error

        from envs.desktop.x11.connection import connect
        from envs.desktop.x11.input import X11Input
        from envs.desktop.x11.windows import Windows

        self._failures = (OSError, error.ConnectionClosedError, error.DisplayError, error.XError, ScreenShotError)
        self._connection = connect(display, environ)
        self._own_keeper = None if keeper else CleanupProcess()
        try:
            guard = keeper or self._own_keeper
            assert guard is not None
            guard.register(display=display)
            self._x_hands = X11Input(self._connection, guard)
            self.hands = self._x_hands
            self.windows = Windows(self._connection)
            self.camera = ScreenCapture(display, authority)
        except BaseException:
            self._connection.close()
            if self._own_keeper:
                self._own_keeper.close()
            raise

    def failed(self, error: BaseException) -> bool:
        """Also python3-xlib's own slip: on a broken pipe it takes err[1], as in Python 2."""
        return isinstance(error, self._failures) or (isinstance(error, TypeError) and _raised_in(error, "Xlib"))

    def let_go(self) -> None:
        self._x_hands.let_go()

    def close(self) -> None:
        try:
            for close in (self.camera.close, self._connection.close):
                with self.ending():
                    close()
        finally:
            if self._own_keeper:
                self._own_keeper.close()


class PyAutoGuiBackend(DesktopBackend):
    """macOS and Windows: pyautogui's pointer and keys, and the system's own way to type."""

    def __init__(self) -> None:
        from envs.desktop.pyautogui_input import PyAutoGuiInput

        self.camera = ScreenCapture()
        self._portable_hands = PyAutoGuiInput()
        self.hands = self._portable_hands

    def let_go(self) -> None:
        self._portable_hands.let_go()


def open_machine(display: str | None) -> DesktopBackend:
    """The person's own display. UsageError, with what works instead, where there is none."""
    if sys.platform in ("darwin", "win32"):
        if display:
            raise UsageError("a display by name is for X11; leave it out")
        return PyAutoGuiBackend()
    if not sys.platform.startswith("linux") and "bsd" not in sys.platform:
        raise UsageError(f"no desktop of the platform {sys.platform} is known; use --on browser")
    from envs.desktop.x11.connection import require_display

    return X11Backend(display or require_display())


def _raised_in(error: BaseException, package: str) -> bool:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and str(at.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package


def windows_of(machine: DesktopBackend) -> Any:
    """UsageError where windows cannot be told apart."""
    if machine.windows is None:
        raise UsageError("one window by its title can be chosen on X11 only; take a whole monitor here")
    return machine.windows
