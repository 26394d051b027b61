"""Parts of the Android surface that need no phone: commands, text, dumps of real phones, app names, scrolling."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from actions import InvalidActionError, SurfaceError, UsageError
from envs.android import apps, commands, display, failures, keyboard
from envs.android.adb import CommandResult
from envs.android.commands import Command
from envs.android.display import DisplayState, ScreenshotError
from envs.android.gestures import scroll_swipes
from envs.android.text_input import TextChunk, needs_keyboard, split_text
from envs.simulators.android.faults import parse_fault
from envs.simulators.android.input_methods import ADB_KEYBOARD
from envs.simulators.android.screen import MIN_MOVES, PhoneScreen

# Formats of real phones; the numbers are ours.
FOLDABLE = (
    "  mViewports=[DisplayViewport{type=EXTERNAL, valid=true, isActive=true, displayId=2, orientation=0, "
    "logicalFrame=Rect(0, 0 - 1920, 1080), deviceWidth=1920, deviceHeight=1080}, "
    "DisplayViewport{type=INTERNAL, valid=true, isActive=false, displayId=0, orientation=0, "
    "logicalFrame=Rect(0, 0 - 2560, 1600)}, DisplayViewport{type=INTERNAL, valid=true, isActive=true, displayId=0, "
    "uniqueId='local:1', physicalPort=130, orientation=3, logicalFrame=Rect(0, 0 - 1600, 2560), deviceWidth=2560}]\n"
    "  mCurrentOrientation=0\n"
)
OLD = (
    "  mInternalViewport=DisplayViewport{valid=true, displayId=0, orientation=1, deviceWidth=1920, deviceHeight=1080}\n"
)
WINDOW = """  Window #4 Window{8bf3 u0 com.android.systemui/StatusBar}:
    mAttrs={(0,0)(fillx63) ty=STATUS_BAR fl=NOT_FOCUSABLE SECURE}
  Window #3 Window{5f3a u0 com.bank/com.bank.Main}:
    mAttrs={(0,0)(fillxfill) sim={adjust=pan} ty=BASE_APPLICATION
      fl=LAYOUT_IN_SCREEN %s HARDWARE_ACCELERATED}
  mCurrentFocus=Window{5f3a u0 com.bank/com.bank.Main}
"""
COMPONENTS = [
    "com.android.settings/.Settings",
    "com.google.android.deskclock/com.android.deskclock.DeskClock",
    "com.android.chrome/com.google.android.apps.chrome.Main",
    "org.example.notes/.Main",
    "org.example.notesplus/.Main",
    "com.spotify.music/.MainActivity",
]


@pytest.mark.parametrize(
    "words",
    [
        ("reboot",),
        ("sh", "-c", "id"),
        ("input", "tap", "1", "2; reboot"),
        ("input", "keyevent", "KEYCODE_HOME", "x"),
        ("settings", "put", "secure", "default_input_method"),
        ("pm", "uninstall", "com.bank"),
        ("am", "start", "-a", "android.intent.action.VIEW", "-d", "file:///sdcard/x"),
        ("am", "start", "-a", "android.intent.action.VIEW", "-d", "intent://x"),
        ("am", "broadcast", "-a", "ADB_INPUT_B64", "-p", "a.b", "--es", "msg", "YQ==; reboot"),
        ("am", "broadcast", "-a", "ADB_INPUT_B64", "--es", "msg", "YQ=="),
        ("getprop", "$(id)"),
        (),
    ],
)
def test_command_outside_the_list_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="closed list"):
        Command(words)


def test_command_keeps_text_as_one_word() -> None:
    assert commands.input_text("$(id); 'x'\n").words == ("input", "text", "$(id); 'x'\n")


def test_replaced_command_is_checked_again() -> None:
    with pytest.raises(ValueError, match="closed list"):
        replace(commands.tap(1, 2), words=("input", "tap", "1"))


def test_split_text_keeps_percent_signs() -> None:
    assert split_text("go  now\n100%s, %%s") == [
        TextChunk("words", "go  "),
        TextChunk("words", "now"),
        TextChunk("key", "KEYCODE_ENTER"),
        TextChunk("words", "100%"),
        TextChunk("words", "s, "),
        TextChunk("words", "%%"),
        TextChunk("words", "s"),
    ]


@pytest.mark.parametrize("text", ["a" * 500, "  lead", "%" * 9 + "s", "\t\t", "", "ы" * 900, "a ы\n" * 5])
def test_split_text_adds_up(text: str) -> None:
    keys = {"KEYCODE_ENTER": "\n", "KEYCODE_TAB": "\t"}
    chunks = split_text(text)
    assert "".join(keys[chunk.text] if chunk.kind == "key" else chunk.text for chunk in chunks) == text
    assert not any("%s" in chunk.text for chunk in chunks if chunk.kind == "words")
    assert all(len(chunk.text) <= 400 for chunk in chunks)
    assert needs_keyboard(text) == ("ы" in text)


def test_display_state_is_of_active_internal_display() -> None:
    state = display.parse_display_state(FOLDABLE)
    assert state == DisplayState(3, 1600, 2560)
    assert state is not None
    assert state.physical_id == "1"


@pytest.mark.parametrize(
    "dump",
    [
        OLD + "  mInternalViewport=DisplayViewport{valid=true, uniqueId='local:0', orientation=0, "
        "logicalFrame=Rect(0, 0 - 1080, 1920)}",
        "DisplayViewport{type=INTERNAL, valid=true, isActive=true, uniqueId='local:7', orientation=0, "
        "logicalFrame=Rect(0, 0 - 1080, 1920)}",
        "DisplayViewport{type=INTERNAL, valid=true, isActive=true, uniqueId='local:7', orientation=0, "
        "logicalFrame=Rect(0, 0 - 1080, 1920)}, DisplayViewport{type=EXTERNAL, valid=true, isActive=true, "
        "uniqueId='local:8', orientation=0, logicalFrame=Rect(0, 0 - 1920, 1080)}",
    ],
)
def test_phone_with_one_display_needs_no_display_id(dump: str) -> None:
    state = display.parse_display_state(dump)
    assert state is None or state.physical_id == ""


def test_screencap_of_display_is_in_closed_list() -> None:
    assert commands.screencap("4630947043778501762").words == ("screencap", "-p", "-d", "4630947043778501762")
    assert commands.screencap() == commands.SCREENCAP
    with pytest.raises(ValueError, match="closed list"):
        commands.screencap("1;reboot")


def test_display_state_without_size_uses_wm_size() -> None:
    physical, override = "Physical size: 1080x1920", "Physical size: 1080x1920\nOverride size: 720x1280"
    assert display.parse_display_state(OLD) is None
    assert display.parse_display_state(OLD, physical) == DisplayState(1, 1920, 1080)
    assert display.parse_display_state(OLD, override) == DisplayState(1, 1280, 720)
    assert display.parse_display_state("nothing", physical) is None


def test_density_override_wins() -> None:
    assert display.parse_density("Physical density: 420\nOverride density: 360") == 360
    assert display.parse_density("Physical density: 420") == 420


@pytest.mark.parametrize(("flags", "package"), [("SECURE", "com.bank"), ("", ""), ("FLAG_NOTSECURE", "")])
def test_secure_window_reads_flag_names(flags: str, package: str) -> None:
    assert display.secure_window(WINDOW % flags) == package


@pytest.mark.parametrize(("flags", "package"), [("#81812100", "com.bank"), ("#81810100", "")])
def test_secure_window_reads_flag_bits(flags: str, package: str) -> None:
    dump = (WINDOW % "X").replace("fl=LAYOUT_IN_SCREEN X HARDWARE_ACCELERATED", f"fl={flags}")
    assert display.secure_window(dump) == package


def test_locked_and_asleep_are_parsed() -> None:
    assert display.is_locked("    mShowingDream=false mDreamingLockscreen=true")
    assert not display.is_locked("=false")
    assert display.is_asleep("  mWakefulness=Asleep")
    assert not display.is_asleep("  mWakefulness=Awake")


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_decode_png_skips_warning_before_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 10, 4), np.uint8)
    png = encode_png(pixels)
    assert (display.decode_png(png) == pixels[:, :, :3]).all()
    assert (display.decode_png(b"[Warning] several displays\n" + png + b"\r\n") == pixels[:, :, :3]).all()


def test_decode_png_refuses_damaged_data() -> None:
    png = encode_png(np.random.default_rng(0).integers(0, 255, (20, 10, 3), np.uint8))
    for damaged in (b"", b"error: closed", png[:-1], png[: len(png) // 2], png.replace(b"IDAT", b"IDAX")):
        with pytest.raises(ScreenshotError):
            display.decode_png(damaged)


def test_black_and_dark_differ() -> None:
    black = np.zeros((400, 200, 3), np.uint8)
    with_dot = black.copy()
    with_dot[3, 7] = 255
    with_bar = black.copy()
    with_bar[:40] = 255
    assert display.is_black(black)
    assert display.is_dark(black)
    assert not display.is_black(with_dot)
    assert display.is_dark(with_dot)
    assert not display.is_dark(with_bar)


@pytest.mark.parametrize(
    ("target", "component"),
    [
        ("Settings", COMPONENTS[0]),
        ("Clock", COMPONENTS[1]),
        ("Clock app", COMPONENTS[1]),
        ("com.android.chrome", COMPONENTS[2]),
        (COMPONENTS[2], COMPONENTS[2]),
        ("Notes", COMPONENTS[3]),
        ("spotify", COMPONENTS[5]),
    ],
)
def test_find_component_by_name_package_or_component(target: str, component: str) -> None:
    assert apps.find_component(target, COMPONENTS) == component


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("not", r"several apps match 'not': org.example.notes, org.example.notesplus"),
        ("spotifi", "no app 'spotifi' on this phone. Did you mean 'spotify'"),
        ("X", "no app 'X' on this phone"),
        ("com.whatsapp", "'com.whatsapp' is not installed"),
        ("org.example.bank/.MainActivity", "is not installed"),
        ("xxxxxxxx", r"Installed: com\.android\.chrome, com\.android\.settings"),
    ],
)
def test_find_component_lists_candidates_on_error(target: str, message: str) -> None:
    with pytest.raises(InvalidActionError, match=message):
        apps.find_component(target, COMPONENTS)


@pytest.mark.parametrize(
    "target",
    ["com.whatsapp", "com.example.app", "org.example.bank/.MainActivity", "de.hafas.android.db", "de.example.app"],
)
def test_is_package_accepts_reversed_domains(target: str) -> None:
    assert apps.is_package(target)


@pytest.mark.parametrize(
    "target",
    [
        "example.org",
        "maps.google.com",
        "de.wikipedia.org",
        "example.org/about",
        "127.0.0.1:8000/x",
        "localhost",
        "notes",
    ],
)
def test_is_package_refuses_addresses_and_names(target: str) -> None:
    assert not apps.is_package(target)


def test_parse_components_reads_activity_list() -> None:
    output = (
        "2 activities found:\n  Activity #0:\n    priority=0 match=0x8\n    com.a/.B\n  Activity #1:\n    c.d/e.F$G\n"
    )
    assert apps.parse_components(output) == ["com.a/.B", "c.d/e.F$G"]


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("Starting: Intent { act=VIEW dat=https://a.org/error }", False),
        ("Starting: Intent { cmp=a.b/.C }\nWarning: Activity not started, its task was brought to the front", False),
        ("Starting: Intent { cmp=a.b/.C }\nError type 3\nError: Activity class does not exist.", True),
        ("WARNING: linker: libx.so: unknown dt tag", False),
        ("Unknown command: keycombination", True),
        ("java.lang.SecurityException: INJECT_EVENTS", True),
        ("/system/bin/sh: input: inaccessible or not found", True),
    ],
)
def test_failure_is_found_in_output(output: str, failed: bool) -> None:
    assert failures.has_failed(CommandResult(output.encode(), b"", 0)) == failed
    assert failures.has_failed(CommandResult(b"", output.encode(), 0)) == failed


class FakePhone:
    """A phone whose selected input method changes on `ime`."""

    serialno = "NUMBER"

    def __init__(self, ime: str, installed: list[str]) -> None:
        self.ime, self.installed = ime, installed

    def query(self, command: Command) -> CommandResult:
        if command == commands.CURRENT_IME:
            return CommandResult(self.ime.encode(), b"", 0)
        if command.words[:2] == ("ime", "set"):
            if command.words[2] not in self.installed:
                return CommandResult(b"", b"Unknown input method", 255)
            self.ime = command.words[2]
        if command.words[:2] == ("ime", "disable") and command.words[2] == self.ime:
            self.ime = self.installed[0]
        return CommandResult(b"", b"", 0)


@pytest.mark.parametrize(
    ("current", "disable", "restored"),
    [
        (ADB_KEYBOARD, "", "com.user/.Ime"),
        ("com.user/.Ime", ADB_KEYBOARD, "com.user/.Ime"),
        ("com.other/.Ime", "", "com.other/.Ime"),  # selected by the user since
    ],
)
def test_restore_keyboard_uses_record_once(current: str, disable: str, restored: str) -> None:
    phone = FakePhone(current, ["com.user/.Ime", "com.other/.Ime"])
    path = keyboard.record_path("NUMBER")
    keyboard._write_record(path, keyboard.KeyboardLease("NUMBER", "com.user/.Ime", disable))
    assert keyboard.restore_keyboard(phone)
    assert phone.ime == restored
    assert not path.exists()
    assert not keyboard.restore_keyboard(phone)


def test_uninstalled_keyboard_needs_another_selection() -> None:
    phone = FakePhone(ADB_KEYBOARD, ["com.other/.Ime"])
    keyboard._write_record(keyboard.record_path("NUMBER"), keyboard.KeyboardLease("NUMBER", "com.user/.Ime", ""))
    with pytest.raises(SurfaceError, match=r"could not be set back to com\.user/\.Ime; choose it"):
        keyboard.restore_keyboard(phone)
    phone.ime = "com.other/.Ime"
    assert keyboard.restore_keyboard(phone)


@pytest.mark.parametrize(
    ("size", "density"),
    [((2340, 1080), 440), ((280, 364), 280), ((540, 1080), 240)],
)
def test_scroll_swipes_are_never_taps(size: tuple[int, int], density: int) -> None:
    """A short last swipe, within Android's touch slop of 8 dp, would be a tap on what lies there."""
    touch_slop = 8 * density / 160
    width, height = size
    for down, right in ((n, m) for n in (*range(-7, 8), 25, 100) for m in (-3, 0, 9)):
        swipes = [
            [int(word) for word in command.words[2:6]]
            for command in scroll_swipes((width // 2, height // 2), down, right, size, density)
        ]
        deltas = [(to_x - x, to_y - y) for x, y, to_x, to_y in swipes]
        assert all(max(abs(dx), abs(dy)) > 4 * touch_slop for dx, dy in deltas)
        for notches, distance in ((down, sum(dy for _, dy in deltas)), (right, sum(dx for dx, _ in deltas))):
            assert distance == pytest.approx(-notches * 100 * density / 160, abs=len(deltas))
        assert all(0 <= x < width and 0 <= to_x < width for x, _, to_x, _ in swipes)
        assert all(0 <= y < height and 0 <= to_y < height for _, y, _, to_y in swipes)


@pytest.mark.parametrize("text", ["black:nan", "offline:inf", "rotate:-inf", "slow:often"])
def test_fault_needs_a_finite_number(text: str) -> None:
    with pytest.raises(UsageError, match="takes a number"):
        parse_fault(text)


@pytest.mark.parametrize(
    ("answer_s", "min_count", "max_count"), [(0.001, MIN_MOVES, 27), (0.2, MIN_MOVES, MIN_MOVES + 1)]
)
def test_swipe_on_slow_page_has_enough_moves(answer_s: float, min_count: int, max_count: int) -> None:
    class SlowScreen:
        def __init__(self) -> None:
            self.moves: list[tuple[int, int]] = []

        async def finger_down(self, point: tuple[int, int]) -> None:
            self.moves = []

        async def finger_move(self, point: tuple[int, int]) -> None:
            await asyncio.sleep(answer_s)
            self.moves.append(point)

        async def finger_up(self) -> None:
            pass

    screen = SlowScreen()
    asyncio.run(PhoneScreen.touch(screen, (10, 400), (10, 80), 0.3))
    assert min_count <= len(screen.moves) <= max_count
    assert screen.moves[-1] == (10, 80)
    steps = [start[1] - end[1] for start, end in zip([(10, 400), *screen.moves], screen.moves, strict=False)]
    assert min(steps) >= 0
    assert max(steps) <= 320 / MIN_MOVES
    asyncio.run(PhoneScreen.touch(screen, (10, 400), (10, 80), 0.0))
    assert screen.moves == []
