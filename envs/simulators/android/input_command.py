"""The simulated phone's `input` command. Source: AOSP InputShellCommand.java."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from envs.simulators.android.faults import Faults
from envs.simulators.android.screen import PhoneScreen
from envs.simulators.android.shell_result import CommandError, ShellResult, text_result

HOLD_S = 0.6  # before a drag-and-drop starts to move: longer than Android's long press, 0.5 s
POWER_KEYS = ("KEYCODE_POWER", "KEYCODE_WAKEUP", "KEYCODE_SLEEP")
UNMAPPED = ("KEYCODE_VOLUME", "KEYCODE_CAMERA", "KEYCODE_CLEAR")  # prefixes of keys that the page ignores
NEW_VERBS = ("keycombination", "motionevent", "draganddrop")  # since Android 10 to 12
KEYCODES = {  # KeyEvent.java
    3: "HOME", 4: "BACK", 19: "DPAD_UP", 20: "DPAD_DOWN", 21: "DPAD_LEFT", 22: "DPAD_RIGHT", 24: "VOLUME_UP",
    25: "VOLUME_DOWN", 26: "POWER", 61: "TAB", 62: "SPACE", 66: "ENTER", 67: "DEL", 82: "MENU", 111: "ESCAPE",
    112: "FORWARD_DEL", 122: "MOVE_HOME", 123: "MOVE_END", 187: "APP_SWITCH", 223: "SLEEP", 224: "WAKEUP",
}  # fmt: skip


class InputCommand:
    """Touches and keys."""

    def __init__(self, screen: PhoneScreen, faults: Faults) -> None:
        self._screen = screen
        self._faults = faults
        self.asleep = False  # the screen is off

    async def run_command(self, words: Sequence[str]) -> ShellResult:
        """Run `input`."""
        if words and words[0] in ("touchscreen", "keyboard"):
            words = words[1:]
        verb, arguments = words[0], words[1:]
        if self._faults.oldinput and verb in NEW_VERBS:
            return text_result(f"Unknown command: {verb}")  # on standard output, with exit status 0
        if self.asleep and verb != "keyevent":
            return ShellResult()
        if verb == "text":
            await self._type(arguments[0])
        elif verb == "keyevent":
            for name in arguments:
                if name != "--longpress":
                    await self._press_key(name)
        elif verb == "keycombination":
            await self._press([name for name in arguments if not name.isdigit() and name != "-t"])
        elif verb == "tap":
            point = _pixel(arguments[0]), _pixel(arguments[1])
            await self._screen.touch(point, point, 0.0)
        elif verb in ("swipe", "draganddrop"):
            x, y, to_x, to_y = (_pixel(word) for word in arguments[:4])
            seconds = int(arguments[4]) / 1000 if len(arguments) > 4 else 0.3
            hold_s = HOLD_S if verb == "draganddrop" else 0.0
            await self._screen.touch((x, y), (to_x, to_y), seconds, hold_s)
        elif verb == "motionevent":
            await self._move_finger(arguments[0].upper(), (_pixel(arguments[1]), _pixel(arguments[2])))
        else:
            raise CommandError(f"Error: Unknown command: {verb}", 255)
        return ShellResult()

    async def _type(self, text: str) -> None:
        """Type like sendText: `%s` is a space, and a character without a key is an exception."""
        text = text.replace("%s", " ")
        if any(not " " <= character <= "~" for character in text):
            raise CommandError("java.lang.NullPointerException: Attempt to get length of null array", 255)
        await self._screen.type(text)

    async def _press_key(self, name: str) -> None:
        name = f"KEYCODE_{KEYCODES[int(name)]}" if name.isdigit() and int(name) in KEYCODES else name
        name = name if name.startswith("KEYCODE_") else f"KEYCODE_{name}"
        system_keys: dict[str, Callable[[], Awaitable[None]]] = {
            "KEYCODE_HOME": self._screen.go_home,
            "KEYCODE_BACK": self._screen.go_back,
            "KEYCODE_APP_SWITCH": self._screen.show_recents,
        }
        if name in POWER_KEYS:
            self.asleep = {"KEYCODE_POWER": not self.asleep, "KEYCODE_SLEEP": True}.get(name, False)
        elif self.asleep:
            return
        elif name in system_keys:
            await system_keys[name]()
        else:
            await self._press([name])

    async def _press(self, names: Sequence[str]) -> None:
        try:
            await self._screen.press([name if name.startswith("KEYCODE_") else f"KEYCODE_{name}" for name in names])
        except KeyError as error:
            if not str(error).strip("'").startswith(UNMAPPED):
                raise CommandError(f"Error: Unknown keycode: {error}", 255) from None

    async def _move_finger(self, kind: str, point: tuple[int, int]) -> None:
        if kind == "DOWN":
            await self._screen.finger_down(point)
        elif kind == "MOVE":
            await self._screen.finger_move(point)
        elif kind in ("UP", "CANCEL"):
            await self._screen.finger_move(point)
            await self._screen.finger_up()
        else:
            raise ValueError(kind)


def _pixel(word: str) -> int:
    return int(float(word))
