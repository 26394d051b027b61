"""Pictures of a desktop, by mss. Knows boxes in the pointer's points and RGB pixels; knows no Screen and no window."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from actions import SurfaceError, UsageError
from envs.desktop.geometry import Box, Monitor

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_lock = threading.Lock()


class ScreenCapture:
    """display: of X11; authority: its cookie file, if not the person's own. UsageError when there is no screen."""

    def __init__(self, display: str | None = None, authority: Path | None = None) -> None:
        import cv2
        from mss import MSS
        from mss.exception import ScreenShotError

        self._cv2 = cv2
        self._failures = (ScreenShotError, AssertionError, OSError)  # the second is what mss meets when the server ends
        try:
            with _authority(authority):
                self._mss = MSS(display=display) if display else MSS()
                self._mss.monitors  # noqa: B018 - connects, and measures
        except (ScreenShotError, OSError) as error:
            raise UsageError(f"the screen cannot be captured: {error}") from None

    def monitors(self) -> list[Monitor]:
        """Those of the start, each measured: nothing is derived from a setting."""
        found = []
        primary = self._mss.primary_monitor
        for number, each in enumerate(self._mss.monitors[1:], 1):
            box = Box(each["left"], each["top"], each["width"], each["height"])
            picture = self._grab(box)
            found.append(
                Monitor(
                    number=number,
                    box=box,
                    primary=each == primary,
                    scale=_scale(box),
                    picture_scale=picture.shape[1] / box.width,
                    name=str(each.get("output") or each.get("name") or ""),
                )
            )
        return found

    def picture(self, box: Box, width: int, height: int) -> Pixels:
        """[height, width, 3] RGB of a box, scaled when the display's pixels are others. SurfaceError when it fails."""
        try:
            pixels = self._grab(box)
        except self._failures as error:
            raise SurfaceError(
                f"the screen gave no picture of {box.width}x{box.height} at ({box.left}, {box.top}): {error}; "
                "if a monitor was unplugged or changed its size, start again"
            ) from None
        return self.sized(pixels, width, height)

    def sized(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """The same picture in [height, width, 3], each pixel the mean of what it stands for; read-only."""
        if pixels.shape[:2] != (height, width):
            small = self._cv2.resize(pixels, (width, height), interpolation=self._cv2.INTER_AREA)
            pixels = np.asarray(small, np.uint8)
        pixels.flags.writeable = False
        return pixels

    def close(self) -> None:
        with contextlib.suppress(*self._failures):  # the server is gone already
            self._mss.close()

    def _grab(self, box: Box) -> Pixels:
        shot = self._mss.grab({"left": box.left, "top": box.top, "width": box.width, "height": box.height})
        # 0.2 ms at 1080p, where numpy takes 8
        return np.asarray(self._cv2.cvtColor(np.asarray(shot), self._cv2.COLOR_BGRA2RGB), np.uint8)


def _scale(box: Box) -> float:
    """The pointer's points per logical pixel of the monitor at a box. Only Windows has others than one.

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
        raise UsageError(f"Windows does not say the scale of the monitor at ({box.left}, {box.top})")
    return x.value / 96


@contextlib.contextmanager
def _authority(path: Path | None) -> Iterator[None]:
    """mss connects by libxcb, which takes the cookie file from the environment and from nowhere else."""
    if path is None:
        yield
        return
    with _lock:
        before = os.environ.get("XAUTHORITY")
        os.environ["XAUTHORITY"] = str(path)
        try:
            yield
        finally:
            if before is None:
                del os.environ["XAUTHORITY"]
            else:
                os.environ["XAUTHORITY"] = before
