"""Text on the phone is exact, through the real adb and the phone's own shell, or it is refused; keyboards come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from actions import InvalidActionError, SurfaceError, TypeText
from envs.android import keyboard as keyboards
from envs.simulators.android.commands import ADB_KEYBOARD, LATIN_IME, U2_KEYBOARD

ASCII = [
    "plain",
    "two words  and  spaces ",
    "100%s of it, %%s, %d, %",
    "'single' \"double\" `back`",
    "$(reboot) ${HOME} $HOME",
    "; reboot & || && | > < ( )",
    "a\\b \\n \\\\",
    "*?[a-z]{1,2}~!#^",
    "-n --es msg",
    "first\nsecond\n\nlast",
    "".join(map(chr, range(32, 127))),
]
OTHER = ["é", "Olá zł €5 你好 😀 <a@b>", "Привет\nмир", "مرحبا 'x'; $(id)", "e\u0301 नमस्ते", "日本語" * 300]


def current_ime(phone):
    return phone.commands.settings["secure default_input_method"]


def given_back(phone):
    return current_ime(phone) == LATIN_IME and phone.commands.enabled == [LATIN_IME]


@pytest.mark.parametrize("text", ASCII)
def test_ascii_is_exact(surface, in_notes, fresh, text):
    assert surface.perform(TypeText(text=text)) == ""
    assert in_notes() == text
    assert not [words for words in fresh.commands.log if words[0] not in ("input", "dumpsys")]


@pytest.mark.parametrize("text", OTHER)
def test_all_else_goes_through_a_keyboard_that_is_given_back(surface, in_notes, fresh, text):
    assert surface.perform(TypeText(text=text)) == ""
    assert in_notes() == text
    assert ("ime", "set", ADB_KEYBOARD) in fresh.commands.log
    assert given_back(fresh) and not list(keyboards.record_path("x").parent.glob("*.json"))


def test_a_tab_goes_to_the_next_field(surface, in_notes, fresh):
    surface.perform(TypeText(text="here\t"))
    assert in_notes() == "here" and fresh.evaluate("document.activeElement.id") == "save"


def test_uiautomator2s_keyboard_serves_too(surface, in_notes, fresh, monkeypatch):
    monkeypatch.setattr(fresh.commands, "installed", [LATIN_IME, U2_KEYBOARD])
    surface.perform(TypeText(text="naïve ☕"))
    assert in_notes() == "naïve ☕" and given_back(fresh)


def test_without_such_a_keyboard_nothing_is_typed_and_the_model_reads_why(surface, in_notes, fresh, monkeypatch):
    monkeypatch.setattr(fresh.commands, "installed", [LATIN_IME])
    with pytest.raises(InvalidActionError, match="takes only plain ASCII text over adb, and nothing was typed"):
        surface.perform(TypeText(text="abc é"))
    assert in_notes() == "" and given_back(fresh)


def test_without_a_text_field_nothing_is_typed_and_the_keyboard_is_given_back(surface, fresh, monkeypatch):
    monkeypatch.setattr(keyboards, "READY_S", 0.3)
    surface.capture()
    with pytest.raises(InvalidActionError, match="tap a text field"):
        surface.perform(TypeText(text="é"))
    assert given_back(fresh)


def test_a_keyboard_that_a_person_chose_is_left_alone(surface, in_notes, fresh, monkeypatch):
    monkeypatch.setitem(fresh.commands.settings, "secure default_input_method", ADB_KEYBOARD)
    monkeypatch.setattr(fresh.commands, "enabled", [LATIN_IME, ADB_KEYBOARD])
    surface.perform(TypeText(text="é"))
    assert in_notes() == "é" and current_ime(fresh) == ADB_KEYBOARD
    assert not [words for words in fresh.commands.log if words[:2] in (("ime", "set"), ("ime", "enable"))]


def test_an_error_in_the_middle_gives_the_keyboard_back(surface, in_notes, fresh, monkeypatch):
    def breaks(*_):
        assert current_ime(fresh) == ADB_KEYBOARD
        raise SurfaceError("in the middle")

    monkeypatch.setattr(surface._keyboards, "commit", breaks)
    with pytest.raises(SurfaceError, match="in the middle"):
        surface.perform(TypeText(text="é"))
    assert given_back(fresh)


KILLED = """
import sys, time
from envs.surfaces.android import Surface
surface = Surface(sys.argv[1])
with surface._keyboards.borrowed():
    print("borrowed", flush=True)
    time.sleep(60)
"""


def killed_while_it_types(fresh, environ):
    """A run of its own that is killed, past all its finally blocks, while it has the keyboard."""
    run = subprocess.Popen([sys.executable, "-c", KILLED, fresh.address], stdout=subprocess.PIPE, env=environ)
    assert run.stdout is not None and run.stdout.readline() == b"borrowed\n"
    assert current_ime(fresh) == ADB_KEYBOARD
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    run.stdout.close()


def test_a_run_that_is_killed_leaves_no_keyboard_behind(fresh, in_notes, until):
    killed_while_it_types(fresh, os.environ)
    until(lambda: given_back(fresh), 30)  # by the process beside it
    until(lambda: not list(keyboards.record_path("x").parent.glob("*.json")))


def test_what_even_that_could_not_mend_the_next_run_does(fresh, monkeypatch):
    """The phone was away, or the computer went down: only the record is left."""
    from envs.surfaces.android import Surface

    monkeypatch.setitem(fresh.commands.settings, "secure default_input_method", ADB_KEYBOARD)
    monkeypatch.setattr(fresh.commands, "enabled", [LATIN_IME, ADB_KEYBOARD])
    path = keyboards.record_path(fresh.serialno)
    keyboards._write(path, keyboards.KeyboardLease(fresh.serialno, LATIN_IME, ADB_KEYBOARD))
    with Surface(fresh.address) as surface:
        assert "the phone's is set again" in surface.pop_notices()
    assert given_back(fresh) and not path.exists()


def test_a_damaged_record_is_said_and_not_guessed(fresh):
    from envs.surfaces.android import Surface

    path = keyboards.record_path(fresh.serialno)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"previous": 3}))
    with pytest.raises(SurfaceError, match="is damaged"):
        Surface(fresh.address)


def test_the_watching_process_ends_with_the_surface(fresh, surface, in_notes):
    surface.perform(TypeText(text="é"))
    keeper = surface._keyboards._keeper
    assert keeper is not None and keeper.poll() is None
    began = time.monotonic()
    surface.close()
    keeper.wait(20)
    assert time.monotonic() - began < 20 and keeper.returncode == 0
