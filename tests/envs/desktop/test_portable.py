"""macOS and Windows, as far as they can be tested elsewhere: events as bytes, pieces of text, calls of pyautogui."""

from __future__ import annotations

import ctypes

import pytest

from actions import InvalidActionError, SurfaceError
from envs.desktop import macos_input, windows_input
from envs.desktop.pyautogui_input import PyAutoGuiInput


class Gui:
    """pyautogui's calls, remembered."""

    FAILSAFE_POINTS = ((0, 0),)

    class FailSafeException(Exception):
        pass

    def __init__(self, cornered=False):
        self.calls = []
        self.cornered = cornered

    def isValidKey(self, key):
        return key in ("ctrl", "command", "win", "enter", "tab", "shift", "a", "c", "f5")

    def __getattr__(self, name):
        def call(*args, **fields):
            if self.cornered:
                raise self.FailSafeException
            self.calls.append((name, *args, *fields.values()))

        return call


def hands(platform="win32", **gui):
    typed = []
    made = PyAutoGuiInput(Gui(**gui), typed.append, platform)
    return made, made._gui.calls, typed


def test_a_unicode_event_is_as_large_as_windows_wants():
    assert ctypes.sizeof(windows_input.Input) == (40 if ctypes.sizeof(ctypes.c_size_t) == 8 else 28)
    assert windows_input.Input.either.offset == (8 if ctypes.sizeof(ctypes.c_size_t) == 8 else 4)
    event = windows_input.strokes("ł")[0]
    at = windows_input.Input.either.offset
    assert bytes(event)[:4] == b"\1\0\0\0"  # INPUT_KEYBOARD
    assert bytes(event)[at : at + 8] == b"\0\0" + b"\x42\x01" + b"\x04\0\0\0"  # no key, U+0142, KEYEVENTF_UNICODE


def test_characters_beyond_the_first_plane_go_as_two_halves():
    assert windows_input.utf16_units("a😀") == [0x61, 0xD83D, 0xDE00]
    events = [(e.either.keyboard.scan, e.either.keyboard.flags) for e in windows_input.strokes("😀")]
    assert events == [(0xD83D, 4), (0xDE00, 4), (0xD83D, 6), (0xDE00, 6)]


def test_the_sideways_wheel_takes_negative_amounts():
    event = windows_input.wheel_right(-240)
    assert (event.kind, event.either.mouse.data, event.either.mouse.flags) == (0, 0xFFFFFF10, 0x1000)


def test_macos_pieces_hold_twenty_units_and_tear_nothing():
    text = "x" * 19 + "😀" + "e\u0301" * 12 + "👩\u200d💻" * 5
    parts = macos_input.pieces(text)
    assert "".join(parts) == text
    for part in parts:
        assert len(part.encode("utf-16-le")) <= 40
        assert not part.startswith(("\u0301", "\u200d", "💻"))
    assert macos_input.pieces("") == []
    assert "".join(macos_input.pieces("e" + "\u0301" * 50)) == "e" + "\u0301" * 50  # more than fits goes in parts


def test_macos_events_say_their_units_and_hold_no_key():
    class Quartz:
        kCGHIDEventTap = 0

        def __init__(self):
            self.events = []

        def CGEventCreateKeyboardEvent(self, source, key, down):
            return {"down": down}

        def CGEventSetFlags(self, event, flags):
            event["flags"] = flags

        def CGEventKeyboardSetUnicodeString(self, event, length, text):
            event.update(length=length, text=text)

        def CGEventPost(self, tap, event):
            self.events.append(event)

    quartz = Quartz()
    macos_input.type_text("ż😀", quartz, pause_s=0)
    assert quartz.events == [{"down": down, "flags": 0, "length": 3, "text": "ż😀"} for down in (True, False)]


def test_no_pause_no_easing():
    made, calls, _ = hands()
    made.move(-5, 7)
    assert made._gui.PAUSE == 0 and calls == [("moveTo", -5, 7, 0)]


def test_a_notch_is_120_units_on_windows_and_up_is_positive():
    made, calls, _ = hands()
    made.wheel(2, 0)
    assert calls == [("scroll", -240)]
    made, calls, _ = hands("darwin")
    made.wheel(-1, 1)
    assert calls == [("scroll", 3), ("hscroll", -3)]


def test_the_meta_key_is_command_on_macos_and_chords_are_released_in_reverse():
    made, calls, _ = hands("darwin")
    with made.chord(("meta", "c")):
        assert calls[-1] == ("keyDown", "c")
    assert calls == [("keyDown", "command"), ("keyDown", "c"), ("keyUp", "c"), ("keyUp", "command")]


def test_text_goes_to_the_system_and_its_lines_and_tabs_are_keys():
    made, calls, typed = hands()
    made.type("ab\tż\n\n")
    assert typed == ["ab", "ż"]
    assert [call[1] for call in calls] == ["tab", "tab", "enter", "enter", "enter", "enter"]


def test_a_character_alone_is_typed_and_in_a_chord_refused():
    made, calls, typed = hands()
    with made.chord(("ł",)):
        pass
    assert typed == ["ł"] and calls == []
    with pytest.raises(InvalidActionError, match="'ł' cannot be pressed together"):
        made.check(("ctrl", "ł"))
    with pytest.raises(InvalidActionError, match="'insert' does not exist"):
        made.check(("insert",))


def test_the_corner_is_the_persons():
    made, calls, _ = hands()
    with pytest.raises(InvalidActionError, match="way to stop"):
        made.move(0, 0)
    assert calls == []
    made, _, _ = hands(cornered=True)
    with pytest.raises(SurfaceError, match="pushed into the corner"):
        made.move(5, 5)


def test_a_pointer_that_moves_with_a_button_down_drags_on_macos():
    """There a drag is an event of its own, which a move is not. Source: pyautogui 0.9.54, _mouseMoveDrag."""
    for platform, moved in (("darwin", ("dragTo", 5, 6, 0, "left", False)), ("win32", ("moveTo", 5, 6, 0))):
        made, calls, _ = hands(platform)
        made.button("left", True)
        made.move(5, 6)
        made.button("left", False)
        made.move(7, 8)
        assert calls[1] == moved and calls[3] == ("moveTo", 7, 8, 0)
