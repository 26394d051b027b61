"""Input methods of the simulated phone: the `ime` command and broadcasts with text.

Sources: AOSP InputMethodManagerService.java; the READMEs of ADBKeyBoard and uiautomator2.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence

from envs.simulators.android.faults import Faults
from envs.simulators.android.screen import PhoneScreen
from envs.simulators.android.shell_result import CommandError, ShellResult, text_result

LATIN_IME = "com.android.inputmethod.latin/.LatinIME"
ADB_KEYBOARD = "com.android.adbkeyboard/.AdbIME"
U2_KEYBOARD = "com.github.uiautomator/.AdbKeyboard"
DEFAULT, ENABLED = "secure default_input_method", "secure enabled_input_methods"  # keys in the settings
BIND_S = 0.15  # until a selected keyboard receives broadcasts
RESULT_OK = -1  # Activity.RESULT_OK


class InputMethods:
    """The installed, enabled and selected input methods."""

    def __init__(self, screen: PhoneScreen, settings: dict[str, str], keyboards: Sequence[str], faults: Faults) -> None:
        """Install keyboards beside the default one; the selected and enabled ones are kept in the settings."""
        self._screen = screen
        self._settings = settings
        self._faults = faults
        self.installed = [LATIN_IME, *keyboards]
        self.enabled = [LATIN_IME]
        self._bound_at = 0.0  # time.monotonic() at which the selected keyboard is ready
        settings[DEFAULT] = settings[ENABLED] = LATIN_IME

    @property
    def current(self) -> str:
        """The selected input method."""
        return self._settings[DEFAULT]

    @property
    def is_bound(self) -> bool:
        """Whether the selected input method receives broadcasts."""
        return time.monotonic() >= self._bound_at

    def run_command(self, words: Sequence[str]) -> ShellResult:
        """Run `ime list`, `enable`, `disable` or `set`."""
        verb, arguments = words[0], [word for word in words[1:] if not word.startswith("-")]
        installed = [LATIN_IME] if self._faults.has("nokeyboard") else self.installed
        if verb == "list":
            return text_result("\n".join(installed if "-a" in words else self.enabled))
        ime = arguments[0]
        if ime not in installed:
            raise CommandError(f"Unknown input method {ime} cannot be {verb}d for user #0", 255)
        if verb == "enable":
            self.enabled = [*self.enabled, ime] if ime not in self.enabled else self.enabled
            message = f"Input method {ime}: now enabled for user #0"
        elif verb == "disable":
            self.enabled = [name for name in self.enabled if name != ime]
            if self.current == ime:
                self._select(LATIN_IME)
            message = f"Input method {ime}: now disabled for user #0"
        elif verb == "set":
            if ime not in self.enabled:
                raise CommandError(f"Unknown input method {ime} cannot be selected for user #0", 255)
            self._select(ime)
            message = f"Input method {ime} selected for user #0"
        else:
            raise CommandError(f"Unknown command: {verb}", 255)
        self._settings[ENABLED] = ":".join(self.enabled)
        return text_result(message)

    async def broadcast(self, options: Mapping[str, str]) -> ShellResult:
        """Run `am broadcast`: the selected input method types the text of its own broadcast."""
        action, current = options.get("-a", ""), self.current
        first_line = f"Broadcasting: Intent {{ act={action} flg=0x400000 (has extras) }}"
        result = 0
        text = options.get("--es msg", "") if action == "ADB_INPUT_B64" else options.get("--es text", "")
        receivers = {"ADB_INPUT_B64": ADB_KEYBOARD, "ADB_KEYBOARD_INPUT_TEXT": U2_KEYBOARD}
        is_addressed = options.get("-p", "") in ("", current.partition("/")[0])
        if self.is_bound and is_addressed and receivers.get(action) == current:
            try:
                await self._screen.insert(base64.b64decode(text, validate=True).decode())
            except (binascii.Error, UnicodeDecodeError):
                return text_result(f"{first_line}\nBroadcast completed: result=0")
            result = RESULT_OK if current == U2_KEYBOARD else 0  # ADBKeyBoard sets no result
        return text_result(f"{first_line}\nBroadcast completed: result={result}")

    def _select(self, ime: str) -> None:
        if self.current != ime and not self._faults.has("stickyime"):
            self._settings[DEFAULT] = ime
            self._bound_at = time.monotonic() + BIND_S
