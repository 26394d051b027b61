"""Keys and text on X11, read back by a Tk program and by raw windows; keyboard map and modifiers are restored."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from helpers.desktop_programs import (
    TK_PAD,
    connect_to,
    pressed_state,
    read_keymap,
    require_programs,
    running,
    tk_python,
    x_server,
)
from helpers.eventually import eventually
from helpers.typed_strings import STRINGS

from actions import InvalidActionError, SurfaceError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import ActionInterruptedError
from envs.desktop.x11.input import X11Input
from envs.desktop.x11.keymap import keysym_of_character
from envs.desktop.x11.text import TextTyper
from envs.desktop.x11.windows import Windows

RETURN = 0xFF0D
LOCK_MASK = 2


@contextlib.contextmanager
def open_input(display: str) -> Iterator[X11Input]:
    cleanup, connection = CleanupProcess(), connect_to(display)
    cleanup.register(display=display)
    try:
        yield X11Input(connection, cleanup)
    finally:
        connection.close()
        cleanup.close()


@pytest.fixture
def controller(display: str) -> Iterator[X11Input]:
    with open_input(display) as opened:
        yield opened


class Pad:
    """A Tk text field that has the focus."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        eventually(lambda: self.path.exists() and self.path.read_bytes() == b"")

    def wait_for(self, text: str) -> None:
        """Wait until the field has exactly this text."""
        with contextlib.suppress(AssertionError):  # the comparison shows the difference
            eventually(lambda: self.path.read_bytes().decode() == text, timeout_s=60)
        assert self.path.read_bytes().decode() == text


@pytest.fixture(scope="module")
def pad(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pad]:
    path = tmp_path_factory.mktemp("tk") / "text"
    with running([tk_python(), str(TK_PAD), str(path)], display):
        eventually(path.exists)
        connection = connect_to(display)
        eventually(lambda: getattr(connection.get_input_focus().focus, "id", 0) > 1)
        yield Pad(path)
        connection.close()


@pytest.mark.parametrize("text", [STRINGS[2], STRINGS[4], STRINGS[12], STRINGS[17], STRINGS[18], STRINGS[22] + "\n."])
def test_tk_receives_exact_text(controller: X11Input, pad: Pad, display: str, text: str) -> None:
    keymap = read_keymap(display)
    pad.clear()
    controller.type(text)
    pad.wait_for(text)
    assert read_keymap(display) == keymap
    assert pressed_state(display) == (False, 0)


def test_more_unmapped_characters_than_free_keycodes(controller: X11Input, pad: Pad) -> None:
    text = "".join(chr(0x4E00 + 7 * n) for n in range(60))
    pad.clear()
    controller.type(text)
    pad.wait_for(text)


def test_program_without_pings_receives_text(controller: X11Input, pad: Pad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.desktop.x11.sync.InputSync.find_pingable", lambda _: None)
    pad.clear()
    controller.type("żółw 漢字")
    pad.wait_for("żółw 漢字")


def test_caps_lock_is_ignored_and_restored(controller: X11Input, pad: Pad, display: str) -> None:
    with controller.chord(("capslock",)):
        pass
    try:
        assert pressed_state(display)[1] & LOCK_MASK
        pad.clear()
        controller.type("quiet é LOUD")
        with controller.chord(("x",)):  # a key alone is a character, too
            pass
        pad.wait_for("quiet é LOUDx")
        assert pressed_state(display)[1] & LOCK_MASK
    finally:
        with controller.chord(("capslock",)):
            pass
    assert not pressed_state(display)[1] & LOCK_MASK


def test_swapped_keys_change_no_text(controller: X11Input, pad: Pad, display: str) -> None:
    """Y and Z are swapped, as on a German keyboard: no layout is assumed."""
    connection = connect_to(display)
    first = connection.display.info.min_keycode
    y, z = connection.keysym_to_keycode(ord("y")), connection.keysym_to_keycode(ord("z"))
    rows = connection.get_keyboard_mapping(first, z - first + y)
    y_row, z_row = list(rows[y - first]), list(rows[z - first])
    try:
        connection.change_keyboard_mapping(y, [z_row])
        connection.change_keyboard_mapping(z, [y_row])
        connection.sync()
        pad.clear()
        controller.type("lazy Zany")
        pad.wait_for("lazy Zany")
    finally:
        connection.change_keyboard_mapping(y, [y_row])
        connection.change_keyboard_mapping(z, [z_row])
        connection.close()


def test_held_shift_is_an_error(controller: X11Input, pad: Pad, display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.desktop.x11.modifiers.RELEASE_S", 0.2)
    with controller.chord(("shift",)):
        with pytest.raises(SurfaceError, match="Shift is held down"):
            controller.type("x")
        with pytest.raises(SurfaceError, match="Shift is held down"), controller.chord(("ctrl", "c")):
            pass  # would be ctrl+shift+c
    assert pressed_state(display) == (False, 0)


@pytest.mark.parametrize("text", ["good\ufffe", "a\x85", "b\ufdd0"])
def test_noncharacter_is_refused_before_typing(controller: X11Input, pad: Pad, text: str) -> None:
    pad.clear()
    with pytest.raises(InvalidActionError, match="not a character that can be typed"):
        controller.type(text)
    controller.type(".")
    pad.wait_for(".")


def test_keysym_of_character_follows_the_standard() -> None:
    assert [keysym_of_character(c) for c in "a é€😀"] == [0x61, 0x20, 0xE9, 0x010020AC, 0x0101F600]


def test_chords_reach_the_program(controller: X11Input, pad: Pad) -> None:
    pad.clear()
    controller.type("one two")
    pad.wait_for("one two")
    with controller.chord(("ctrl", "a")):  # Tk on X11: to the beginning of the line
        pass
    controller.type("é")
    with controller.chord(("shift", "end")):
        pass
    with controller.chord(("delete",)):
        pass
    pad.wait_for("é")
    with controller.chord(("ł",)):  # a character that no key has, pressed alone
        pass
    with controller.chord(("+",)):  # and one that needs shift
        pass
    pad.wait_for("éł+")


@pytest.mark.parametrize("layout", ["us", "de", "ru", "ru,us", "us,ru", "gr"])
def test_shift_and_letter_type_capital(controller: X11Input, pad: Pad, display: str, layout: str) -> None:
    require_programs("setxkbmap")
    environment = {**os.environ, "DISPLAY": display}
    try:
        subprocess.run(["setxkbmap", "-layout", layout], env=environment, check=True)
        pad.clear()
        for key in ("a", "z", "Y"):
            with controller.chord(("shift", key)):
                pass
        pad.wait_for("AZY")
    finally:
        subprocess.run(["setxkbmap", "-layout", "us"], env=environment, check=True)


def test_hanging_program_is_an_error(
    controller: X11Input, display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.desktop.x11.sync.PING_S", 0.5)
    keymap = read_keymap(display)
    require_programs("mousepad")
    with running(["mousepad", "--disable-server", str(tmp_path / "hanging")], display) as program:
        connection = connect_to(display)
        windows = Windows(connection)
        eventually(lambda: [window for window in windows.all() if "hanging" in window.title and windows.box(window.id)])
        assert windows.bring_to_front(windows.find("hanging").id)
        os.kill(program.pid, signal.SIGSTOP)
        with pytest.raises(SurfaceError, match="hangs"):
            controller.type("é")
        connection.close()
    assert read_keymap(display) == keymap


class RawWindow:
    """A window of its own connection that takes the focus and records keycodes.

    With `pings` it declares that it supports pings, and never answers one.
    """

    def __init__(self, display: str, left: int, pings: bool = False) -> None:
        from Xlib import X, Xatom

        self.connection = connect_to(display)
        root = self.connection.screen().root
        self.window = root.create_window(left, 0, 90, 60, 0, 24, event_mask=X.KeyPressMask)
        if pings:
            names = [self.connection.intern_atom(name) for name in ("WM_PROTOCOLS", "_NET_WM_PING")]
            self.window.change_property(names[0], Xatom.ATOM, 32, names[1:])
        self.window.map()
        self.connection.sync()
        eventually(lambda: self.window.get_attributes().map_state == X.IsViewable)
        self.focus()

    def focus(self) -> None:
        from Xlib import X

        self.window.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.connection.sync()

    def take_keycodes(self) -> list[int]:
        """Return the keycodes since the last call."""
        from Xlib import X

        self.connection.sync()
        events = [self.connection.next_event() for _ in range(self.connection.pending_events())]
        return [event.detail for event in events if event.type == X.KeyPress]

    def close_on(self, keycode: int, successor: RawWindow) -> threading.Thread:
        """Start a thread that closes the window on a key and gives the focus to another one."""

        def close() -> None:
            while keycode not in self.take_keycodes():
                time.sleep(0.001)
            self.window.destroy()
            self.connection.sync()
            successor.focus()

        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        return thread


@pytest.mark.parametrize("pings", [False, True])
@pytest.mark.parametrize("text", ["yes\nmove all to the bin", "tak, żółć\n你好"])
def test_text_stops_when_its_window_closes(text: str, pings: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.desktop.x11.sync.NO_PING_ENTER_S", 1.0)  # the closing thread may be slow
    monkeypatch.setattr("envs.desktop.x11.sync.PING_S", 60.0)  # a wait for the closed window would end the test
    with x_server() as display, open_input(display) as controller:
        keymap = read_keymap(display)
        behind = RawWindow(display, 0)
        dialog = RawWindow(display, 200, pings)
        thread = dialog.close_on(dialog.connection.keysym_to_keycode(RETURN), behind)
        count = f"after {text.index(chr(10)) + 1} of {len(text)} characters"
        with pytest.raises(ActionInterruptedError, match=count):
            controller.type(text)
        thread.join(10)
        assert behind.take_keycodes() == []
        assert read_keymap(display) == keymap
        controller.type("more")
        assert len(behind.take_keycodes()) == 4


def test_text_stops_when_another_window_pops_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with x_server() as display, open_input(display) as controller:
        other = RawWindow(display, 200)
        first = RawWindow(display, 0)
        type_batch = TextTyper._type_batch
        batches: list[Sequence[int]] = []

        def pop_up(typer: TextTyper, window: int, batch: Sequence[int], keycodes: Mapping[int, int]) -> bool:
            if len(batches) == 2:
                other.focus()
            batches.append(batch)
            return type_batch(typer, window, batch, keycodes)

        monkeypatch.setattr(TextTyper, "_type_batch", pop_up)
        with pytest.raises(ActionInterruptedError, match="after 128 of 200 characters"):
            controller.type("0123456789" * 20)
        assert len(first.take_keycodes()) == 128
        assert other.take_keycodes() == []


KILLED = """
import sys, time
sys.path.insert(0, {root!r})
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.x11.connection import connect
from envs.desktop.x11.input import X11Input
from envs.desktop.x11.modifiers import Modifiers
from envs.desktop.x11.sync import InputSync
cleanup = CleanupProcess()
cleanup.register(display={display!r})
controller = X11Input(connect({display!r}), cleanup)
InputSync.wait_until_processed = lambda *_: (print('now', flush=True), time.sleep(60))
controller.button('left', True)
with controller.chord(('ctrl', 'shift')):
    Modifiers.wait_for_release = lambda _: None
    controller.type('漢')
"""


def test_killed_process_restores_keys_and_map(display: str, request: pytest.FixtureRequest) -> None:
    """SIGKILL while typing, with keys and a button pressed."""
    keymap = read_keymap(display)
    code = KILLED.format(root=str(request.config.rootpath), display=display)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    assert read_keymap(display) != keymap
    assert pressed_state(display)[1] & 0x105 == 0x105
    process.kill()
    process.wait()
    eventually(lambda: read_keymap(display) == keymap and pressed_state(display) == (False, 0))
