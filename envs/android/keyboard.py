"""Keyboards that take any text over adb: borrowed for one text, and given back whatever happens. Knows no screen.

The user's keyboard is written down before it is changed. It is restored when the text is typed, also on an error; by a
small process beside ours when ours dies (envs.android.keeper); and at the next start where even that could not be.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from actions import InvalidActionError, SurfaceError
from envs.android import commands
from envs.android.adb import Phone
from envs.subprocesses import command

READY_S, POLL_S, BOUND_PAUSE_S = 5.0, 0.05, 0.05
BROADCAST_DONE = "result=-1"


class Keyboard(NamedTuple):
    """An input method and its broadcast. answers: it says whether it heard."""

    ime: str
    action: str
    answers: bool


KNOWN = (  # sources: the READMEs of senzhk/ADBKeyBoard and openatx/uiautomator2
    Keyboard("com.android.adbkeyboard/.AdbIME", "ADB_INPUT_B64", False),
    Keyboard("com.github.uiautomator/.AdbKeyboard", "ADB_KEYBOARD_INPUT_TEXT", True),
)


class KeyboardLease(NamedTuple):
    """What is written down: the phone, what to set again, and what to disable again ("" for nothing)."""

    serialno: str
    previous: str
    disable: str


def record_path(serialno: str) -> Path:
    """The file for one phone."""
    import platformdirs

    folder = platformdirs.user_state_path("pixelhand", appauthor=False) / "keyboards"
    return folder / f"{hashlib.sha256(serialno.encode()).hexdigest()[:16]}.json"


def restore(phone: Phone) -> bool:
    """Give back what an earlier run borrowed from this phone; whether there was anything. SurfaceError if it fails."""
    path = record_path(phone.serialno)
    try:
        borrowed = KeyboardLease(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError) as error:
        raise SurfaceError(f"{path} is damaged ({error}); check the phone's keyboard and delete the file") from None
    _give_back(phone, borrowed)
    path.unlink(missing_ok=True)
    return True


class KeyboardManager:
    """A phone's keyboards."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._keeper: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def acquire(self) -> Iterator[Keyboard]:
        """A keyboard that takes text, chosen and ready; afterwards the user's own again. BadCall where there is none,
        or where no text field has the focus: nothing was typed."""
        phone = self._phone
        installed = phone.query(commands.ALL_IMES).text.split()
        keyboard = next((one for one in KNOWN if one.ime in installed), None)
        if keyboard is None:
            raise InvalidActionError(
                "this phone takes only plain ASCII text over adb, and nothing was typed; tap the keys of its keyboard "
                "instead (a person can install ADBKeyBoard on it, then any text can be typed)"
            )
        previous = phone.query(commands.CURRENT_IME).text
        if previous == keyboard.ime:
            self._await_ready(keyboard)
            yield keyboard
            return
        was_enabled = keyboard.ime in phone.query(commands.ENABLED_IMES).text.split()
        previous = "" if previous == "null" else previous
        borrowed = KeyboardLease(phone.serialno, previous, "" if was_enabled else keyboard.ime)
        path = record_path(phone.serialno)
        _write(path, borrowed)
        self._watch(path)
        try:
            for verb in ("enable", "set"):
                answer = phone.query(commands.ime(verb, keyboard.ime))  # twice does no harm
                if answer.code:
                    raise SurfaceError(f"the phone refused to {verb} the keyboard {keyboard.ime}: {answer.said}")
            self._await_ready(keyboard)
            yield keyboard
        finally:
            _give_back(phone, borrowed)
            path.unlink(missing_ok=True)

    def commit(self, keyboard: Keyboard, text: str) -> None:
        """Have the keyboard put in a text. SurfaceError when it says that it did not."""
        encoded = base64.b64encode(text.encode()).decode()
        answer = self._phone.execute(commands.broadcast_text(keyboard.action, encoded))
        if answer.code or (keyboard.answers and BROADCAST_DONE not in answer.text):
            raise SurfaceError(f"the keyboard {keyboard.ime} did not take the text: {answer.said}")

    def close(self) -> None:
        """End the process that watches over us."""
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(2.0)
            self._keeper = None

    def _await_ready(self, keyboard: Keyboard) -> None:
        """A broadcast to a keyboard that is not there yet is lost without a word."""
        deadline = time.monotonic() + READY_S
        while True:
            dump = self._phone.query(commands.INPUT_METHOD).text
            if f"mCurMethodId={keyboard.ime}" in dump and "mBoundToMethod=false" not in dump:
                time.sleep(BOUND_PAUSE_S)
                return
            if time.monotonic() > deadline:
                raise InvalidActionError(
                    "no text field takes what is typed, and nothing was typed; tap a text field, look, and type again"
                )
            time.sleep(POLL_S)

    def _watch(self, record: Path) -> None:
        if self._keeper is not None and self._keeper.poll() is None:
            return
        self._keeper = subprocess.Popen(
            command("envs.android.keyboard_cleanup", self._phone.serial, str(self._phone.server.port), str(record)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in our terminal is for us
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if os.name == "nt" else 0,
        )


def _give_back(phone: Phone, borrowed: KeyboardLease) -> None:
    """The user's keyboard again, unless they have chosen another one since: then that one stays."""
    ours = {one.ime for one in KNOWN}
    if borrowed.previous and phone.query(commands.CURRENT_IME).text in ours:
        phone.query(commands.ime("set", borrowed.previous))
    if borrowed.disable:
        phone.query(commands.ime("disable", borrowed.disable))
    now = phone.query(commands.CURRENT_IME).text
    if borrowed.previous and now in ours - {borrowed.previous}:
        raise SurfaceError(
            f"the phone's keyboard is {now} and could not be set back to {borrowed.previous}; choose it in its settings"
        )


def _write(path: Path, borrowed: KeyboardLease) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(borrowed._asdict()))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
