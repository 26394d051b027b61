"""Windows' SendInput: characters as UTF-16 units, and the sideways wheel. Layouts and units are testable anywhere.

Source: Microsoft's INPUT, KEYBDINPUT, MOUSEINPUT and SendInput; KEYEVENTF_UNICODE. Untried on a real machine.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_long, c_size_t, c_uint16, c_uint32

from actions import SurfaceError

MOUSE, KEYBOARD = 0, 1
KEY_UP, UNICODE = 0x0002, 0x0004
HORIZONTAL_WHEEL = 0x1000
AT_ONCE = 64  # events in one call: nothing that a person types comes between them


class KeyboardInput(ctypes.Structure):
    _fields_ = (("vk", c_uint16), ("scan", c_uint16), ("flags", c_uint32), ("time", c_uint32), ("extra", c_size_t))


class MouseInput(ctypes.Structure):
    _fields_ = (
        ("x", c_long if ctypes.sizeof(c_long) == 4 else ctypes.c_int32),
        ("y", c_long if ctypes.sizeof(c_long) == 4 else ctypes.c_int32),
        ("data", c_uint32),
        ("flags", c_uint32),
        ("time", c_uint32),
        ("extra", c_size_t),
    )


class _Either(ctypes.Union):
    _fields_ = (("keyboard", KeyboardInput), ("mouse", MouseInput))


class Input(ctypes.Structure):
    """One event; 40 bytes on 64-bit Windows, as SendInput requires."""

    _fields_ = (("kind", c_uint32), ("either", _Either))


def utf16_units(text: str) -> list[int]:
    """What Windows and macOS call characters: one unit each, two for those beyond U+FFFF."""
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


def strokes(text: str) -> list[Input]:
    """Down and up of every unit. Both halves of a surrogate pair go down before the first is let go."""
    events: list[Input] = []
    for character in text:
        units = utf16_units(character)
        events += [_unit(unit, up=False) for unit in units]
        events += [_unit(unit, up=True) for unit in units]
    return events


def wheel_right(amount: int) -> Input:
    """The sideways wheel, in units of 120 a notch."""
    event = Input(kind=MOUSE)
    event.either.mouse = MouseInput(0, 0, amount & 0xFFFFFFFF, HORIZONTAL_WHEEL, 0, 0)
    return event


def send(events: Sequence[Input]) -> None:
    """SurfaceError when Windows takes fewer than all: a program with higher rights has the focus."""
    send_input = ctypes.windll.user32.SendInput  # type: ignore[attr-defined,unused-ignore]
    for start in range(0, len(events), AT_ONCE):
        some = events[start : start + AT_ONCE]
        taken = send_input(len(some), (Input * len(some))(*some), ctypes.sizeof(Input))
        if taken != len(some):
            raise SurfaceError(
                f"Windows took {taken} of {len(some)} events; a program with administrator's rights may have the focus"
            )


def type_text(text: str) -> None:
    """Every character as itself, whatever the keyboard layout."""
    send(strokes(text))


def _unit(unit: int, up: bool) -> Input:
    event = Input(kind=KEYBOARD)
    event.either.keyboard = KeyboardInput(0, unit, UNICODE | (KEY_UP if up else 0), 0, 0)
    return event
