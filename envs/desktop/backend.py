"""Platform backends of the desktop surface: screen capture, input and, on X11, windows of one display."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from actions import UsageError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.geometry import Monitor
from envs.desktop.input import InputController
from envs.desktop.screen_capture import ScreenCapture

if TYPE_CHECKING:
    from envs.desktop.x11.facts import WindowFacts
    from envs.desktop.x11.windows import Windows


class DesktopBackend:
    """An opened display. `windows` is None on platforms that do not identify windows."""

    screen_capture: ScreenCapture
    input: InputController
    windows: Windows | None = None
    window_facts: WindowFacts | None = None

    def is_device_error(self, error: BaseException) -> bool:
        """Return whether an exception means that the display failed, as opposed to a bug in this program."""
        return isinstance(error, OSError)

    @contextlib.contextmanager
    def ignore_device_errors(self) -> Iterator[None]:
        """Suppress device errors in the block, for clean-up on a display that may be gone."""
        try:
            yield
        except Exception as error:
            if not self.is_device_error(error):
                raise

    def keys_only_to(self, window_id: int) -> contextlib.AbstractContextManager[None]:
        """Send keys and text to no other window during the block, where windows can be identified; 0 for any."""
        return contextlib.nullcontext()

    def monitors(self) -> list[Monitor]:
        """Return the monitors found at the start."""
        return self.screen_capture.monitors()

    def release_all(self) -> None:
        """Release the keys and buttons that an interrupted action left pressed."""
        self.input.release_all()

    def close(self) -> None:
        """Close the display."""
        self.screen_capture.close()


class X11Backend(DesktopBackend):
    """An X11 display."""

    def __init__(
        self,
        display: str,
        environ: Mapping[str, str] = os.environ,
        authority: Path | None = None,
        cleanup: CleanupProcess | None = None,
    ) -> None:
        """Connect to a display.

        Args:
            display: name of the display.
            environ: where XAUTHORITY and HOME are looked up.
            authority: cookie file; the user's own if None.
            cleanup: the clean-up process of a virtual desktop; a new one is started if None.

        Raises:
            UsageError: if the display cannot be used.
        """
        from mss.exception import ScreenShotError
        from Xlib import error

        from envs.desktop.x11.connection import connect
        from envs.desktop.x11.facts import WindowFacts
        from envs.desktop.x11.input import X11Input
        from envs.desktop.x11.windows import Windows

        self._errors = (OSError, error.ConnectionClosedError, error.DisplayError, error.XError, ScreenShotError)
        self._connection = connect(display, environ)
        self._own_cleanup = None if cleanup else CleanupProcess()
        try:
            process = cleanup or self._own_cleanup
            assert process is not None
            process.register(display=display)
            self.input = self._x11_input = X11Input(self._connection, process)
            self.windows = Windows(self._connection)
            self.window_facts = WindowFacts(self._connection, self.windows.title)
            self.screen_capture = ScreenCapture(display, authority)
        except BaseException:
            self._connection.close()
            if self._own_cleanup:
                self._own_cleanup.close()
            raise

    def is_device_error(self, error: BaseException) -> bool:
        """Return whether the display failed.

        This includes a TypeError from inside python3-xlib, which indexes the error of a broken pipe as in Python 2.
        """
        return isinstance(error, self._errors) or (isinstance(error, TypeError) and _is_raised_in(error, "Xlib"))

    def keys_only_to(self, window_id: int) -> contextlib.AbstractContextManager[None]:
        """Send keys and text to no other window during the block; 0 for any."""
        return self._x11_input.keys_only_to(window_id)

    def close(self) -> None:
        """Close the display; let the clean-up process of this backend finish."""
        try:
            for close in (self.screen_capture.close, self._connection.close):
                with self.ignore_device_errors():
                    close()
        finally:
            if self._own_cleanup:
                self._own_cleanup.close()


class PyAutoGuiBackend(DesktopBackend):
    """The desktop of macOS or Windows: pyautogui's pointer and keys, text through the system's own API."""

    def __init__(self) -> None:
        from envs.desktop.pyautogui_input import PyAutoGuiInput

        self.screen_capture = ScreenCapture()
        self.input = PyAutoGuiInput()


def open_backend(display: str | None) -> DesktopBackend:
    """Open the user's own display.

    Args:
        display: name of an X11 display; DISPLAY if None.

    Raises:
        UsageError: if there is no usable display; the message names an alternative.
    """
    if sys.platform in ("darwin", "win32"):
        if display:
            raise UsageError("a display name works on X11 only; leave it out")
        return PyAutoGuiBackend()
    if not sys.platform.startswith("linux") and "bsd" not in sys.platform:
        raise UsageError(f"the desktop of platform {sys.platform} is not supported; use --surface browser")
    from envs.desktop.x11.connection import require_display

    return X11Backend(display or require_display())


def require_windows(backend: DesktopBackend) -> Windows:
    """Return the backend's windows.

    Raises:
        UsageError: if the platform does not identify windows.
    """
    if backend.windows is None:
        raise UsageError("--window works on X11 only; use a whole monitor here")
    return backend.windows


def _is_raised_in(error: BaseException, package: str) -> bool:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package
