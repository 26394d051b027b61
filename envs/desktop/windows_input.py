"""Typing and horizontal scrolling on Windows with SendInput.

Source: Microsoft's INPUT, KEYBDINPUT, MOUSEINPUT and SendInput; KEYEVENTF_UNICODE. Not tested on a real machine.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_long, c_size_t, c_uint16, c_uint32

from actions import SurfaceError

MOUSE, KEYBOARD = 0, 1
KEY_UP, UNICODE = 0x0002, 0x0004
HORIZONTAL_WHEEL = 0x1000
BATCH_SIZE = 64  # events of one call; input of the user cannot come between them


class KeyboardInput(ctypes.Structure):
    """KEYBDINPUT."""

    _fields_ = (("vk", c_uint16), ("scan", c_uint16), ("flags", c_uint32), ("time", c_uint32), ("extra", c_size_t))


class MouseInput(ctypes.Structure):
    """MOUSEINPUT."""

    _fields_ = (
        ("x", c_long if ctypes.sizeof(c_long) == 4 else ctypes.c_int32),
        ("y", c_long if ctypes.sizeof(c_long) == 4 else ctypes.c_int32),
        ("data", c_uint32),
        ("flags", c_uint32),
        ("time", c_uint32),
        ("extra", c_size_t),
    )


class _InputUnion(ctypes.Union):
    _fields_ = (("keyboard", KeyboardInput), ("mouse", MouseInput))


class Input(ctypes.Structure):
    """INPUT: one event; 40 bytes on 64-bit Windows."""

    _fields_ = (("kind", c_uint32), ("union", _InputUnion))


def utf16_units(text: str) -> list[int]:
    """Return the UTF-16 code units of a text."""
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[start : start + 2], "little") for start in range(0, len(data), 2)]


def text_events(text: str) -> list[Input]:
    """Return the key events of a text; both units of a surrogate pair go down before the first is released."""
    events: list[Input] = []
    for character in text:
        units = utf16_units(character)
        events += [_unit_event(unit, up=False) for unit in units]
        events += [_unit_event(unit, up=True) for unit in units]
    return events


def wheel_right(amount: int) -> Input:
    """Return a turn of the horizontal wheel, in units of 120 a notch."""
    event = Input(kind=MOUSE)
    event.union.mouse = MouseInput(0, 0, amount & 0xFFFFFFFF, HORIZONTAL_WHEEL, 0, 0)
    return event


def send(events: Sequence[Input]) -> None:
    """Send events to the focused program.

    Raises:
        SurfaceError: if Windows accepts fewer than all, as when a program with higher privileges has the focus.
    """
    send_input = ctypes.windll.user32.SendInput  # type: ignore[attr-defined,unused-ignore]
    for start in range(0, len(events), BATCH_SIZE):
        batch = events[start : start + BATCH_SIZE]
        accepted = send_input(len(batch), (Input * len(batch))(*batch), ctypes.sizeof(Input))
        if accepted != len(batch):
            raise SurfaceError(
                f"Windows accepted {accepted} of {len(batch)} input events; the focused program may run as admin"
            )


def type_text(text: str) -> None:
    """Type a text independently of the keyboard layout."""
    send(text_events(text))


def _unit_event(unit: int, up: bool) -> Input:
    event = Input(kind=KEYBOARD)
    event.union.keyboard = KeyboardInput(0, unit, UNICODE | (KEY_UP if up else 0), 0, 0)
    return event
