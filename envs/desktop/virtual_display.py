"""A desktop of its own: Xvfb, a window manager, and Chromium or a program. Knows processes; touches no other display.

Everything it starts leads a process group of its own and is ended by its id, by the keeper when this process is killed;
so is what those programs start and let go of, which is known by a mark in its environment.
What it starts is cut off from the person's session: no session bus, no settings, no Wayland, so that a program cannot
open its window on the person's desktop instead.
"""

from __future__ import annotations

import os
import secrets
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS
from envs.chromium.launch import use_sandbox
from envs.desktop.cleanup_process import (
    PROCESS_TAG,
    CleanupProcess,
    end_processes,
    process_start_time,
    tagged_processes,
)
from envs.desktop.devtools import Devtools
from envs.desktop.x11.connection import connect, write_cookie
from envs.desktop.x11.windows import Windows
from envs.miniwob import pages

START_S = 20.0
BROWSER_START_S = 60.0
INSTALL = "as root: apt-get install xvfb jwm"
GREY = 0x6B7780  # an empty desktop is not black: black is what a failed picture looks like
OWN_SESSION = frozenset(  # variables that lead a program to the person's own desktop
    {
        "WAYLAND_DISPLAY",
        "WAYLAND_SOCKET",
        "SESSION_MANAGER",
        "AT_SPI_BUS_ADDRESS",
        "XDG_ACTIVATION_TOKEN",
        "DESKTOP_STARTUP_ID",
    }
)
PIPES = 'exec 3<"/dev/fd/$1" 4>"/dev/fd/$2"; shift 2; exec "$@"'  # Chromium's pipes have these two numbers

OPENBOX = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <focus><focusNew>yes</focusNew></focus>
  <desktops><number>1</number></desktops>
  <keyboard><keybind key="A-F4"><action name="Close"/></keybind></keyboard>
  <mouse>
    <context name="Titlebar">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Left" action="Drag"><action name="Move"/></mousebind>
      <mousebind button="Left" action="DoubleClick"><action name="ToggleMaximize"/></mousebind>
    </context>
    <context name="Client">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Middle" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Right" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
    </context>
    <context name="Close">
      <mousebind button="Left" action="Click"><action name="Close"/></mousebind>
    </context>
    <context name="Maximize">
      <mousebind button="Left" action="Click"><action name="ToggleMaximize"/></mousebind>
    </context>
    <context name="Iconify">
      <mousebind button="Left" action="Click"><action name="Iconify"/></mousebind>
    </context>
  </mouse>
  <applications>{rules}</applications>
</openbox_config>
"""
OPENBOX_BARE = '<application class="*"><decor>no</decor></application>'
JWM = """<?xml version="1.0"?>
<JWM>
  {rules}
  <FocusModel>click</FocusModel>
  <Desktops width="1" height="1"/>
  <Key mask="A" key="F4">close</Key>
</JWM>
"""
JWM_BARE = "<Group><Class>.*</Class><Option>noborder</Option><Option>notitle</Option></Group>"


class VirtualDesktop:
    """width x height pixels. UsageError when a program is missing or cannot start.

    url: what Chromium opens; program: a command line to start in its stead. A practice address brings its own size.
    """

    def __init__(self, url: str = "", program: str = "", width: int = 1288, height: int = 728) -> None:
        if url and program:
            raise UsageError("a virtual desktop opens an address or a program, not both; name one")
        page = pages.page(pages.task_name(url)) if pages.is_miniwob_address(url) else None
        command = _command(program) if program else []
        tools = _tools()
        self.width, self.height = page.screen_size if page else (width, height)
        self.page = page
        self.devtools: Devtools | None = None
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._told: set[str] = set()
        self._closed = False
        self._folder = Path(tempfile.mkdtemp(prefix="pixelhand-desktop-"))
        self.keeper = CleanupProcess()
        self.keeper.register(folders=[str(self._folder)], pids=[], mark=str(self._folder))
        try:
            self.authority = self._folder / "cookie"
            self.display = self._start_server(tools["server"])
            self._environ = self._environment()
            connection = connect(self.display, self._environ)
            try:
                self._dress(connection, tools["manager"])
                self._open(connection, url, command)
            finally:
                connection.close()
        except BaseException:
            self.close()
            raise

    @property
    def environ(self) -> Mapping[str, str]:
        """What a process needs to be on this desktop."""
        return self._environ

    def pids(self) -> list[int]:
        """Of what it started, as far as it runs."""
        return [child.pid for _, child in self._children if child.poll() is None]

    def check(self) -> str:
        """A note when a program was closed meanwhile, "" if none. SurfaceError when one was killed or has crashed."""
        for name, child in self._children:
            code = child.poll()
            if code is None or name in self._told:
                continue
            if code == 0 and name not in ("the X server", "the window manager"):
                self._told.add(name)
                return f"{name} was closed"
            how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
            raise SurfaceError(f"{name} of the virtual desktop {how}{self._last_words(name)}; start the run again")
        return ""

    def close(self) -> None:
        """End what was started, by id. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        end_processes([*self._ids(), *tagged_processes(str(self._folder))])
        for _, child in self._children:
            try:
                child.wait(1.0)
            except subprocess.TimeoutExpired:  # neither asked nor killed: it hangs in the kernel
                continue
        if self.devtools:
            self.devtools.close()
        self.keeper.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # starting

    def _start_server(self, program: str) -> str:
        secret = secrets.token_bytes(16)
        write_cookie(self.authority, None, secret)
        read, write = os.pipe()
        size = f"{self.width}x{self.height}x24"
        command = [program, "-displayfd", str(write), "-screen", "0", size, "-auth", str(self.authority)]
        command += ["-nolisten", "tcp", "-noreset", "-dpi", "96"]
        try:
            self._run("the X server", command, dict(os.environ), keep=(write,))
            os.close(write)
            number = _line(read, START_S)
        finally:
            os.close(read)
        if not number:
            self.check()
            raise SurfaceError(f"Xvfb said no display number within {START_S:.0f} s{self._last_words('the X server')}")
        return f":{number.decode()}"

    def _environment(self) -> dict[str, str]:
        """The person's, but for what leads to their own session."""
        environ = {name: value for name, value in os.environ.items() if name not in OWN_SESSION}
        runtime = self._folder / "runtime"  # a Wayland client without WAYLAND_DISPLAY tries wayland-0 in this folder
        runtime.mkdir(mode=0o700, exist_ok=True)
        environ |= {
            PROCESS_TAG: str(self._folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "DISPLAY": self.display,
            "XAUTHORITY": str(self.authority),
            "XDG_SESSION_TYPE": "x11",
            "GDK_BACKEND": "x11",
            "QT_QPA_PLATFORM": "xcb",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
        }
        for name in ("GTK_IM_MODULE", "QT_IM_MODULE", "XMODIFIERS", "GDK_SCALE", "QT_SCALE_FACTOR"):
            environ.pop(name, None)
        locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
        if "utf" not in locale.lower():  # else older toolkits read no more than ASCII from the keyboard
            environ.pop("LC_ALL", None)
            environ["LC_CTYPE"] = "C.UTF-8"
        return environ

    def _dress(self, connection: Any, manager: str) -> None:
        """A ground that is not black, and a window manager that is ready."""
        root = connection.screen().root
        root.change_attributes(background_pixel=GREY)
        root.clear_area()
        connection.sync()
        settings = self._folder / "manager.xml"
        bare = self.page is not None
        if Path(manager).name == "openbox":
            settings.write_text(OPENBOX.format(rules=OPENBOX_BARE if bare else ""))
            command = [manager, "--sm-disable", "--config-file", str(settings)]
        else:
            settings.write_text(JWM.format(rules=JWM_BARE if bare else ""))
            command = [manager, "-f", str(settings)]
        self._run("the window manager", command, self._environ)
        check = connection.intern_atom("_NET_SUPPORTING_WM_CHECK")
        self._wait(lambda: root.get_full_property(check, 0), START_S, "the window manager is not ready")

    def _open(self, connection: Any, url: str, command: Sequence[str]) -> None:
        windows = Windows(connection)
        if command:
            self._run(Path(command[0]).name, command, self._environ)
            self._wait(lambda: _shown(windows), START_S, f"{command[0]} shows no window")
            return
        line, limit_s = self._browser(url), BROWSER_START_S
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        line = ["/bin/sh", "-c", PIPES, "sh", str(to_read), str(from_write), *line]
        try:
            self._run("Chromium", line, self._environ, keep=(to_read, from_write))
        finally:
            os.close(to_read)
            os.close(from_write)
        self.devtools = Devtools(to_write, from_read)
        try:
            self.devtools.attach(pages.init_js() + _viewport_js(self.page) if self.page else "", limit_s)
            if self.page:  # a browser's window is at least 500 points wide; its page need not be
                fields = {"width": self.width, "height": self.height, "deviceScaleFactor": 1, "mobile": False}
                self.devtools.send("Emulation.setDeviceMetricsOverride", fields)
        except SurfaceError:
            self.check()  # says more, when it ended
            raise
        self._wait(lambda: _shown(windows), limit_s, "Chromium shows no window")

    def _browser(self, url: str) -> list[str]:
        """Chromium's command line: for a practice page the same drawing as the browser surface's, without a frame."""
        page = self.page
        line = [str(find_chrome()), *BROWSER_FLAGS]
        line += [
            "--remote-debugging-pipe",
            f"--user-data-dir={self._folder / 'profile'}",
            "--no-default-browser-check",
            "--force-color-profile=srgb",
            "--password-store=basic",
            "--disable-features=Translate",
            "--window-position=0,0",
            "--ozone-platform=x11",
        ]
        if not use_sandbox():
            line += ["--no-sandbox", "--test-type"]  # the second hides the bar that warns of the first
        if page:
            line += [
                "--blink-settings=viewportEnabled=true,viewportMetaEnabled=true",
                f"--window-size={self.width},{self.height}",
            ]
            return [*line, "--kiosk", "--app=about:blank"]
        return [*line, f"--window-size={self.width},{self.height}", "--start-maximized", url or "about:blank"]

    # processes

    def _run(self, name: str, command: Sequence[str], environ: Mapping[str, str], keep: tuple[int, ...] = ()) -> None:
        with open(self._folder / f"{name.replace(' ', '-')}.log", "wb") as log:
            try:
                child = subprocess.Popen(
                    list(command),
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=keep,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(f"{command[0]} does not start: {error.strerror or error}") from None
        self._children.append((name, child))
        self.keeper.register(pids=self._ids())

    def _ids(self) -> list[list[Any]]:
        return [[child.pid, process_start_time(child.pid)] for _, child in self._children if child.poll() is None]

    def _wait(self, holds: Any, limit_s: float, what: str) -> None:
        end = time.monotonic() + limit_s
        while not holds():
            note = self.check()
            if note or time.monotonic() > end:
                raise SurfaceError(f"{what}: {note or f'not within {limit_s:.0f} s'}")
            time.sleep(0.02)

    def _last_words(self, name: str) -> str:
        try:
            lines = (self._folder / f"{name.replace(' ', '-')}.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f" ({lines[-1].strip()[:200]})" if lines else ""


def _line(descriptor: int, limit_s: float) -> bytes:
    """All up to the end of the line: Xvfb writes it in two, and dies when nobody waits for the second."""
    line, end = b"", time.monotonic() + limit_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(end - time.monotonic(), 0.0))
        data = os.read(descriptor, 16) if ready else b""
        if not data:
            return b""
        line += data
    return line.strip()


def _viewport_js(page: pages.Page) -> str:
    """The page laid out in its own CSS pixels and drawn larger, as Playwright's scale does: the very same pixels.

    Chromium's own scale for a display lays out in the display's pixels, where lines and borders come out elsewhere.
    """
    scale = f"initial-scale={page.scale}, minimum-scale={page.scale}, maximum-scale={page.scale}"
    return (
        "if (location.protocol === 'file:') addEventListener('DOMContentLoaded', () => {"
        "const meta = document.createElement('meta'); meta.name = 'viewport';"
        f"meta.content = 'width={page.width}, {scale}'; document.head.append(meta); }});"
    )


def _shown(windows: Windows) -> bool:
    return any(windows.box(window.id) for window in windows.all())


def _command(program: str) -> list[str]:
    """A person's command line as a list; no shell reads it. UsageError when its program is not there."""
    try:
        command = shlex.split(program)
    except ValueError as error:
        raise UsageError(f"the command {program!r} cannot be read: {error}") from None
    if not command or not shutil.which(command[0]):
        raise UsageError(f"there is no program {command[0] if command else ''!r}; give a command such as 'mousepad'")
    return command


def _tools() -> dict[str, str]:
    """The X server and the first window manager that is there. UsageError, with what to install."""
    if not sys.platform.startswith("linux"):
        raise UsageError("a virtual desktop needs Xvfb, which is for Linux; use --on browser")
    server = shutil.which("Xvfb")
    manager = shutil.which("openbox") or shutil.which("jwm")
    if not server or not manager:
        lacking = "Xvfb" if not server else "a window manager (openbox or jwm)"
        raise UsageError(f"a virtual desktop needs {lacking}, which is not installed; {INSTALL}")
    return {"server": server, "manager": manager}
