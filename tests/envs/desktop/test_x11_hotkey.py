"""The hotkey that stops a run, pressed on a bare X server."""

from __future__ import annotations

import threading

import pytest
from helpers.desktop_programs import connect_to

from actions import UsageError
from envs.desktop.x11.hotkey import Hotkey


def press(display: str, *names: str) -> None:
    """Press keys together, as a person does, and release them."""
    from Xlib import XK, X
    from Xlib.ext import xtest

    connection = connect_to(display)
    codes = [connection.keysym_to_keycode(XK.string_to_keysym(name)) for name in names]
    for code in codes:
        xtest.fake_input(connection, X.KeyPress, code)
    for code in reversed(codes):
        xtest.fake_input(connection, X.KeyRelease, code)
    connection.sync()
    connection.close()


def test_keys_are_recognized_also_with_num_lock(display: str) -> None:
    for locks in ((), ("Num_Lock",)):
        pressed = threading.Event()
        with Hotkey(display, pressed.set):
            press(display, *locks)
            press(display, "Control_L", "Alt_L", "Escape")
            assert pressed.wait(30)


def test_other_keys_are_left_alone(display: str) -> None:
    presses: list[str] = []
    last = threading.Event()

    def on_press() -> None:
        presses.append("hotkey")
        last.set()

    with Hotkey(display, on_press):
        press(display, "Escape")
        press(display, "Control_L", "Escape")
        press(display, "Control_L", "Alt_L", "Escape")
        assert last.wait(30)
    assert presses == ["hotkey"]


def test_keys_of_other_program_are_usage_error(display: str) -> None:
    with Hotkey(display, lambda: None), pytest.raises(UsageError, match="another program"):
        Hotkey(display, lambda: None)
    with Hotkey(display, lambda: None):  # they are released at the end
        pass


def test_missing_display_is_usage_error() -> None:
    with pytest.raises(UsageError):
        Hotkey(":9876", lambda: None)
