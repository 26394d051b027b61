"""The pieces that need no phone: the closed list, text, dumps of real phones, names of apps."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from actions import InvalidActionError, Scroll, SurfaceError, UsageError
from envs.android import apps, commands, display
from envs.android import keyboard as keyboards
from envs.android.adb import CommandResult
from envs.android.commands import Command
from envs.android.display import DisplayState, ScreenshotError
from envs.android.text_input import TextChunk, needs_keyboard, split_text
from envs.simulators.android.commands import ADB_KEYBOARD
from envs.simulators.android.faults import read_fault
from envs.simulators.android.screen import MOVES, PhoneScreen
from envs.surfaces.android import Surface

# Shapes as real phones give them; the numbers are ours.
FOLD = (
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
        ("am", "broadcast", "-a", "ADB_INPUT_B64", "--es", "msg", "YQ==; reboot"),
        ("getprop", "$(id)"),
        (),
    ],
)
def test_what_is_not_in_the_closed_list_is_no_command(words):
    with pytest.raises(ValueError, match="closed list"):
        Command(words)


def test_a_text_is_one_word_of_its_command_whatever_it_holds():
    assert commands.text("$(id); 'x'\n").words == ("input", "text", "$(id); 'x'\n")
    with pytest.raises(ValueError, match="closed list"):
        replace(commands.tap(1, 2), words=("input", "tap", "1"))


def test_ascii_goes_word_by_word_and_keeps_every_percent_sign():
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
def test_pieces_make_up_the_text(text):
    keys = {"KEYCODE_ENTER": "\n", "KEYCODE_TAB": "\t"}
    split = split_text(text)
    assert "".join(keys.get(piece.text, piece.text) if piece.kind == "key" else piece.text for piece in split) == text
    assert not any("%s" in piece.text for piece in split if piece.kind == "words")
    assert all(len(piece.text) <= 400 for piece in split)
    assert needs_keyboard(text) == ("ы" in text)


def test_the_active_internal_screen_tells_how_it_is_turned():
    assert display.read_frame(FOLD) == DisplayState(3, 1600, 2560)


def test_an_old_phone_tells_its_size_elsewhere():
    assert display.read_frame(OLD) is None
    assert display.read_frame(OLD, "Physical size: 1080x1920") == DisplayState(1, 1920, 1080)
    assert display.read_frame(OLD, "Physical size: 1080x1920\nOverride size: 720x1280") == DisplayState(1, 1280, 720)
    assert display.read_frame("nothing", "Physical size: 1080x1920") is None


def test_density_is_the_override_where_there_is_one():
    assert display.read_density("Physical density: 420\nOverride density: 360") == 360
    assert display.read_density("Physical density: 420") == 420


@pytest.mark.parametrize(("flags", "package"), [("SECURE", "com.bank"), ("", ""), ("FLAG_NOTSECURE", "")])
def test_the_focused_windows_flags_say_whether_it_is_secure(flags, package):
    assert display.secure_window(WINDOW % flags) == package


@pytest.mark.parametrize(("flags", "package"), [("#81812100", "com.bank"), ("#81810100", "")])
def test_flags_of_old_phones_are_bits(flags, package):
    lines = (WINDOW % "X").replace("fl=LAYOUT_IN_SCREEN X HARDWARE_ACCELERATED", f"fl={flags}")
    assert display.secure_window(lines) == package


def test_locked_and_asleep_are_read():
    assert display.is_locked("    mShowingDream=false mDreamingLockscreen=true") and not display.is_locked("=false")
    assert display.is_asleep("  mWakefulness=Asleep") and not display.is_asleep("  mWakefulness=Awake")


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_are_whole_or_no_pictures():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 10, 4), np.uint8)
    whole = png(pixels)
    assert (display.decode(whole) == pixels[:, :, :3]).all()
    assert (display.decode(b"[Warning] several displays\n" + whole + b"\r\n") == pixels[:, :, :3]).all()
    for broken in (b"", b"error: closed", whole[:-1], whole[: len(whole) // 2], whole.replace(b"IDAT", b"IDAX")):
        with pytest.raises(ScreenshotError):
            display.decode(broken)


def test_black_and_dark_differ():
    black = np.zeros((400, 200, 3), np.uint8)
    bar = black.copy()
    bar[3, 7] = 255
    assert display.is_black(black) and display.is_dark(black)
    assert not display.is_black(bar) and display.is_dark(bar)
    bar[:40] = 255
    assert not display.is_dark(bar)


HAVE = [
    "com.android.settings/.Settings",
    "com.google.android.deskclock/com.android.deskclock.DeskClock",
    "com.android.chrome/com.google.android.apps.chrome.Main",
    "org.example.notes/.Main",
    "org.example.notesplus/.Main",
    "com.spotify.music/.MainActivity",
]


@pytest.mark.parametrize(
    ("target", "component"),
    [
        ("Settings", HAVE[0]),
        ("Clock", HAVE[1]),
        ("the Clock"[4:] + " app", HAVE[1]),
        ("com.android.chrome", HAVE[2]),
        (HAVE[2], HAVE[2]),
        ("Notes", HAVE[3]),
        ("spotify", HAVE[5]),
    ],
)
def test_apps_are_found_by_name_package_and_component(target, component):
    assert apps.find(target, HAVE) == component


def test_apps_that_are_many_or_none_are_named():
    with pytest.raises(
        InvalidActionError, match=r"several apps could be 'not': org.example.notes, org.example.notesplus"
    ):
        apps.find("not", HAVE)
    with pytest.raises(InvalidActionError, match="no app 'spotifi' on this phone; did you mean 'spotify'"):
        apps.find("spotifi", HAVE)
    with pytest.raises(InvalidActionError, match=r"have com\.android\.chrome, com\.android\.settings"):
        apps.find("xxxxxxxx", HAVE)


def test_what_can_be_launched_is_read_from_androids_list():
    said = (
        "2 activities found:\n  Activity #0:\n    priority=0 match=0x8\n    com.a/.B\n  Activity #1:\n    c.d/e.F$G\n"
    )
    assert apps.components(said) == ["com.a/.B", "c.d/e.F$G"]


class Deaf:
    """A phone that remembers what it is asked and answers from a table; the keyboard that is set changes."""

    serialno = "NUMBER"

    def __init__(self, ime, installed):
        self.ime, self.installed, self.heard = ime, installed, []

    def ask(self, command):
        self.heard.append(command.words)
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
    ("now", "disable", "after"),
    [
        (ADB_KEYBOARD, "", "com.user/.Ime"),  # ours was left: the user's comes back
        ("com.user/.Ime", ADB_KEYBOARD, "com.user/.Ime"),
        ("com.other/.Ime", "", "com.other/.Ime"),  # chosen by the person since, as the error tells them to
    ],
)
def test_a_record_of_an_earlier_run_gives_back_and_is_gone(now, disable, after):
    phone = Deaf(now, ["com.user/.Ime", "com.other/.Ime"])
    keyboards._write(keyboards.record_path("NUMBER"), keyboards.KeyboardLease("NUMBER", "com.user/.Ime", disable))
    assert keyboards.restore(phone) and phone.ime == after
    assert not keyboards.record_path("NUMBER").exists() and not keyboards.restore(phone)


def test_a_keyboard_that_is_no_more_blocks_no_run_once_another_is_chosen():
    phone = Deaf(ADB_KEYBOARD, ["com.other/.Ime"])
    keyboards._write(keyboards.record_path("NUMBER"), keyboards.KeyboardLease("NUMBER", "com.user/.Ime", ""))
    with pytest.raises(SurfaceError, match=r"could not be set back to com\.user/\.Ime; choose it in its settings"):
        keyboards.restore(phone)
    phone.ime = "com.other/.Ime"
    assert keyboards.restore(phone)


def bare(frame, density=160):
    """A surface that looked at a display of this size and notes the commands it would send."""
    surface = object.__new__(Surface)
    surface._size, surface._density, surface.sent = (frame.width, frame.height), density, []
    surface._same_as_seen = lambda: frame
    surface._act = surface._send = lambda command: surface.sent.append(command.words) or CommandResult(b"", b"", 0)
    return surface


@pytest.mark.parametrize(
    ("frame", "density"),
    [(DisplayState(1, 2340, 1080), 440), (DisplayState(0, 280, 364), 280), (DisplayState(0, 540, 1080), 240)],
)
def test_no_swipe_of_a_scroll_is_so_short_that_it_is_a_tap(frame, density):
    """Two notches were one swipe and a rest of ten pixels, which Android takes for a tap on what lies there."""
    slop = 8 * density / 160
    for down, right in ((n, m) for n in (*range(-7, 8), 25, 100) for m in (-3, 0, 9)):
        surface = bare(frame, density)
        surface._scroll(Scroll(down=down, right=right))
        ways = [(int(w[4]) - int(w[2]), int(w[5]) - int(w[3])) for w in surface.sent]
        assert all(max(map(abs, way)) > 4 * slop for way in ways)
        for wanted, way in ((down, sum(y for _, y in ways)), (right, sum(x for x, _ in ways))):
            assert way == pytest.approx(-wanted * 100 * density / 160, abs=len(ways))
        assert all(0 <= int(x) < frame.width and 0 <= int(y) < frame.height for w in surface.sent
                   for x, y in ((w[2], w[3]), (w[4], w[5])))  # fmt: skip


def test_addresses_that_a_phone_cannot_be_sent_are_a_sentence():
    surface = bare(DisplayState(0, 540, 1080))
    surface._view("HTTPS://Example.org/", InvalidActionError)
    assert surface.sent[0][-1] == "HTTPS://Example.org/"
    surface._closed = False
    for address in ("file:///sdcard/x", "https://a.org/x y"):
        with pytest.raises(UsageError, match="http and https addresses without spaces, not"):
            surface.goto(address)


@pytest.mark.parametrize("text", ["black:nan", "offline:inf", "rotate:-inf", "slow:often"])
def test_a_fault_takes_a_finite_number(text):
    """In `agent phone` any other ended the thread that listens."""
    with pytest.raises(UsageError, match="takes a number"):
        read_fault(text)


@pytest.mark.parametrize(("answers_s", "least", "most"), [(0.001, MOVES, 27), (0.2, MOVES, MOVES + 1)])
def test_a_swipe_has_enough_moves_however_slow_the_page(answers_s, least, most):
    class Slow:
        async def finger_down(self, point):
            self.moves = []

        async def finger_move(self, point):
            await asyncio.sleep(answers_s)
            self.moves.append(point)

        async def finger_up(self):
            pass

    page = Slow()
    asyncio.run(PhoneScreen.touch(page, (10, 400), (10, 80), 0.3))
    assert least <= len(page.moves) <= most and page.moves[-1] == (10, 80)
    steps = [before[1] - after[1] for before, after in zip([(10, 400), *page.moves], page.moves, strict=False)]
    assert min(steps) >= 0 and max(steps) <= 320 / MOVES
    asyncio.run(PhoneScreen.touch(page, (10, 400), (10, 80), 0.0))
    assert page.moves == []
