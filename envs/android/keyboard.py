"""Input methods that accept any text over adb, selected for one text and replaced by the user's own afterwards.

The user's keyboard is recorded in a file before it is changed. It is restored when the text has been typed, also after
an error; by a separate process when this one is killed; and at the next start if even that failed.
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
from envs.android import commands, failures
from envs.android.adb import CommandResult, Phone
from envs.subprocesses import command

READY_S, POLL_S, BOUND_PAUSE_S = 5.0, 0.05, 0.05
BROADCAST_OK = "result=-1"


class InputMethod(NamedTuple):
    """A keyboard app that types the text of a broadcast."""

    ime: str  # its component
    action: str  # of the broadcast
    confirms: bool  # whether the broadcast's result confirms the text

    @property
    def package(self) -> str:
        """The app's package."""
        return self.ime.partition("/")[0]


INPUT_METHODS = (  # sources: the READMEs of senzhk/ADBKeyBoard and openatx/uiautomator2
    InputMethod("com.android.adbkeyboard/.AdbIME", "ADB_INPUT_B64", False),
    InputMethod("com.github.uiautomator/.AdbKeyboard", "ADB_KEYBOARD_INPUT_TEXT", True),
)
OUR_IMES = frozenset(method.ime for method in INPUT_METHODS)


class KeyboardLease(NamedTuple):
    """What the record file holds: how to restore a phone's keyboard."""

    serialno: str
    previous: str  # the user's input method; "" for none
    disable: str  # an input method to disable again; "" for none


def record_path(serialno: str) -> Path:
    """Return the path of a phone's record."""
    import platformdirs

    folder = platformdirs.user_state_path("pixelhand", appauthor=False) / "keyboards"
    return folder / f"{hashlib.sha256(serialno.encode()).hexdigest()[:16]}.json"


def restore_keyboard(phone: Phone) -> bool:
    """Restore the keyboard that an earlier run left changed; return whether there was a record.

    Raises:
        SurfaceError: if the record is damaged or the keyboard cannot be restored.
    """
    path = record_path(phone.serialno)
    try:
        lease = KeyboardLease(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError) as error:
        raise SurfaceError(f"{path} is damaged ({error}); check the phone's keyboard and delete the file") from None
    _restore(phone, lease)
    path.unlink(missing_ok=True)
    return True


def is_field_focused(phone: Phone) -> bool:
    """Return whether the selected input method is bound to a text field, as far as the phone reports it."""
    return "mBoundToMethod=false" not in phone.query(commands.INPUT_METHOD).text


class KeyboardManager:
    """Selects input methods on a phone."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._cleanup: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def acquire(self) -> Iterator[InputMethod]:
        """Select an input method for the duration of the block and wait until it is ready.

        Raises:
            InvalidActionError: if none is installed, the phone refuses to change the keyboard, or no text field has the
                focus; nothing was typed then.
        """
        phone = self._phone
        listing = phone.query(commands.ALL_IMES)
        _check_accepted(listing, "list its keyboards")
        installed = listing.text.split()
        method = next((method for method in INPUT_METHODS if method.ime in installed), None)
        if method is None:
            raise InvalidActionError(
                "this phone accepts only ASCII text over adb, and nothing was typed; tap the keys of its keyboard "
                "instead (the user can install ADBKeyBoard to make any text possible)"
            )
        previous = phone.query(commands.CURRENT_IME).text
        if previous == method.ime:
            self._wait_until_ready(method)
            yield method
            return
        was_enabled = method.ime in phone.query(commands.ENABLED_IMES).text.split()
        previous = "" if previous == "null" else previous
        lease = KeyboardLease(phone.serialno, previous, "" if was_enabled else method.ime)
        path = record_path(phone.serialno)
        _write_record(path, lease)
        self._start_cleanup(path)
        try:
            for verb in ("enable", "set"):
                result = phone.query(commands.ime(verb, method.ime))  # repeating it is harmless
                _check_accepted(result, f"{verb} the keyboard {method.ime}")
            self._wait_until_ready(method)
            yield method
        finally:
            _restore(phone, lease)
            path.unlink(missing_ok=True)

    def commit_text(self, method: InputMethod, text: str) -> None:
        """Type a text through an input method.

        Raises:
            SurfaceError: if the phone or the input method reports a failure.
        """
        encoded = base64.b64encode(text.encode()).decode()
        result = self._phone.execute(commands.broadcast_text(method.action, method.package, encoded))
        if failures.has_failed(result) or (method.confirms and BROADCAST_OK not in result.text):
            raise SurfaceError(f"the keyboard {method.ime} did not type the text: {result.message}")

    def close(self) -> None:
        """End the clean-up process."""
        if self._cleanup is not None and self._cleanup.stdin is not None:
            self._cleanup.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._cleanup.wait(2.0)
            self._cleanup = None

    def _wait_until_ready(self, method: InputMethod) -> None:
        """Wait until an input method is bound to a text field: a broadcast before that is silently lost."""
        deadline = time.monotonic() + READY_S
        while True:
            dump = self._phone.query(commands.INPUT_METHOD).text
            is_selected = f"mCurMethodId={method.ime}" in dump
            if is_selected and "mBoundToMethod=false" not in dump:
                time.sleep(BOUND_PAUSE_S)
                return
            if time.monotonic() > deadline:
                current = self._phone.query(commands.CURRENT_IME).text
                if not is_selected and current != method.ime:
                    raise InvalidActionError(
                        f"the phone kept its own keyboard ({current[:80]}) although {method.ime} was selected, and "
                        "nothing was typed; tap the keys of its keyboard instead"
                    )
                raise InvalidActionError(
                    "no text field has the focus, and nothing was typed; tap a text field, look, and type again"
                )
            time.sleep(POLL_S)

    def _start_cleanup(self, record: Path) -> None:
        if self._cleanup is not None and self._cleanup.poll() is None:
            return
        self._cleanup = subprocess.Popen(
            command("envs.android.keyboard_cleanup", self._phone.serial, str(self._phone.server.port), str(record)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if os.name == "nt" else 0,
        )


def _check_accepted(result: CommandResult, purpose: str) -> None:
    if failures.has_failed(result):
        raise InvalidActionError(
            f"the phone refused to {purpose} ({result.message or f'exit code {result.code}'}), and nothing was typed; "
            "tap the keys of its keyboard instead (the user can allow it in the phone's developer options: "
            "USB debugging (Security settings))"
        )


def _restore(phone: Phone, lease: KeyboardLease) -> None:
    """Restore the user's keyboard, unless they have selected another one since."""
    if lease.previous and phone.query(commands.CURRENT_IME).text in OUR_IMES:
        phone.query(commands.ime("set", lease.previous))
    if lease.disable:
        phone.query(commands.ime("disable", lease.disable))
    current = phone.query(commands.CURRENT_IME).text
    if lease.previous and current in OUR_IMES - {lease.previous}:
        raise SurfaceError(
            f"the phone's keyboard is {current} and could not be set back to {lease.previous}; "
            "choose it in the phone's settings"
        )


def _write_record(path: Path, lease: KeyboardLease) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(lease._asdict()))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
