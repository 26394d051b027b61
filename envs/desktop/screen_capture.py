"""Screenshots of a desktop with mss."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actions import SurfaceError, UsageError
from envs.desktop.geometry import Box, Monitor

Pixels = NDArray[np.uint8]
BLACK = (
    "the screenshot is all black: the screen is locked or asleep, or this program may not record it "
    "(macOS: System Settings, Privacy & Security, Screen Recording); wake the screen and start the run again"
)
_environ_lock = threading.Lock()


class ScreenCapture:
    """A connection to a display that takes screenshots."""

    def __init__(self, display: str | None = None, authority: Path | None = None) -> None:
        """Connect and measure the monitors.

        Args:
            display: name of the X11 display; the default one if None.
            authority: X11 cookie file; the user's own if None.

        Raises:
            UsageError: if the screen cannot be captured.
        """
        import cv2
        from mss import MSS
        from mss.exception import ScreenShotError

        self._cv2 = cv2
        self._errors = (ScreenShotError, AssertionError, OSError)  # mss raises the second when the X server ends
        try:
            with _use_authority(authority):
                self._mss = MSS(display=display) if display else MSS()
                self._mss.monitors  # noqa: B018 - connects and measures
        except (ScreenShotError, OSError) as error:
            raise UsageError(f"the screen cannot be captured: {error}") from None

    def monitors(self) -> list[Monitor]:
        """Return the monitors found at the start, with scales measured from a screenshot of each."""
        monitors = []
        primary = self._mss.primary_monitor
        for number, info in enumerate(self._mss.monitors[1:], 1):
            box = Box(info["left"], info["top"], info["width"], info["height"])
            pixels = self._grab(box)
            monitors.append(
                Monitor(
                    number=number,
                    box=box,
                    primary=info == primary,
                    scale=_pointer_scale(box),
                    picture_scale=pixels.shape[1] / box.width,
                    name=str(info.get("output") or info.get("name") or ""),
                )
            )
        return monitors

    def capture(self, box: Box, width: int, height: int) -> Pixels:
        """Return a screenshot of a box as RGB pixels [height, width, 3], resized if necessary.

        Raises:
            SurfaceError: if the screenshot fails.
        """
        try:
            pixels = self._grab(box)
        except self._errors as error:
            raise SurfaceError(
                f"no screenshot of {box.width}x{box.height} at ({box.left}, {box.top}): {error}; "
                "if a monitor was unplugged or changed its size, start the run again"
            ) from None
        return self.resize(pixels, width, height)

    def resize(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """Return the image as [height, width, 3] by area averaging; the array is read-only."""
        if pixels.shape[:2] != (height, width):
            resized = self._cv2.resize(pixels, (width, height), interpolation=self._cv2.INTER_AREA)
            pixels = np.asarray(resized, np.uint8)
        pixels.flags.writeable = False
        return pixels

    def close(self) -> None:
        """Close the connection, even if the X server is gone."""
        with contextlib.suppress(*self._errors):
            self._mss.close()

    def _grab(self, box: Box) -> Pixels:
        shot = self._mss.grab({"left": box.left, "top": box.top, "width": box.width, "height": box.height})
        # 0.2 ms at 1080p, where numpy takes 8
        return np.asarray(self._cv2.cvtColor(np.asarray(shot), self._cv2.COLOR_BGRA2RGB), np.uint8)


def is_black(pixels: Pixels) -> bool:
    """Return whether all pixels are black."""
    return not pixels[::16, ::16].any() and not pixels.any()


def _pointer_scale(box: Box) -> float:
    """Return the pointer points per logical pixel of the monitor at a box; 1 except on Windows.

    Source: Microsoft's GetDpiForMonitor, MDT_EFFECTIVE_DPI; 96 is one to one.
    """
    if sys.platform != "win32":
        return 1.0
    import ctypes
    from ctypes import wintypes

    point = wintypes.POINT(box.left + box.width // 2, box.top + box.height // 2)
    x, y = ctypes.c_uint(), ctypes.c_uint()
    monitor = ctypes.windll.user32.MonitorFromPoint(point, 2)
    if ctypes.windll.shcore.GetDpiForMonitor(monitor, 0, ctypes.byref(x), ctypes.byref(y)):
        raise UsageError(f"Windows reports no scale for the monitor at ({box.left}, {box.top})")
    return x.value / 96


@contextlib.contextmanager
def _use_authority(path: Path | None) -> Iterator[None]:
    """Set XAUTHORITY for the block: libxcb, which mss uses, reads the cookie file from nowhere else."""
    if path is None:
        yield
        return
    with _environ_lock:
        previous = os.environ.get("XAUTHORITY")
        os.environ["XAUTHORITY"] = str(path)
        try:
            yield
        finally:
            if previous is None:
                del os.environ["XAUTHORITY"]
            else:
                os.environ["XAUTHORITY"] = previous
