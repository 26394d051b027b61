"""Typing on X11, read back by a client that decodes keysyms and by a real Tk program; nothing stays changed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.desktop_programs import TK_PAD, keymap, link, need, pressed, soon, started, tk_python, x_server
from helpers.typed_strings import STRINGS

from actions import InvalidActionError, SurfaceError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import ActionInterruptedError
from envs.desktop.x11.input import X11Input
from envs.desktop.x11.keyboard import keysym
from envs.desktop.x11.windows import Windows


@contextlib.contextmanager
def hands_on(display):
    keeper, connection = CleanupProcess(), link(display)
    keeper.register(display=display)
    try:
        yield X11Input(connection, keeper)
    finally:
        connection.close()
        keeper.close()


@pytest.fixture
def hands(display):
    with hands_on(display) as made:
        yield made


@pytest.fixture(scope="module")
def pad(display, tmp_path_factory):
    """clear() and read() of a Tk text field that has the focus."""
    path = tmp_path_factory.mktemp("tk") / "text"
    with started([tk_python(), str(TK_PAD), str(path)], display):
        soon(path.exists)
        connection = link(display)
        soon(lambda: getattr(connection.get_input_focus().focus, "id", 0) > 1)

        class Pad:
            @staticmethod
            def clear():
                path.unlink(missing_ok=True)
                soon(lambda: path.exists() and path.read_bytes() == b"")

            @staticmethod
            def read(expected):
                end = time.monotonic() + 5
                while (text := path.read_bytes().decode()) != expected and time.monotonic() < end:
                    time.sleep(0.02)
                return text

        yield Pad
        connection.close()


@pytest.mark.parametrize("text", [STRINGS[2], STRINGS[4], STRINGS[12], STRINGS[17], STRINGS[18], STRINGS[22] + "\n."])
def test_a_tk_program_has_exactly_the_text(hands, pad, display, text):
    before = keymap(display)
    pad.clear()
    hands.type(text)
    assert pad.read(text) == text
    assert keymap(display) == before and pressed(display) == (False, 0)


def test_more_foreign_characters_than_spare_keycodes(hands, pad):
    text = "".join(chr(0x4E00 + 7 * n) for n in range(60))
    pad.clear()
    hands.type(text)
    assert pad.read(text) == text


def test_a_program_that_knows_no_ping_gets_its_time(hands, pad, monkeypatch):
    monkeypatch.setattr("envs.desktop.x11.keyboard.Keyboard._pingable", lambda _: None)
    pad.clear()
    hands.type("żółw 漢字")
    assert pad.read("żółw 漢字") == "żółw 漢字"


def test_caps_lock_does_not_show_in_the_text_and_is_on_again_after(hands, pad, display):
    with hands.chord(("capslock",)):
        pass
    try:
        assert pressed(display)[1] & 2
        pad.clear()
        hands.type("quiet é LOUD")
        with hands.chord(("x",)):  # a key alone is a character, too
            pass
        assert pad.read("quiet é LOUDx") == "quiet é LOUDx"
        assert pressed(display)[1] & 2
    finally:
        with hands.chord(("capslock",)):
            pass
    assert not pressed(display)[1] & 2


def test_another_layout_changes_no_text(hands, pad, display):
    """Y and Z change places, as in Germany: no table of a layout is assumed."""
    connection = link(display)
    first = connection.display.info.min_keycode
    y, z = connection.keysym_to_keycode(ord("y")), connection.keysym_to_keycode(ord("z"))
    rows = connection.get_keyboard_mapping(first, z - first + y)
    of_y, of_z = list(rows[y - first]), list(rows[z - first])
    try:
        connection.change_keyboard_mapping(y, [of_z])
        connection.change_keyboard_mapping(z, [of_y])
        connection.sync()
        pad.clear()
        hands.type("lazy Zany")
        assert pad.read("lazy Zany") == "lazy Zany"
    finally:
        connection.change_keyboard_mapping(y, [of_y])
        connection.change_keyboard_mapping(z, [of_z])
        connection.close()


def test_a_held_shift_is_waited_for_and_then_said(hands, pad, display, monkeypatch):
    monkeypatch.setattr("envs.desktop.x11.keyboard.HELD_S", 0.2)
    with hands.chord(("shift",)), pytest.raises(SurfaceError, match="Shift is held down"):
        hands.type("x")
    with hands.chord(("shift",)), pytest.raises(SurfaceError, match="Shift is held down"), hands.chord(("ctrl", "c")):
        pass  # would be ctrl+shift+c
    assert pressed(display) == (False, 0)


def test_what_is_no_character_is_refused_before_anything_is_typed(hands, pad):
    pad.clear()
    for text in ("good\ufffe", "a\x85", "b\ufdd0"):
        with pytest.raises(InvalidActionError, match="no character that can be typed"):
            hands.type(text)
    time.sleep(0.1)
    assert pad.read("") == ""


def test_keysyms_are_those_of_the_standard():
    assert [keysym(c) for c in "a é€😀"] == [0x61, 0x20, 0xE9, 0x010020AC, 0x0101F600]


def test_chords_reach_the_program(hands, pad):
    pad.clear()
    hands.type("one two")
    pad.read("one two")
    with hands.chord(("ctrl", "a")):  # Tk on X11: to the beginning of the line
        pass
    hands.type("é")
    with hands.chord(("shift", "end")):
        pass
    with hands.chord(("delete",)):
        pass
    assert pad.read("é") == "é"
    with hands.chord(("ł",)):  # a character that no key has, pressed alone
        pass
    with hands.chord(("+",)):  # and one that needs shift
        pass
    assert pad.read("éł+") == "éł+"


def test_a_program_that_hangs_is_said_and_the_map_restored(hands, display, tmp_path, monkeypatch):
    monkeypatch.setattr("envs.desktop.x11.keyboard.PING_S", 0.5)
    before = keymap(display)
    need("mousepad")
    with started(["mousepad", "--disable-server", str(tmp_path / "hanging")], display) as program:
        connection = link(display)
        windows = Windows(connection)
        soon(lambda: [w for w in windows.all() if "hanging" in w.title and windows.box(w.id)])
        assert windows.bring_front(windows.find("hanging").id)
        os.kill(program.pid, signal.SIGSTOP)
        with pytest.raises(SurfaceError, match="no sign of life"):
            hands.type("é")
        connection.close()
    assert keymap(display) == before


class Raw:
    """A window of its own connection that takes the focus and notes the keycodes that it gets. With pings it says that
    it knows them, and never answers one."""

    def __init__(self, display, left, pings=False):
        from Xlib import X, Xatom

        self.link = link(display)
        self.window = self.link.screen().root.create_window(left, 0, 90, 60, 0, 24, event_mask=X.KeyPressMask)
        if pings:
            names = [self.link.intern_atom(name) for name in ("WM_PROTOCOLS", "_NET_WM_PING")]
            self.window.change_property(names[0], Xatom.ATOM, 32, names[1:])
        self.window.map()
        self.link.sync()
        soon(lambda: self.window.get_attributes().map_state == X.IsViewable)
        self.focus()

    def focus(self):
        from Xlib import X

        self.window.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.link.sync()

    def got(self):
        """Keycodes since the last time."""
        from Xlib import X

        self.link.sync()
        events = [self.link.next_event() for _ in range(self.link.pending_events())]
        return [event.detail for event in events if event.type == X.KeyPress]

    def close_on(self, keycode, then):
        """A thread that closes the window on a key, whereupon another one gets the focus."""

        def live():
            while keycode not in self.got():
                time.sleep(0.001)
            self.window.destroy()
            self.link.sync()
            then.focus()

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        return thread


@pytest.mark.parametrize("pings", [False, True])
@pytest.mark.parametrize("text", ["yes\nmove all to the bin", "tak, żółć\n你好"])
def test_what_is_left_of_a_text_whose_window_closed_goes_nowhere(text, pings, monkeypatch):
    monkeypatch.setattr("envs.desktop.x11.keyboard.ENTER_S", 1.0)  # the thread that closes it may be slow
    with x_server() as display, hands_on(display) as hands:
        before = keymap(display)
        behind = Raw(display, 0)
        dialog = Raw(display, 200, pings)
        closing = dialog.close_on(dialog.link.keysym_to_keycode(0xFF0D), behind)
        began = time.monotonic()
        with pytest.raises(
            ActionInterruptedError, match=f"after {text.index(chr(10)) + 1} of {len(text)} characters, and the rest"
        ):
            hands.type(text)
        assert time.monotonic() - began < 8  # what is gone is not waited for
        closing.join(10)
        assert behind.got() == [] and keymap(display) == before
        hands.type("more")
        assert len(behind.got()) == 4


def test_a_window_that_pops_up_in_a_long_text_gets_nothing_of_it(monkeypatch):
    with x_server() as display, hands_on(display) as hands:
        other = Raw(display, 200)
        first = Raw(display, 0)
        strike, pieces = type(hands._keyboard)._strike_at, []

        def pop_up(keyboard, place, piece, lent):
            if len(pieces) == 2:
                other.focus()
            pieces.append(piece)
            return strike(keyboard, place, piece, lent)

        monkeypatch.setattr("envs.desktop.x11.keyboard.Keyboard._strike_at", pop_up)
        with pytest.raises(ActionInterruptedError, match="after 128 of 200 characters"):
            hands.type("0123456789" * 20)
        assert len(first.got()) == 128 and other.got() == []


KILLED = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from envs.desktop.keeper import Keeper
from envs.desktop.x11.connect import connect
from envs.desktop.x11.hands import X11Hands
from envs.desktop.x11.keyboard import Keyboard
keeper = Keeper()
keeper.register(display={display!r})
hands = X11Hands(connect({display!r}), keeper)
Keyboard._until_read = lambda *_: (print('now', flush=True), time.sleep(60))
hands.button('left', True)
with hands.chord(('ctrl', 'shift')):
    Keyboard._until_free = lambda _: None
    hands.type('漢')
"""


def test_a_killed_process_leaves_no_key_held_and_the_map_as_it_was(display, request):
    """SIGKILL in the middle of a text, with keys and a button down: the keeper puts it right."""
    before = keymap(display)
    code = KILLED.format(root=str(request.config.rootpath), display=display)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline() == b"now\n"
    assert keymap(display) != before and pressed(display)[1] & 0x105 == 0x105
    child.kill()
    child.wait()
    soon(lambda: keymap(display) == before and pressed(display) == (False, 0))
