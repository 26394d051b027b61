"""Typed text arrives exactly through the real adb and the phone's shell, or is refused; keyboards are restored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from helpers.eventually import eventually

from actions import InvalidActionError, SurfaceError, TypeText
from envs.android import keyboard
from envs.simulators.android.input_methods import ADB_KEYBOARD, DEFAULT, LATIN_IME, U2_KEYBOARD
from envs.simulators.android.phone import SimulatedPhone
from envs.simulators.android.shell_result import ShellResult
from envs.surfaces.android import Surface

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
UNICODE = ["é", "Olá zł €5 你好 😀 <a@b>", "Привет\nмир", "مرحبا 'x'; $(id)", "e\u0301 नमस्ते", "日本語" * 300]


def is_restored(phone: SimulatedPhone) -> bool:
    methods = phone.shell.input_methods
    return methods.current == LATIN_IME and methods.enabled == [LATIN_IME]


def has_record() -> bool:
    return bool(list(keyboard.record_path("x").parent.glob("*.json")))


def select_adb_keyboard(phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(phone.shell.settings, DEFAULT, ADB_KEYBOARD)
    monkeypatch.setattr(phone.shell.input_methods, "enabled", [LATIN_IME, ADB_KEYBOARD])


@pytest.mark.parametrize("text", ASCII)
def test_ascii_text_is_exact(surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, text: str) -> None:
    assert surface.perform(TypeText(text=text)) == ""
    assert read_note() == text
    assert {words[0] for words in phone.shell.log} <= {"input", "dumpsys", "uiautomator"}


@pytest.mark.parametrize("text", UNICODE)
def test_unicode_text_uses_a_keyboard(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, text: str
) -> None:
    assert surface.perform(TypeText(text=text)) == ""
    assert read_note() == text
    assert ("ime", "set", ADB_KEYBOARD) in phone.shell.log
    assert is_restored(phone)
    assert not has_record()


def test_tab_moves_to_next_field(surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone) -> None:
    surface.perform(TypeText(text="here\t"))
    assert read_note() == "here"
    assert phone.evaluate("document.activeElement.id") == "save"


def test_uiautomator2_keyboard_is_supported(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone.shell.input_methods, "installed", [LATIN_IME, U2_KEYBOARD])
    surface.perform(TypeText(text="naïve ☕"))
    assert read_note() == "naïve ☕"
    assert is_restored(phone)


def test_missing_keyboard_refuses_unicode(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone.shell.input_methods, "installed", [LATIN_IME])
    with pytest.raises(InvalidActionError, match="accepts only ASCII text over adb, and nothing was typed"):
        surface.perform(TypeText(text="abc é"))
    assert read_note() == ""
    assert is_restored(phone)


def test_missing_text_field_refuses_and_restores(
    surface: Surface, phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyboard, "READY_S", 0.3)
    surface.capture()
    with pytest.raises(InvalidActionError, match="tap a text field"):
        surface.perform(TypeText(text="é"))
    assert is_restored(phone)


REFUSAL = (
    b"\nException occurred while executing 'ime':\njava.lang.SecurityException: uid 2000 does not have "
    b"android.permission.WRITE_SECURE_SETTINGS.\n\tat android.app.ContextImpl.enforce(ContextImpl.java:2089)\n"
)


@pytest.mark.parametrize("result", [ShellResult(err=REFUSAL, code=255), ShellResult(REFUSAL)])
@pytest.mark.parametrize("verb", ["list", "enable", "set"])
def test_refused_ime_command_is_named(
    surface: Surface,
    read_note: Callable[[], str],
    phone: SimulatedPhone,
    monkeypatch: pytest.MonkeyPatch,
    result: ShellResult,
    verb: str,
) -> None:
    """A phone without "USB debugging (Security settings)", not one without ADBKeyBoard."""

    async def refuse(words: list[str]) -> ShellResult:
        return result if words[0] == verb else phone.shell.input_methods.run_command(words)

    monkeypatch.setitem(phone.shell.commands, "ime", refuse)
    with pytest.raises(InvalidActionError, match=r"the phone refused to .*SecurityException.*nothing was typed"):
        surface.perform(TypeText(text="grüße 船"))
    assert read_note() == ""
    assert is_restored(phone)


def test_broadcast_names_its_package(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many phones deliver no broadcast without a package."""
    run = phone.shell.cmd_am

    async def require_package(words: list[str]) -> ShellResult:
        if words[0] == "broadcast" and "-p" not in words:
            return ShellResult(b"Broadcasting: Intent { }\nBroadcast completed: result=0\n")
        return await run(words)

    monkeypatch.setitem(phone.shell.commands, "am", require_package)
    assert surface.perform(TypeText(text="红色的船")) == ""
    assert read_note() == "红色的船"


def test_lost_broadcast_is_a_notice(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(words: list[str]) -> ShellResult:
        return ShellResult(b"Broadcasting: Intent { }\nBroadcast completed: result=0\n")

    monkeypatch.setitem(phone.shell.commands, "am", lose)
    assert "the text field reads ''" in surface.perform(TypeText(text="红色的船"))
    assert read_note() == ""


def test_lost_broadcast_without_dump_is_a_notice(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a dump of the field, an unchanged screen tells that the text is missing."""

    async def fail(words: list[str]) -> ShellResult:
        return ShellResult(err=b"ERROR: could not get idle state.\n")

    phone.evaluate(
        "document.head.append(Object.assign(document.createElement('style'), "
        "{textContent: '* {caret-color: transparent}'}))"
    )
    monkeypatch.setitem(phone.shell.commands, "uiautomator", fail)
    phone.fault("lostbroadcast:1")
    assert "the text may not have been typed" in surface.perform(TypeText(text="红色的船"))
    assert read_note() == ""


def test_ascii_text_without_field_is_a_notice(surface: Surface) -> None:
    surface.capture()
    assert "no text field had the focus" in surface.perform(TypeText(text="abc"))


def test_keyboard_selected_by_user_stays(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    select_adb_keyboard(phone, monkeypatch)
    surface.perform(TypeText(text="é"))
    assert read_note() == "é"
    assert phone.shell.input_methods.current == ADB_KEYBOARD
    assert not [words for words in phone.shell.log if words[:2] in (("ime", "set"), ("ime", "enable"))]


def test_error_while_typing_restores_keyboard(
    surface: Surface, read_note: Callable[[], str], phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        assert phone.shell.input_methods.current == ADB_KEYBOARD
        raise SurfaceError("in the middle")

    monkeypatch.setattr(surface._keyboards, "commit_text", fail)
    with pytest.raises(SurfaceError, match="in the middle"):
        surface.perform(TypeText(text="é"))
    assert is_restored(phone)


KILLED = """
import sys, time
from envs.surfaces.android import Surface
surface = Surface(sys.argv[1])
with surface._keyboards.acquire():
    print("acquired", flush=True)
    time.sleep(60)
"""


def test_killed_run_restores_keyboard(phone: SimulatedPhone, read_note: Callable[[], str]) -> None:
    """SIGKILL skips all finally blocks; the clean-up process restores the keyboard."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, phone.address], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"acquired\n"
    assert phone.shell.input_methods.current == ADB_KEYBOARD
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    eventually(lambda: is_restored(phone) and not has_record())


def test_next_run_restores_recorded_keyboard(phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone was away or the computer crashed: only the record is left."""
    select_adb_keyboard(phone, monkeypatch)
    path = keyboard.record_path(phone.serialno)
    keyboard._write_record(path, keyboard.KeyboardLease(phone.serialno, LATIN_IME, ADB_KEYBOARD))
    with Surface(phone.address) as surface:
        assert "the phone's own is restored" in surface.pop_notices()
    assert is_restored(phone)
    assert not path.exists()


def test_damaged_record_is_an_error(phone: SimulatedPhone) -> None:
    path = keyboard.record_path(phone.serialno)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"previous": 3}))
    with pytest.raises(SurfaceError, match="is damaged"):
        Surface(phone.address)


def test_cleanup_process_ends_with_surface(surface: Surface, read_note: Callable[[], str]) -> None:
    surface.perform(TypeText(text="é"))
    process = surface._keyboards._cleanup
    assert process is not None
    assert process.poll() is None
    surface.close()
    assert process.wait(30) == 0
