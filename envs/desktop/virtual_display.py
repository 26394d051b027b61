"""A virtual desktop: Xvfb, a window manager, and Chromium or another program.

Every process leads a process group of its own and is ended by its id; a clean-up process does so when this process is
killed. Programs that those processes start and detach from end with their sandbox, and are found by a tag in their
environment where there is none. `envs/desktop/isolation.py` separates all of them from the user's files and session.
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from actions import SurfaceError, UsageError
from envs.chromium.clock import clock_commands
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS, proxy_flags
from envs.chromium.launch import use_sandbox
from envs.chromium.page_scripts import steady_script
from envs.desktop.cleanup_process import (
    PROCESS_TAG,
    CleanupProcess,
    end_processes,
    find_processes,
    tagged_processes,
)
from envs.desktop.devtools import Devtools
from envs.desktop.isolation import Isolation, exit_reason
from envs.desktop.sandbox import browser_paths, check_shared, named_files
from envs.desktop.x11.connection import connect, write_cookie
from envs.desktop.x11.windows import Windows
from envs.miniwob import pages
from envs.network.proxy import NetworkProxy
from envs.network.rules import PUBLIC_HOSTS, NetworkRules

if TYPE_CHECKING:
    from Xlib.display import Display

START_S = 20.0
BROWSER_START_S = 60.0
SERVER, MANAGER, CHROMIUM = "the X server", "the window manager", "Chromium"  # names of processes in messages
INSTALL = "as root: apt-get install xvfb jwm"
MANAGER_CONFIG = "manager.xml"
PROFILE = ".config/chromium"  # Chromium's, below the desktop's home
BACKGROUND = 0x6B7780  # not black, since a failed screenshot is black
PIPES = 'exec 3<"/dev/fd/$1" 4>"/dev/fd/$2"; shift 2; exec "$@"'  # Chromium expects its pipes at these descriptors

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
    """An X server of its own with a window manager and one program."""

    def __init__(
        self,
        url: str = "",
        program: str = "",
        width: int = 1288,
        height: int = 728,
        *,
        shared: Sequence[Path] = (),
        network: NetworkRules = PUBLIC_HOSTS,
        proxy_port: int | None = None,
    ) -> None:
        """Start everything and wait until the program shows a window.

        Args:
            url: what Chromium opens; a practice address brings its own screen size.
            program: command line of a program to start in Chromium's place; it may read the files named there.
            width: of the screen, in pixels.
            height: of the screen, in pixels.
            shared: folders of the user that programs may read and write.
            network: what Chromium may connect to, besides `url`.
            proxy_port: port on 127.0.0.1, the only way of `program` into the network; None for the whole network.

        Raises:
            UsageError: if a program is missing or cannot be started, or `url` is not among the hosts of the rules.
        """
        if url and program:
            raise UsageError("a virtual desktop opens an address or a program, not both; give one")
        network = network.with_address(url)
        page = pages.page(pages.task_name(url)) if pages.is_miniwob_address(url) else None
        command, readable = named_files(_parse_command(program)) if program else ([], [])
        shared = [check_shared(path) for path in shared]
        server, manager = _find_tools()
        if not program:
            self._chrome = find_chrome()
            readable = list(browser_paths(self._chrome))
        self.width, self.height = page.screen_size if page else (width, height)
        self.page = page
        self.url = page.url if page else "" if program else url or "about:blank"  # of Chromium's first page
        self.devtools: Devtools | None = None
        self._proxy: NetworkProxy | None = None  # only where Chromium is started
        self._refusals: SimpleQueue[str] = SimpleQueue()  # one sentence per host, from the proxy's thread
        self._refused_pages: set[str] = set()  # their URLs at the last pop_refusals()
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._reported: set[str] = set()  # names of processes whose end is known
        self._is_closed = False
        self._folder = Path(tempfile.mkdtemp(prefix="pixelhand-desktop-"))
        self.cleanup = CleanupProcess()
        self.cleanup.register(folders=[str(self._folder)], pids=[], tag=str(self._folder))
        try:
            if not program:
                self._proxy = NetworkProxy(network, on_refusal=self._refusals.put)
            local_files, allowed_urls = _local_files(url, page)
            self.isolation = Isolation(
                self._folder,
                readable=[*readable, *local_files],
                shared=shared,
                allowed_urls=allowed_urls,
                proxy_port=self._proxy.port if self._proxy else proxy_port,
            )
            self.authority = self._folder / "cookie"
            self.display = self._start_server(server)
            self._environ = self.isolation.environment(self.display, self.authority) | {PROCESS_TAG: str(self._folder)}
            connection = connect(self.display, self._environ)
            try:
                self._start_bus()
                self._start_manager(connection, manager)
                self._start_program(connection, url, command)
            finally:
                connection.close()
        except BaseException:
            self.close()
            raise

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of a process on this desktop."""
        return self._environ

    def pids(self) -> list[int]:
        """Return the ids of the started processes that still run."""
        return [process.pid for _, process in self._processes if process.poll() is None]

    def runs_chromium(self) -> bool:
        """Return whether Chromium was started and still runs."""
        return any(name == CHROMIUM and process.poll() is None for name, process in self._processes)

    def check(self) -> str:
        """Return a notice when a program has been closed since the last call, "" if none.

        Raises:
            SurfaceError: if a process was killed or has crashed.
        """
        for name, process in self._processes:
            code = process.poll()
            if code is None or name in self._reported:
                continue
            if code == 0 and name not in (SERVER, MANAGER):
                self._reported.add(name)
                return f"{name} was closed"
            raise SurfaceError(
                f"{name} of the virtual desktop {exit_reason(code)}{self._last_output(name)}; start the run again"
            )
        return ""

    def allow_address(self, url: str) -> None:
        """Allow Chromium to connect to the host and port of an address that a task or the user opens."""
        if self._proxy:
            self._proxy.allow_address(url)

    def pop_refusal_notices(self) -> list[str]:
        """Return a sentence for each host that the network rules refused first since the last call."""
        return [self._refusals.get() for _ in range(self._refusals.qsize())]

    def pop_refusals(self) -> int:
        """Return how many of Chromium's tabs came to show a refused page since the last call."""
        if not self._proxy or not self._proxy.has_refused or not self.devtools or self.check():
            return 0
        failures = {url: self._proxy.failure(url) for url in self.devtools.tab_urls()}
        refused = {url for url, failure in failures.items() if failure and failure.is_refusal}
        new, self._refused_pages = refused - self._refused_pages, refused
        return len(new)

    def close(self) -> None:
        """End the started processes. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        pids = [*self.pids(), *(self.isolation.pids() if hasattr(self, "isolation") else [])]
        end_processes([*find_processes(pids), *tagged_processes(str(self._folder))])
        for _, process in self._processes:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:  # not even SIGKILL ended it: it hangs in the kernel
                continue
        if self.devtools:
            self.devtools.close()
        if self._proxy:
            self._proxy.close()
        if hasattr(self, "isolation"):
            self.isolation.close()
        self.cleanup.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_server(self, program: str) -> str:
        """Start Xvfb and return the name of its display."""
        secret = secrets.token_bytes(16)
        write_cookie(self.authority, None, secret)
        read, write = os.pipe()
        size = f"{self.width}x{self.height}x24"
        command = [program, "-displayfd", str(write), "-screen", "0", size, "-auth", str(self.authority)]
        command += ["-nolisten", "tcp", "-noreset", "-dpi", "96"]
        try:
            self._start_outside(SERVER, command, pass_fds=(write,))
            os.close(write)
            number = read_line(read, START_S)
        finally:
            os.close(read)
        if not number:
            self.check()
            raise SurfaceError(f"Xvfb printed no display number within {START_S:.0f} s{self._last_output(SERVER)}")
        return f":{number.decode()}"

    def _start_bus(self) -> None:
        with open(self._log_path("the message bus"), "wb") as log:
            if not self.isolation.start_bus(self._environ, log):
                return
        self._wait_for(self.isolation.is_bus_ready, START_S, "the message bus does not start")

    def _start_manager(self, connection: Display, manager: str) -> None:
        """Start the window manager and wait until it is ready."""
        root = connection.screen().root
        self._configure_root(connection)
        config = self.isolation.home.system / MANAGER_CONFIG
        is_bare = self.page is not None
        if Path(manager).name == "openbox":
            config.write_text(OPENBOX.format(rules=OPENBOX_BARE if is_bare else ""))
            command = [manager, "--sm-disable", "--config-file", str(config)]
        else:
            config.write_text(JWM.format(rules=JWM_BARE if is_bare else ""))
            command = [manager, "-f", str(config)]
        self._start(MANAGER, command, has_network=False)
        check = connection.intern_atom("_NET_SUPPORTING_WM_CHECK")
        self._wait_for(lambda: root.get_full_property(check, 0) is not None, START_S, "the window manager is not ready")

    def _configure_root(self, connection: Display) -> None:
        root = connection.screen().root
        root.change_attributes(background_pixel=BACKGROUND)
        root.clear_area()
        connection.sync()

    def _start_program(self, connection: Display, url: str, command: Sequence[str]) -> None:
        """Start the program or Chromium and wait for its window."""
        windows = Windows(connection)
        if command:
            self._start(Path(command[0]).name, command)
            self._wait_for(lambda: _has_visible_window(windows), START_S, f"{command[0]} shows no window")
            return
        assert self._proxy is not None
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        shell = ["/bin/sh", "-c", PIPES, "sh", str(to_read), str(from_write)]
        try:
            self._start(
                CHROMIUM, self._browser_command(url, self._proxy.port), prefix=shell, pass_fds=(to_read, from_write)
            )
        finally:
            os.close(to_read)
            os.close(from_write)
        self.devtools = Devtools(to_write, from_read)
        script = steady_script() + pages.init_js() + _viewport_js(self.page) if self.page else ""
        try:
            self.devtools.attach(script, BROWSER_START_S)
            if self.page:  # a browser window is at least 500 points wide; its page can be narrower
                metrics = {"width": self.width, "height": self.height, "deviceScaleFactor": 1, "mobile": False}
                self.devtools.send("Emulation.setDeviceMetricsOverride", metrics)
                for method, parameters in clock_commands(is_practice=True):
                    self.devtools.send(method, parameters)
        except SurfaceError:
            self.check()  # raises a better message if the browser ended
            raise
        self._wait_for(lambda: _has_visible_window(windows), BROWSER_START_S, "Chromium shows no window")

    def _browser_command(self, url: str, proxy_port: int) -> list[str]:
        """Return Chromium's command line; a practice page is drawn as on the browser surface, without a frame."""
        command = [str(self._chrome), *BROWSER_FLAGS, *proxy_flags(proxy_port)]
        command += [
            "--remote-debugging-pipe",
            f"--user-data-dir={self.isolation.home.home / PROFILE}",
            "--no-default-browser-check",
            "--force-color-profile=srgb",
            "--password-store=basic",
            "--disable-features=Translate,MediaRouter,DialMediaRouteProvider",  # the last two search the local network
            "--window-position=0,0",
            "--ozone-platform=x11",
        ]
        if not use_sandbox():
            command += ["--no-sandbox", "--test-type"]  # the second hides the bar that warns of the first
        if self.page:
            command += [
                "--disable-smooth-scrolling",  # it takes real time
                "--hide-scrollbars",  # they fade; the browser surface shows none either
                "--blink-settings=viewportEnabled=true,viewportMetaEnabled=true",
                f"--window-size={self.width},{self.height}",
            ]
            return [*command, "--kiosk", "--app=about:blank"]
        return [*command, f"--window-size={self.width},{self.height}", "--start-maximized", url or "about:blank"]

    def _start(
        self,
        name: str,
        command: Sequence[str],
        *,
        prefix: Sequence[str] = (),
        pass_fds: tuple[int, ...] = (),
        has_network: bool = True,
    ) -> None:
        """Start a program inside of the isolation."""
        with open(self._log_path(name), "wb") as log:
            try:
                process = self.isolation.start(
                    command, self._environ, log, prefix=prefix, pass_fds=pass_fds, has_network=has_network
                )
            except OSError as error:
                raise UsageError(f"{command[0]} does not start: {error.strerror or error}") from None
        self._register(name, process)

    def _start_outside(self, name: str, command: Sequence[str], pass_fds: tuple[int, ...]) -> None:
        """Start the X server, whose socket this process needs too; it has the same environment as the programs."""
        environ = self.isolation.home.environment(os.environ) | {PROCESS_TAG: str(self._folder)}
        with open(self._log_path(name), "wb") as log:
            try:
                process = subprocess.Popen(
                    list(command),
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(f"{command[0]} does not start: {error.strerror or error}") from None
        self._register(name, process)

    def _register(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._processes.append((name, process))
        self.cleanup.register(pids=[*self.pids(), *self.isolation.pids()])

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            notice = self.check()
            if notice or time.monotonic() > deadline:
                raise SurfaceError(f"{failure}: {notice or f'not within {timeout_s:.0f} s'}")
            time.sleep(0.02)

    def _log_path(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _last_output(self, name: str) -> str:
        try:
            lines = self._log_path(name).read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f" ({lines[-1].strip()[:200]})" if lines else ""


def check_virtual_desktop(program: str) -> None:
    """Raise UsageError where a virtual desktop with this program could not be started."""
    _find_tools()
    if program:
        _parse_command(program)
    else:
        find_chrome()


def read_line(descriptor: int, timeout_s: float) -> bytes:
    """Return the line that Xvfb writes to -displayfd, b"" if none arrives in time.

    Xvfb writes the line in two parts and dies if the second is not read, so the whole line is read.
    """
    line, deadline = b"", time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0.0))
        data = os.read(descriptor, 16) if ready else b""
        if not data:
            return b""
        line += data
    return line.strip()


def _local_files(url: str, page: pages.Page | None) -> tuple[list[Path], list[str]]:
    """Return the files that Chromium is started with, and patterns of their addresses.

    Raises:
        UsageError: The file does not exist.
    """
    if page:
        folder = page.path.parent.parent  # scripts that the pages share lie beside their folder
        return [folder], [f"{folder.as_uri()}/"]  # a prefix
    if urlsplit(url).scheme.lower() != "file":
        return [], []
    path = Path(unquote(urlsplit(url).path))
    if not path.is_file():
        raise UsageError(f"{url} names no file; give the address of an existing one with --url")
    return [path.absolute()], [url]


def _viewport_js(page: pages.Page) -> str:
    """Return a script that lays a page out in its own CSS pixels and draws it enlarged, as Playwright's scale does.

    Chromium's own display scale lays pages out in display pixels, which moves lines and borders.
    """
    scale = f"initial-scale={page.scale}, minimum-scale={page.scale}, maximum-scale={page.scale}"
    return (
        "if (location.protocol === 'file:') addEventListener('DOMContentLoaded', () => {"
        "const meta = document.createElement('meta'); meta.name = 'viewport';"
        f"meta.content = 'width={page.width}, {scale}'; document.head.append(meta); }});"
    )


def _has_visible_window(windows: Windows) -> bool:
    return any(windows.box(window.id) for window in windows.all())


def _parse_command(program: str) -> list[str]:
    """Split a command line into words; no shell is involved.

    Raises:
        UsageError: if it cannot be parsed or its program does not exist.
    """
    try:
        command = shlex.split(program)
    except ValueError as error:
        raise UsageError(f"the command {program!r} cannot be parsed: {error}") from None
    if not command or not shutil.which(command[0]):
        raise UsageError(f"program {command[0] if command else ''!r} was not found; give a command such as 'mousepad'")
    return command


def _find_tools() -> tuple[str, str]:
    """Return the paths of Xvfb and of the first window manager that is installed.

    Raises:
        UsageError: if one is missing; the message names what to install.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError("a virtual desktop needs Xvfb, which runs on Linux only; use --surface browser")
    server = shutil.which("Xvfb")
    manager = shutil.which("openbox") or shutil.which("jwm")
    if not server or not manager:
        missing = "Xvfb" if not server else "a window manager (openbox or jwm)"
        raise UsageError(f"a virtual desktop needs {missing}, which is not installed; {INSTALL}")
    return server, manager
