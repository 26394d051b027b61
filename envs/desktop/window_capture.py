"""Capture one window of a display without the programs that cover it."""

from __future__ import annotations

import numpy as np

from actions import SurfaceError
from envs.desktop.geometry import Box, Viewport
from envs.desktop.screen_capture import Pixels, ScreenCapture
from envs.desktop.x11.windows import Window, Windows

GRAY = 128  # shown in place of other programs


def capture_window(
    windows: Windows, screen_capture: ScreenCapture, window: Window, viewport: Viewport
) -> tuple[Pixels, str]:
    """Return the window alone, parts that are covered or off the screen gray, and a notice if it is covered.

    Raises:
        SurfaceError: if the window lies outside of the screen.
    """
    box = viewport.box
    visible = box.intersection(windows.screen())
    if not visible.width or not visible.height:
        raise SurfaceError(f"the window '{window.title}' lies outside of the screen; move it back")
    covers = windows.covers(window.id, visible)
    if covers and windows.bring_to_front(window.id):
        covers = windows.covers(window.id, visible)
    pixels = np.full((box.height, box.width, 3), GRAY, np.uint8)
    _crop(pixels, box, visible)[:] = screen_capture.capture(visible, visible.width, visible.height)
    for cover in covers:
        _crop(pixels, box, cover)[:] = GRAY
    notice = "another program covers a part of the window, which is shown gray" if covers else ""
    return screen_capture.resize(pixels, viewport.width, viewport.height), notice


def _crop(pixels: Pixels, box: Box, part: Box) -> Pixels:
    """Return the view of an image of `box` that shows `part`."""
    left, top = part.left - box.left, part.top - box.top
    return pixels[top : top + part.height, left : left + part.width]
