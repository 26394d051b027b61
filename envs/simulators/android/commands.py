"""What the simulated phone's shell can do: screencap, input, wm, dumpsys, getprop, settings, am, pm, cmd, ime.

Knows Android's words and the shapes of its answers, as far as adb clients read them; knows no connection.
Sources: AOSP InputShellCommand.java, InputMethodManagerService.java, DisplayViewport.java; the READMEs of ADBKeyBoard
and uiautomator2.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from envs.simulators.android.faults import Faults
from envs.simulators.android.screen import APPS, BROWSER, BY_PACKAGE, PhoneScreen
from envs.simulators.android.shell_parser import STATUS, ShellSyntax, parse
from envs.simulators.android.sync_service import SyncService

LATIN_IME = "com.android.inputmethod.latin/.LatinIME"
ADB_KEYBOARD = "com.android.adbkeyboard/.AdbIME"
U2_KEYBOARD = "com.github.uiautomator/.AdbKeyboard"
BIND_S = 0.15  # until a keyboard that was chosen takes what is sent to it
HOLD_S = 0.6  # before a drag-and-drop begins to move: longer than Android's long press, 0.5 s
NUMBERED = {  # KeyEvent.java
    3: "HOME", 4: "BACK", 19: "DPAD_UP", 20: "DPAD_DOWN", 21: "DPAD_LEFT", 22: "DPAD_RIGHT", 24: "VOLUME_UP",
    25: "VOLUME_DOWN", 26: "POWER", 61: "TAB", 62: "SPACE", 66: "ENTER", 67: "DEL", 82: "MENU", 111: "ESCAPE",
    112: "FORWARD_DEL", 122: "MOVE_HOME", 123: "MOVE_END", 187: "APP_SWITCH", 223: "SLEEP", 224: "WAKEUP",
}  # fmt: skip


class Answer(NamedTuple):
    """What a command said, and its exit status."""

    out: bytes = b""
    err: bytes = b""
    code: int = 0


class CommandError(Exception):
    """A command that failed: its message, and its exit status."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def _said(text: str) -> Answer:
    return Answer(f"{text}\n".encode() if text else b"")


class Shell:
    """The phone's own state and its commands. keyboards: which of those that take text over adb are installed."""

    def __init__(self, glass: PhoneScreen, faults: Faults, props: dict[str, str], keyboards: Sequence[str]) -> None:
        self.glass, self.faults, self.props = glass, faults, props
        self.files = SyncService()
        self.installed = [LATIN_IME, *keyboards]
        self.enabled = [LATIN_IME]
        self.bound_s = 0.0  # time.monotonic() at which the current keyboard is ready
        self.settings: dict[str, str] = {
            "secure default_input_method": LATIN_IME,
            "secure enabled_input_methods": LATIN_IME,
            "global airplane_mode_on": "0",
            "global wifi_on": "1",
            "system screen_brightness": "102",
            "system haptic_feedback_enabled": "1",
        }
        self.asleep = self.locked = False
        self.log: list[tuple[str, ...]] = []  # every command as the shell understood it
        self._table: dict[str, Callable[[list[str]], Awaitable[Answer]]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    async def run(self, line: str) -> Answer:
        """A line of the shell, to its end."""
        try:
            commands = parse(line)
        except ShellSyntax as error:
            return Answer(err=f"{error}\n".encode(), code=2)
        out, err, code = b"", b"", 0
        for command in commands:
            if (command.joiner == "&&" and code) or (command.joiner == "||" and not code):
                continue
            answer = await self._one([word.replace(STATUS, str(code)) for word in command.words])
            out, err, code = out + answer.out, err + answer.err, answer.code
        return Answer(out, err, code)

    async def _one(self, words: list[str]) -> Answer:
        self.log.append(tuple(words))
        name, *rest = words
        if name not in self._table:
            return Answer(err=f"/system/bin/sh: {name}: inaccessible or not found\n".encode(), code=127)
        try:
            return await self._table[name](rest)
        except CommandError as error:
            return Answer(err=f"{error}\n".encode(), code=error.code)
        except (IndexError, ValueError):
            return Answer(err=f"Error: bad arguments for {name}: {' '.join(rest)}\n".encode(), code=255)

    # the shell's own

    async def do_echo(self, words: list[str]) -> Answer:
        return Answer(" ".join(words).encode() + b"\n")

    async def do_true(self, words: list[str]) -> Answer:
        return Answer()

    async def do_false(self, words: list[str]) -> Answer:
        return Answer(code=1)

    async def do_ls(self, words: list[str]) -> Answer:
        path = words[-1] if words else "/sdcard"
        if not self.files.stat(path)[0]:
            raise CommandError(f"ls: {path}: No such file or directory")
        return _said("\n".join([path] if path in self.files.contents else self.files.names(path)))

    async def do_rm(self, words: list[str]) -> Answer:
        paths = [word for word in words if not word.startswith("-")]
        for path in paths:
            if self.files.contents.pop(path, None) is None and "-f" not in words:
                raise CommandError(f"rm: {path}: No such file or directory")
        return Answer()

    # what is seen

    async def do_screencap(self, words: list[str]) -> Answer:
        if self.faults.spend("nocapture"):
            raise CommandError("Status: -22")
        png = await self.glass.picture()
        if self.asleep or self.glass.shown.secure or self.faults.spend("black"):
            png = await asyncio.to_thread(_black, *self.glass.size)
        if self.faults.spend("truncated"):
            png = png[: len(png) * 3 // 5]
        paths = [word for word in words if not word.startswith("-")]
        if paths:
            self.files.contents[paths[0]] = png, int(time.time())
            return Answer()
        return Answer(png)

    async def do_wm(self, words: list[str]) -> Answer:
        if words == ["size"]:
            width, height = int(self.glass.width * self.glass.scale), int(self.glass.height * self.glass.scale)
            return _said(f"Physical size: {width}x{height}")
        if words == ["density"]:
            return _said(f"Physical density: {self.density}")
        raise CommandError(f"Error: the simulated phone has no wm {' '.join(words)}", 255)

    @property
    def density(self) -> int:
        return round(160 * self.glass.scale)

    async def do_dumpsys(self, words: list[str]) -> Answer:
        dumps = {"display": self._display, "window": self._window, "power": self._power, "activity": self._activity}
        if words[:1] == ["input_method"]:
            return _said(self._input_method(await self.glass.has_text_field()))
        if not words or words[0] not in dumps:
            return Answer(err=f"Can't find service: {' '.join(words)}\n".encode(), code=0)  # Android's own status
        return _said(dumps[words[0]]())

    def _display(self) -> str:
        width, height = self.glass.size
        across, down = (height, width) if self.glass.rotation % 2 else (width, height)
        return (
            "DISPLAY MANAGER (dumpsys display)\n"
            "  mViewports=[DisplayViewport{type=INTERNAL, valid=true, isActive=true, displayId=0, "
            f"uniqueId='local:0', physicalPort=0, orientation={self.glass.rotation}, "
            f"logicalFrame=Rect(0, 0 - {width}, {height}), physicalFrame=Rect(0, 0 - {width}, {height}), "
            f"deviceWidth={across}, deviceHeight={down}}}]\n"
            "Display States: size=1\n  Display Id=0\n"
            f"  Display State={'OFF' if self.asleep else 'ON'}"
        )

    def _window(self) -> str:
        app = self.glass.shown
        flags = "LAYOUT_IN_SCREEN " + ("SECURE " if app.secure else "") + "HARDWARE_ACCELERATED"
        window = f"Window{{5f3a1c2 u0 {app.package}/{app.package}.MainActivity}}"
        return (
            "WINDOW MANAGER POLICY STATE (dumpsys window policy)\n"
            f"    showing={str(self.locked).lower()} isKeyguardShowing={str(self.locked).lower()}\n"
            f"    mShowingDream=false mDreamingLockscreen={str(self.locked).lower()}\n"
            "WINDOW MANAGER WINDOWS (dumpsys window windows)\n"
            f"  Window #0 {window}:\n    mDisplayId=0 rootTaskId=1\n"
            f"    mAttrs={{(0,0)(fillxfill) sim={{adjust=resize}} ty=BASE_APPLICATION\n      fl={flags}}}\n"
            f"  mCurrentFocus={window}\n"
            f"  mFocusedApp=ActivityRecord{{31c6e2f u0 {app.component} t7}}"
        )

    def _power(self) -> str:
        return (
            "POWER MANAGER (dumpsys power)\n"
            f"  mWakefulness={'Asleep' if self.asleep else 'Awake'}\n"
            f"  mHoldingDisplaySuspendBlocker={str(not self.asleep).lower()}\n"
            f"Display Power: state={'OFF' if self.asleep else 'ON'}"
        )

    def _activity(self) -> str:
        app = self.glass.shown
        record = f"ActivityRecord{{31c6e2f u0 {app.component} t7}}"
        return f"  ACTIVITY {app.component} 31c6e2f pid=4211\n  mResumedActivity: {record}"

    def _input_method(self, has_text_field: bool) -> str:
        bound = str(has_text_field and time.monotonic() >= self.bound_s).lower()
        current = self.settings["secure default_input_method"]
        state = f"mCurMethodId={current}\n  mHaveConnection=true mBoundToMethod={bound}"
        return f"Current Input Method Manager state:\n  {state}"

    # what is done

    async def do_input(self, words: list[str]) -> Answer:
        if words and words[0] in ("touchscreen", "keyboard"):
            words = words[1:]
        verb, rest = words[0], words[1:]
        if self.asleep and verb != "keyevent":
            return Answer()
        if verb == "text":
            await self._text(rest[0])
        elif verb == "keyevent":
            for name in rest:
                if name != "--longpress":
                    await self._key(name)
        elif verb == "keycombination":
            await self._press([name for name in rest if not name.isdigit() and name != "-t"])
        elif verb == "tap":
            point = _pixel(rest[0]), _pixel(rest[1])
            await self.glass.touch(point, point, 0.0)
        elif verb in ("swipe", "draganddrop"):
            x, y, to_x, to_y = (_pixel(word) for word in rest[:4])
            seconds = int(rest[4]) / 1000 if len(rest) > 4 else 0.3
            hold_s = HOLD_S if verb == "draganddrop" else 0.0
            await self.glass.touch((x, y), (to_x, to_y), seconds, hold_s)
        elif verb == "motionevent":
            await self._motion(rest[0].upper(), (_pixel(rest[1]), _pixel(rest[2])))
        else:
            raise CommandError(f"Error: Unknown command: {verb}", 255)
        return Answer()

    async def _text(self, text: str) -> None:
        """As InputShellCommand.sendText: `%s` is a space, and a character that no key has is an exception."""
        typed = text.replace("%s", " ")
        if any(not " " <= char <= "~" for char in typed):
            raise CommandError("java.lang.NullPointerException: Attempt to get length of null array", 255)
        await self.glass.type(typed)

    async def _key(self, name: str) -> None:
        name = f"KEYCODE_{NUMBERED[int(name)]}" if name.isdigit() and int(name) in NUMBERED else name
        name = name if name.startswith("KEYCODE_") else f"KEYCODE_{name}"
        own: dict[str, Callable[[], Awaitable[None]]] = {
            "KEYCODE_HOME": self.glass.go_home,
            "KEYCODE_BACK": self.glass.go_back,
            "KEYCODE_APP_SWITCH": self.glass.show_recents,
        }
        if name in ("KEYCODE_POWER", "KEYCODE_WAKEUP", "KEYCODE_SLEEP"):
            self.asleep = {"KEYCODE_POWER": not self.asleep, "KEYCODE_SLEEP": True}.get(name, False)
        elif self.asleep:
            return
        elif name in own:
            await own[name]()
        else:
            await self._press([name])

    async def _press(self, names: Sequence[str]) -> None:
        try:
            await self.glass.press([name if name.startswith("KEYCODE_") else f"KEYCODE_{name}" for name in names])
        except KeyError as error:
            if not str(error).strip("'").startswith(("KEYCODE_VOLUME", "KEYCODE_CAMERA", "KEYCODE_CLEAR")):
                raise CommandError(f"Error: Unknown keycode: {error}", 255) from None

    async def _motion(self, kind: str, point: tuple[int, int]) -> None:
        if kind == "DOWN":
            await self.glass.finger_down(point)
        elif kind == "MOVE":
            await self.glass.finger_move(point)
        elif kind in ("UP", "CANCEL"):
            await self.glass.finger_move(point)
            await self.glass.finger_up()
        else:
            raise ValueError(kind)

    # apps and settings

    async def do_getprop(self, words: list[str]) -> Answer:
        if words:
            return Answer(f"{self.props.get(words[0], '')}\n".encode())
        return _said("\n".join(f"[{key}]: [{value}]" for key, value in sorted(self.props.items())))

    async def do_settings(self, words: list[str]) -> Answer:
        verb, table = words[0], words[1]
        if table not in ("system", "secure", "global"):
            raise CommandError(f"Invalid namespace '{table}'", 255)
        if verb == "get":
            return _said(self.settings.get(f"{table} {words[2]}", "null"))
        if verb == "put":
            self.settings[f"{table} {words[2]}"] = words[3]
        elif verb == "delete":
            self.settings.pop(f"{table} {words[2]}", None)
        else:
            raise CommandError(f"Invalid command: {verb}", 255)
        return Answer()

    async def do_pm(self, words: list[str]) -> Answer:
        keyboards = [ime.partition("/")[0] for ime in self.installed]
        if words[:2] == ["list", "packages"]:
            named = [*BY_PACKAGE, *keyboards]
            wanted = [word for word in words[2:] if not word.startswith("-")]
            return _said("\n".join(f"package:{name}" for name in named if all(part in name for part in wanted)))
        if words[0] == "path":
            if words[1] not in (*BY_PACKAGE, *keyboards):
                return Answer(code=1)
            return _said(f"package:/data/app/{words[1]}/base.apk")
        raise CommandError(f"Unknown command: {words[0]}", 255)

    async def do_cmd(self, words: list[str]) -> Answer:
        if words[:2] == ["package", "query-activities"] and "android.intent.category.LAUNCHER" in words:
            return _said("\n".join(app.component for app in APPS))
        if words[:1] == ["input"]:
            return await self.do_input(words[1:])
        raise CommandError(f"cmd: Can't find service: {' '.join(words[:2])}", 20)

    async def do_am(self, words: list[str]) -> Answer:
        if words[0] == "start":
            return await self._start(words[1:])
        if words[0] == "broadcast":
            return await self._broadcast(words[1:])
        if words[0] == "force-stop":
            if words[1] in BY_PACKAGE:
                await self.glass.stop_app(BY_PACKAGE[words[1]])
            return Answer()
        raise CommandError(f"Unknown command: {words[0]}", 255)

    async def _start(self, words: list[str]) -> Answer:
        options = _options(words)
        if component := options.get("-n", ""):
            app = BY_PACKAGE.get(component.partition("/")[0])
            if app is None:
                return Answer(_said(f"Starting: Intent {{ cmp={component} }}").out, _missing(component), 1)
            await self.glass.open(app)
            return _said(f"Starting: Intent {{ cmp={component} }}")
        address = options.get("-d", "")
        if options.get("-a") == "android.intent.action.VIEW" and urlsplit(address).scheme in ("http", "https", "about"):
            await self.glass.open(BROWSER, address)
            return _said(f"Starting: Intent {{ act=android.intent.action.VIEW dat={address} }}")
        return Answer(err=b"Error: Activity not started, unable to resolve Intent\n", code=1)

    async def _broadcast(self, words: list[str]) -> Answer:
        options = _options(words)
        action, current = options.get("-a", ""), self.settings["secure default_input_method"]
        head = f"Broadcasting: Intent {{ act={action} flg=0x400000 (has extras) }}"
        ready, result = time.monotonic() >= self.bound_s, 0
        text = options.get("--es msg", "") if action == "ADB_INPUT_B64" else options.get("--es text", "")
        if ready and (action, current) in (("ADB_INPUT_B64", ADB_KEYBOARD), ("ADB_KEYBOARD_INPUT_TEXT", U2_KEYBOARD)):
            try:
                await self.glass.insert(base64.b64decode(text, validate=True).decode())
            except (binascii.Error, UnicodeDecodeError):
                return _said(f"{head}\nBroadcast completed: result=0")
            result = -1 if current == U2_KEYBOARD else 0  # ADBKeyBoard tells nobody whether it heard
        return _said(f"{head}\nBroadcast completed: result={result}")

    async def do_ime(self, words: list[str]) -> Answer:
        verb, rest = words[0], [word for word in words[1:] if not word.startswith("-")]
        if verb == "list":
            return _said("\n".join(self.installed if "-a" in words else self.enabled))
        wanted = rest[0]
        if wanted not in self.installed:
            raise CommandError(f"Unknown input method {wanted} cannot be {verb}d for user #0", 255)
        if verb == "enable":
            self.enabled = [*self.enabled, wanted] if wanted not in self.enabled else self.enabled
            said = f"Input method {wanted}: now enabled for user #0"
        elif verb == "disable":
            self.enabled = [one for one in self.enabled if one != wanted]
            if self.settings["secure default_input_method"] == wanted:
                self._choose(LATIN_IME)
            said = f"Input method {wanted}: now disabled for user #0"
        elif verb == "set":
            if wanted not in self.enabled:
                raise CommandError(f"Unknown input method {wanted} cannot be selected for user #0", 255)
            self._choose(wanted)
            said = f"Input method {wanted} selected for user #0"
        else:
            raise CommandError(f"Unknown command: {verb}", 255)
        self.settings["secure enabled_input_methods"] = ":".join(self.enabled)
        return _said(said)

    def _choose(self, ime: str) -> None:
        if self.settings["secure default_input_method"] != ime:
            self.settings["secure default_input_method"] = ime
            self.bound_s = time.monotonic() + BIND_S


def _pixel(word: str) -> int:
    return int(float(word))


def _options(words: Sequence[str]) -> dict[str, str]:
    """ "-a" and "-n" by their names, "--es msg" by both of its words."""
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        wide = words[at].startswith("--e") and at + 2 < len(words)
        key = f"{words[at]} {words[at + 1]}" if wide else words[at]
        value_at = at + (2 if wide else 1)
        options[key] = words[value_at] if value_at < len(words) else ""
        at = value_at + 1
    return options


def _missing(component: str) -> bytes:
    return f"Error type 3\nError: Activity class {{{component}}} does not exist.\n".encode()


def _black(width: int, height: int) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
