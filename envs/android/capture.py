"""What a phone shows: the state of its display, and one screenshot."""

from __future__ import annotations

from actions import SurfaceError
from envs.android import commands, display
from envs.android.adb import Phone
from envs.android.display import DisplayState, ScreenshotError


def read_display(phone: Phone) -> DisplayState:
    """Return the state of the display.

    Raises:
        SurfaceError: if the phone does not tell its rotation.
    """
    dump = phone.query(commands.DISPLAY).text
    state = display.parse_display_state(dump)
    state = state or display.parse_display_state(dump, phone.query(commands.SIZE).text)
    if state is None:
        raise SurfaceError("the phone's rotation is unknown: `dumpsys display` lists no viewport")
    return state


def take_screenshot(phone: Phone, physical_display: str) -> display.Pixels:
    """Return the pixels of one screenshot.

    Args:
        phone: The phone.
        physical_display: Id of the display; "" for the only one.

    Raises:
        ScreenshotError: if it fails.
    """
    result = phone.query(commands.screencap(physical_display))
    if physical_display and (result.code or not display.has_png(result.out)):
        result = phone.query(commands.SCREENCAP)  # this phone takes no such id
    if result.code:
        raise ScreenshotError(f"screencap failed: {result.message}")
    return display.decode_png(result.out)
