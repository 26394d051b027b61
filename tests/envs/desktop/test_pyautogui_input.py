"""Input of macOS and Windows as far as it can be tested elsewhere: event bytes, text parts, calls of pyautogui."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest

from actions import InvalidActionError, SurfaceError
from envs.desktop import macos_input, windows_input
from envs.desktop.pyautogui_input import PyAutoGuiInput

Call = tuple[object, ...]


class FakeGui:
    """Records pyautogui's calls."""

    FAILSAFE_POINTS = ((0, 0),)

    class FailSafeException(Exception):
        """Raised when the pointer is in a corner."""

    def __init__(self, in_corner: bool = False) -> None:
        self.calls: list[Call] = []
        self.in_corner = in_corner

    def isValidKey(self, key: str) -> bool:
        return key in ("ctrl", "command", "win", "enter", "tab", "shift", "a", "c", "f5")

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*args: object, **fields: object) -> None:
            if self.in_corner:
                raise self.FailSafeException
            self.calls.append((name, *args, *fields.values()))

        return call


def make_input(platform: str = "win32", in_corner: bool = False) -> tuple[PyAutoGuiInput, FakeGui, list[str]]:
    """Return the input, its fake pyautogui, and the list of texts typed through the system."""
    texts: list[str] = []
    gui = FakeGui(in_corner)
    return PyAutoGuiInput(gui, texts.append, platform), gui, texts


def test_windows_event_has_required_layout() -> None:
    is_64_bit = ctypes.sizeof(ctypes.c_size_t) == 8
    offset = windows_input.Input.union.offset
    assert ctypes.sizeof(windows_input.Input) == (40 if is_64_bit else 28)
    assert offset == (8 if is_64_bit else 4)
    event = bytes(windows_input.text_events("ł")[0])
    assert event[:4] == b"\1\0\0\0"  # INPUT_KEYBOARD
    assert event[offset : offset + 8] == b"\0\0" + b"\x42\x01" + b"\x04\0\0\0"  # no key, U+0142, KEYEVENTF_UNICODE


def test_windows_surrogate_pair_goes_down_together() -> None:
    assert windows_input.utf16_units("a😀") == [0x61, 0xD83D, 0xDE00]
    keys = [event.union.keyboard for event in windows_input.text_events("😀")]
    assert [(key.scan, key.flags) for key in keys] == [(0xD83D, 4), (0xDE00, 4), (0xD83D, 6), (0xDE00, 6)]


def test_windows_wheel_accepts_negative_amounts() -> None:
    event = windows_input.wheel_right(-240)
    assert event.kind == 0
    assert event.union.mouse.data == 0xFFFFFF10
    assert event.union.mouse.flags == 0x1000


def test_macos_parts_keep_clusters_together() -> None:
    text = "x" * 19 + "😀" + "e\u0301" * 12 + "👩\u200d💻" * 5
    parts = macos_input.split_events(text)
    assert "".join(parts) == text
    for part in parts:
        assert len(part.encode("utf-16-le")) <= 40
        assert not part.startswith(("\u0301", "\u200d", "💻"))


def test_macos_parts_of_empty_and_oversized_text() -> None:
    assert macos_input.split_events("") == []
    cluster = "e" + "\u0301" * 50  # longer than one event
    assert "".join(macos_input.split_events(cluster)) == cluster


def test_macos_events_carry_text_and_length() -> None:
    class FakeQuartz:
        kCGHIDEventTap = 0

        def __init__(self) -> None:
            self.events: list[dict[str, object]] = []

        def CGEventCreateKeyboardEvent(self, source: None, keycode: int, down: bool) -> dict[str, object]:
            return {"down": down}

        def CGEventSetFlags(self, event: dict[str, object], flags: int) -> None:
            event["flags"] = flags

        def CGEventKeyboardSetUnicodeString(self, event: dict[str, object], length: int, text: str) -> None:
            event.update(length=length, text=text)

        def CGEventPost(self, tap: int, event: dict[str, object]) -> None:
            self.events.append(event)

    quartz = FakeQuartz()
    macos_input.type_text("ż😀", quartz, pause_s=0)
    assert quartz.events == [{"down": down, "flags": 0, "length": 3, "text": "ż😀"} for down in (True, False)]


def test_move_has_no_pause() -> None:
    controller, gui, _ = make_input()
    controller.move(-5, 7)
    assert gui.PAUSE == 0
    assert gui.calls == [("moveTo", -5, 7, 0)]


@pytest.mark.parametrize(
    ("platform", "turn", "calls"),
    [("win32", (2, 0), [("scroll", -240)]), ("darwin", (-1, 1), [("scroll", 3), ("hscroll", -3)])],
)
def test_wheel_uses_units_of_platform(platform: str, turn: tuple[int, int], calls: list[Call]) -> None:
    controller, gui, _ = make_input(platform)
    controller.wheel(*turn)
    assert gui.calls == calls


def test_macos_chord_uses_command_for_meta() -> None:
    controller, gui, _ = make_input("darwin")
    with controller.chord(("meta", "c")):
        assert gui.calls[-1] == ("keyDown", "c")
    assert gui.calls == [("keyDown", "command"), ("keyDown", "c"), ("keyUp", "c"), ("keyUp", "command")]


def test_text_is_typed_with_newlines_as_keys() -> None:
    controller, gui, texts = make_input()
    controller.type("ab\tż\n\n")
    assert texts == ["ab", "ż"]
    assert [call[1] for call in gui.calls] == ["tab", "tab", "enter", "enter", "enter", "enter"]


def test_character_without_key_is_typed_alone() -> None:
    controller, gui, texts = make_input()
    with controller.chord(("ł",)):
        pass
    assert texts == ["ł"]
    assert gui.calls == []


def test_check_keys_refuses_missing_keys() -> None:
    controller, _, _ = make_input()
    with pytest.raises(InvalidActionError, match="'ł' cannot be pressed together"):
        controller.check_keys(("ctrl", "ł"))
    with pytest.raises(InvalidActionError, match="'insert' does not exist"):
        controller.check_keys(("insert",))


def test_move_to_failsafe_corner_is_refused() -> None:
    controller, gui, _ = make_input()
    with pytest.raises(InvalidActionError, match="corner"):
        controller.move(0, 0)
    assert gui.calls == []


def test_pointer_in_failsafe_corner_stops_the_run() -> None:
    controller, _, _ = make_input(in_corner=True)
    with pytest.raises(SurfaceError, match="corner"):
        controller.move(5, 5)


@pytest.mark.parametrize(
    ("platform", "call"), [("darwin", ("dragTo", 5, 6, 0, "left", False)), ("win32", ("moveTo", 5, 6, 0))]
)
def test_move_with_button_is_macos_drag_event(platform: str, call: Call) -> None:
    """Source: pyautogui 0.9.54, _mouseMoveDrag."""
    controller, gui, _ = make_input(platform)
    controller.button("left", True)
    controller.move(5, 6)
    controller.button("left", False)
    controller.move(7, 8)
    assert gui.calls[1] == call
    assert gui.calls[3] == ("moveTo", 7, 8, 0)
