"""The simulated phone's shell, with the commands that adb clients use and output in Android's shapes."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from PIL import Image

from envs.simulators.android import deviations, dumpsys
from envs.simulators.android.faults import Faults
from envs.simulators.android.hierarchy import dump_ui
from envs.simulators.android.input_command import InputCommand
from envs.simulators.android.input_methods import InputMethods
from envs.simulators.android.screen import APPS, BROWSER, BY_PACKAGE, PhoneScreen
from envs.simulators.android.shell_parser import STATUS, ShellSyntaxError, parse_line
from envs.simulators.android.shell_result import CommandError, ShellResult, text_result
from envs.simulators.android.sync_service import SyncService

VIEW = "android.intent.action.VIEW"
LAUNCHER_CATEGORY = "android.intent.category.LAUNCHER"
TABLES = ("system", "secure", "global")


class Shell:
    """The phone's system state and its commands, the methods named cmd_*."""

    def __init__(self, screen: PhoneScreen, faults: Faults, props: dict[str, str], keyboards: Sequence[str]) -> None:
        """Set up the system.

        Args:
            screen: the phone's screen.
            faults: the active faults.
            props: system properties.
            keyboards: installed input methods that take text over adb.
        """
        self.screen, self.faults, self.props = screen, faults, props
        self.files = SyncService()
        self.settings: dict[str, str] = {
            "global airplane_mode_on": "0",
            "global wifi_on": "1",
            "system screen_brightness": "102",
            "system haptic_feedback_enabled": "1",
        }
        self.input_methods = InputMethods(screen, self.settings, keyboards, faults)
        self.input = InputCommand(screen, faults)
        self.locked = False
        self.physical_displays: set[str] = {"0"}  # ids that `screencap -d` accepts
        self.log: list[tuple[str, ...]] = []  # the words of every command
        self.commands: dict[str, Callable[[list[str]], Awaitable[ShellResult]]] = {
            name.removeprefix("cmd_"): getattr(self, name) for name in dir(self) if name.startswith("cmd_")
        }

    async def run(self, line: str) -> ShellResult:
        """Run a line of shell commands."""
        try:
            commands = parse_line(line)
        except ShellSyntaxError as error:
            return ShellResult(err=f"{error}\n".encode(), code=2)
        out, err, code = b"", b"", 0
        for command in commands:
            if (command.joiner == "&&" and code) or (command.joiner == "||" and not code):
                continue
            result = await self._run_command([word.replace(STATUS, str(code)) for word in command.words])
            out, err, code = out + result.out, err + result.err, result.code
        return ShellResult(out, err, code)

    async def _run_command(self, words: list[str]) -> ShellResult:
        self.log.append(tuple(words))
        if (refusal := deviations.refuse(self.faults, words)) is not None:
            return refusal
        name, *arguments = deviations.change_words(self.faults, words)
        if name not in self.commands:
            return ShellResult(err=f"/system/bin/sh: {name}: inaccessible or not found\n".encode(), code=127)
        try:
            return await self.commands[name](arguments)
        except CommandError as error:
            return ShellResult(err=f"{error}\n".encode(), code=error.code)
        except (IndexError, ValueError):
            return ShellResult(err=f"Error: bad arguments for {name}: {' '.join(arguments)}\n".encode(), code=255)

    async def cmd_echo(self, words: list[str]) -> ShellResult:
        """Print the words."""
        return ShellResult(" ".join(words).encode() + b"\n")

    async def cmd_true(self, words: list[str]) -> ShellResult:
        """Succeed."""
        return ShellResult()

    async def cmd_false(self, words: list[str]) -> ShellResult:
        """Fail."""
        return ShellResult(code=1)

    async def cmd_ls(self, words: list[str]) -> ShellResult:
        """List a folder or a file."""
        path = words[-1] if words else "/sdcard"
        if not self.files.stat(path)[0]:
            raise CommandError(f"ls: {path}: No such file or directory")
        return text_result("\n".join([path] if path in self.files.contents else self.files.names(path)))

    async def cmd_rm(self, words: list[str]) -> ShellResult:
        """Remove files."""
        paths = [word for word in words if not word.startswith("-")]
        for path in paths:
            if self.files.contents.pop(path, None) is None and "-f" not in words:
                raise CommandError(f"rm: {path}: No such file or directory")
        return ShellResult()

    async def cmd_screencap(self, words: list[str]) -> ShellResult:
        """Take a screenshot, to standard output or to a file."""
        await asyncio.sleep(self.faults.slowcapture_s)
        if self.faults.consume("nocapture"):
            raise CommandError("Status: -22")
        if self.faults.consume("turning"):
            await self.screen.rotate(self.screen.rotation + 1)
        is_folded_away = self.faults.has("foldable")
        if "-d" in words:
            option = words.index("-d")
            physical_id = "".join(words[option + 1 : option + 2])
            words = words[:option] + words[option + 2 :]
            is_folded_away = is_folded_away and physical_id != deviations.INNER_DISPLAY
            if physical_id not in self._display_ids():
                raise CommandError(f"Display Id '{physical_id}' is not valid.")
        png = await self.screen.screenshot()
        is_secure = self.screen.current_app.secure or self.faults.has("secure")
        if self.input.asleep or is_secure or is_folded_away or self.faults.consume("black"):
            png = await asyncio.to_thread(_black_png, *self.screen.size)
        if self.faults.consume("truncated"):
            png = png[: len(png) * 3 // 5]
        paths = [word for word in words if not word.startswith("-")]
        if paths:
            self.files.contents[paths[0]] = png, int(time.time())
            return ShellResult()
        return ShellResult((deviations.WARNING if self.faults.has("capturewarning") else b"") + png)

    def _display_ids(self) -> set[str]:
        ids = {deviations.INNER_DISPLAY, deviations.OUTER_DISPLAY} if self.faults.has("foldable") else set()
        return ids | self.physical_displays

    async def cmd_wm(self, words: list[str]) -> ShellResult:
        """Print the screen's size or density."""
        if words == ["size"]:
            width, height = int(self.screen.width * self.screen.scale), int(self.screen.height * self.screen.scale)
            return text_result(f"Physical size: {width}x{height}")
        if words == ["density"]:
            return text_result(f"Physical density: {round(160 * self.screen.scale)}")
        raise CommandError(f"Error: the simulated phone has no wm {' '.join(words)}", 255)

    async def cmd_dumpsys(self, words: list[str]) -> ShellResult:
        """Print the state of a system service."""
        service = words[0] if words else ""
        if service == "input_method":
            is_bound = await self.screen.has_text_field() and self.input_methods.is_bound
            return text_result(dumpsys.dump_input_method(self.input_methods.current, is_bound))
        if service == "display":
            return text_result(dumpsys.dump_display(self.screen, self.input.asleep, self.faults.has("foldable")))
        if service == "window":
            return text_result(dumpsys.dump_window(self.screen.current_app, self.locked, self.faults.has("secure")))
        if service == "power":
            return text_result(dumpsys.dump_power(self.input.asleep))
        if service == "activity":
            return text_result(dumpsys.dump_activity(self.screen.current_app))
        return ShellResult(err=f"Can't find service: {' '.join(words)}\n".encode(), code=0)  # Android's exit status

    async def cmd_uiautomator(self, words: list[str]) -> ShellResult:
        """Dump the elements of the current app as XML."""
        if words != ["dump", "/dev/tty"]:
            raise CommandError(f"Error: the simulated phone has no uiautomator {' '.join(words)}", 255)
        screen = self.screen
        nodes = await screen.ui_nodes()
        return text_result(dump_ui(nodes, screen.current_app.package, screen.rotation, screen.scale, screen.size))

    async def cmd_input(self, words: list[str]) -> ShellResult:
        """Send touches and keys."""
        return await self.input.run_command(words)

    async def cmd_getprop(self, words: list[str]) -> ShellResult:
        """Print one system property, or all."""
        if words:
            return ShellResult(f"{self.props.get(words[0], '')}\n".encode())
        return text_result("\n".join(f"[{key}]: [{value}]" for key, value in sorted(self.props.items())))

    async def cmd_settings(self, words: list[str]) -> ShellResult:
        """Get, put or delete a setting."""
        verb, table = words[0], words[1]
        if table not in TABLES:
            raise CommandError(f"Invalid namespace '{table}'", 255)
        if verb == "get":
            return text_result(self.settings.get(f"{table} {words[2]}", "null"))
        if verb == "put":
            self.settings[f"{table} {words[2]}"] = words[3]
        elif verb == "delete":
            self.settings.pop(f"{table} {words[2]}", None)
        else:
            raise CommandError(f"Invalid command: {verb}", 255)
        return ShellResult()

    async def cmd_pm(self, words: list[str]) -> ShellResult:
        """List packages, or print a package's path."""
        keyboards = [ime.partition("/")[0] for ime in self.input_methods.installed]
        packages = [*BY_PACKAGE, *keyboards]
        if words[:2] == ["list", "packages"]:
            filters = [word for word in words[2:] if not word.startswith("-")]
            names = [name for name in packages if all(part in name for part in filters)]
            return text_result("\n".join(f"package:{name}" for name in names))
        if words[0] == "path":
            if words[1] not in packages:
                return ShellResult(code=1)
            return text_result(f"package:/data/app/{words[1]}/base.apk")
        raise CommandError(f"Unknown command: {words[0]}", 255)

    async def cmd_cmd(self, words: list[str]) -> ShellResult:
        """List the apps of the launcher, or run `input`."""
        if words[:2] == ["package", "query-activities"] and LAUNCHER_CATEGORY in words:
            names = [app.component for app in APPS]
            if self.faults.has("launchers"):
                names += [f"{app.package}/.SecondActivity" for app in APPS]
            return text_result("\n".join(names))
        if words[:1] == ["input"]:
            return await self.cmd_input(words[1:])
        raise CommandError(f"cmd: Can't find service: {' '.join(words[:2])}", 20)

    async def cmd_am(self, words: list[str]) -> ShellResult:
        """Start or stop an app, or send a broadcast."""
        if words[0] == "start":
            return await self._start_activity(words[1:])
        if words[0] == "broadcast":
            return await self.input_methods.broadcast(_parse_options(words[1:]))
        if words[0] == "force-stop":
            if words[1] in BY_PACKAGE:
                await self.screen.stop_app(BY_PACKAGE[words[1]])
            return ShellResult()
        raise CommandError(f"Unknown command: {words[0]}", 255)

    async def cmd_ime(self, words: list[str]) -> ShellResult:
        """List, enable, disable or select input methods."""
        return self.input_methods.run_command(words)

    async def _start_activity(self, words: list[str]) -> ShellResult:
        options = _parse_options(words)
        if component := options.get("-n", ""):
            intent = text_result(f"Starting: Intent {{ cmp={component} }}")
            app = BY_PACKAGE.get(component.partition("/")[0])
            if app is None:
                message = f"Error type 3\nError: Activity class {{{component}}} does not exist.\n"
                return ShellResult(intent.out, message.encode(), 1)
            await self.screen.open(app)
            return intent
        url = options.get("-d", "")
        if options.get("-a") == VIEW and urlsplit(url).scheme in ("http", "https", "about"):
            await self.screen.open(BROWSER, url)
            return text_result(f"Starting: Intent {{ act={VIEW} dat={url} }}")
        return ShellResult(err=b"Error: Activity not started, unable to resolve Intent\n", code=1)


def _parse_options(words: Sequence[str]) -> dict[str, str]:
    """Return the values of options; "--es NAME VALUE" has the key "--es NAME"."""
    options: dict[str, str] = {}
    index = 0
    while index < len(words):
        is_extra = words[index].startswith("--e") and index + 2 < len(words)
        key = f"{words[index]} {words[index + 1]}" if is_extra else words[index]
        value_index = index + (2 if is_extra else 1)
        options[key] = words[value_index] if value_index < len(words) else ""
        index = value_index + 1
    return options


def _black_png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
