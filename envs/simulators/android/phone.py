"""A simulated Android phone that the real adb accepts as a device.

    with SimulatedPhone() as phone:
        subprocess.run(["adb", "connect", phone.address])

Its screen is Chromium, its shell a fixed table of commands. Methods that no real phone has (goto, evaluate, fault) are
available in this class and, to other processes on this machine, through its control port.
"""

from __future__ import annotations

import asyncio
import atexit
import secrets
import struct
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Self, TypeVar

from playwright.async_api import Error as PageError

from actions import SurfaceError, UsageError
from envs.chromium.launch import START_S
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.network.rules import PUBLIC_HOSTS, NetworkRules
from envs.simulators.android.adb_protocol import AdbConnection, Service, Stream
from envs.simulators.android.control_server import PROPERTY, serve_control
from envs.simulators.android.deviations import distort_output
from envs.simulators.android.faults import SWITCHES, Faults, parse_fault
from envs.simulators.android.input_methods import ADB_KEYBOARD
from envs.simulators.android.screen import BY_PACKAGE, PhoneScreen
from envs.simulators.android.shell import TABLES, Shell
from envs.simulators.android.shell_result import ShellResult

T = TypeVar("T")
DEFAULT_SIZE, DEFAULT_SCALE = (360, 720), 1.5  # CSS pixels: a screen of 540 x 1080 pixels
CALL_S = 40.0
STOP_S = 15.0
STDOUT, STDERR, EXIT = 1, 2, 3  # packets of shell,v2. Source: AOSP shell_protocol.h


class SimulatedPhone:
    """A running phone on 127.0.0.1."""

    def __init__(
        self,
        page: str = "",
        *,
        port: int = 0,
        width: int = DEFAULT_SIZE[0],
        height: int = DEFAULT_SIZE[1],
        scale: float = DEFAULT_SCALE,
        keyboards: Sequence[str] = (ADB_KEYBOARD,),
        headed: bool = False,
        executable: str | None = None,
        network: NetworkRules = PUBLIC_HOSTS,
    ) -> None:
        """Start the phone.

        Args:
            page: "miniwob:TASK" for a phone whose home screen is that page.
            port: where adb connects; 0 for a free port.
            width: of the screen, in CSS pixels.
            height: of the screen, in CSS pixels.
            scale: screen pixels per CSS pixel.
            keyboards: installed input methods that take text over adb.
            headed: whether Chromium shows its pages in windows.
            executable: path of Chromium; found if None.
            network: what its browser may connect to.

        Raises:
            UsageError: if the phone cannot start.
            SurfaceError: if its Chromium fails.
        """
        self._task = _practice_task(page) if page else ""
        if not all(side * scale == int(side * scale) > 0 for side in (width, height)):
            raise UsageError(f"{width}x{height} CSS pixels at scale {scale} are no whole number of screen pixels")
        self.faults = Faults()
        self.screen = PhoneScreen(self._on_page_request, network)
        self.serialno = f"SIM{secrets.token_hex(4).upper()}"
        self.shell = Shell(self.screen, self.faults, self._system_properties(), keyboards)
        self._connections: set[AdbConnection] = set()
        self._screen_lock = asyncio.Lock()
        self._closed = False
        self._servers: list[asyncio.Server] = []
        self._thread = LoopThread("pixelhand-phone")
        atexit.register(self.close)
        try:
            self._call(self._start(port, width, height, scale, executable, headed), START_S + CALL_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the phone and its Chromium. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.call(self._stop(), STOP_S, "ending the simulated phone")
        except SurfaceError:
            pass  # Chromium ends when its pipe to this process breaks
        self._thread.stop()

    def fault(self, text: str) -> None:
        """Switch a fault on or off, such as "offline:5", "black:2" or "rotate:1"; see faults.KINDS."""
        kind, amount = parse_fault(text)
        self._call(self._set_fault(kind, amount))

    def restart(self) -> None:
        """Show the home screen with every app closed; settings and files stay."""
        self._call(self._with_screen(self._power_on()))

    def goto(self, address: str) -> None:
        """Load a practice page as the home screen; the screen gets the page's size."""
        task = _practice_task(address)
        self._call(self._with_screen(self.screen.show_practice(task)))

    def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression evaluated in the current page; promises are awaited."""
        return self._call(self._with_screen(self.screen.evaluate(js)))

    @property
    def url(self) -> str:
        """The address of the current page."""
        return self.screen.url

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = CALL_S) -> T:
        try:
            return self._thread.call(coroutine, timeout_s, "the simulated phone")
        except PageError as error:
            raise SurfaceError(f"the simulated phone's Chromium failed: {error.message.splitlines()[0]}") from None
        except OSError as error:
            raise UsageError(
                f"the simulated phone cannot listen: {error.strerror or error}; choose another --port"
            ) from None

    def _system_properties(self) -> dict[str, str]:
        return {
            "ro.product.model": "Simulated phone",
            "ro.product.name": "pixelhand_sim",
            "ro.product.device": "sim",
            "ro.product.manufacturer": "pixelhand",
            "ro.serialno": self.serialno,
            "ro.build.version.release": "14",
            "ro.build.version.sdk": "34",
            "ro.build.fingerprint": f"pixelhand/sim/sim:14/{self.serialno}:user/release-keys",
            "sys.boot_completed": "1",
        }

    async def _start(
        self, port: int, width: int, height: int, scale: float, executable: str | None, headed: bool
    ) -> None:
        self._default_screen = (width, height, scale)
        await self.screen.start(executable, headed)
        await self._power_on()
        token = secrets.token_urlsafe(16)
        control = await serve_control(self._handle_control, token)
        self.shell.props[PROPERTY] = f"{control.sockets[0].getsockname()[1]}:{token}"
        device = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self._servers = [control, device]
        self.port: int = device.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    async def _power_on(self) -> None:
        if self._task:
            await self.screen.show_practice(self._task)
        else:
            await self.screen.power_on(*self._default_screen)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.abort()
        await self.screen.stop()

    async def _on_page_request(self, request: dict[str, str]) -> None:
        """Carry out a request of one of the phone's own pages."""
        if (package := request.get("open", "")) in BY_PACKAGE:
            await self._with_screen(self.screen.open(BY_PACKAGE[package]))
        elif (key := request.get("set", "")).partition(" ")[0] in TABLES:
            self.shell.settings[key] = str(request.get("to", ""))

    async def _with_screen(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work on the screen, one piece at a time."""
        async with self._screen_lock:
            return await work

    async def _handle_control(self, request: dict[str, Any]) -> object:
        command = request.get("do")
        if command == "goto":
            return await self._with_screen(self.screen.show_practice(_practice_task(str(request["address"]))))
        if command == "evaluate":
            return await self._with_screen(self.screen.evaluate(str(request["js"])))
        if command == "advance":
            return await self._with_screen(self.screen.advance(str(request["js"])))
        if command == "url":
            return self.screen.url
        if command == "fault":
            await self._set_fault(*parse_fault(str(request["fault"])))
            return None
        raise UsageError(
            f"unknown command {command!r}: the control port supports goto, evaluate, advance, url and fault"
        )

    async def _set_fault(self, kind: str, amount: float) -> None:
        if kind == "offline":
            self.faults.offline_until_s = time.monotonic() + amount
            for connection in list(self._connections):
                connection.abort()
        elif kind == "silent":
            self.faults.silent_until_s = time.monotonic() + amount
        elif kind == "slow":
            self.faults.slow_s = amount
        elif kind == "slowcapture":
            self.faults.slowcapture_s = amount
        elif kind in SWITCHES:
            has_changed = self.faults.has(kind) != bool(amount)
            (self.faults.switches.add if amount else self.faults.switches.discard)(kind)
            if has_changed and kind in ("noshellv2", "unauthorized"):  # these are settled when adb connects
                for connection in list(self._connections):
                    connection.abort()
        elif kind == "rotate":
            await self._with_screen(self.screen.rotate(int(amount)))
        elif kind == "asleep":
            self.shell.input.asleep = bool(amount)
        elif kind == "locked":
            self.shell.locked = bool(amount)
        else:
            setattr(self.faults, kind, int(amount))

    def _banner(self) -> str:
        props = self.shell.props
        product = "".join(f"ro.product.{key}={props[f'ro.product.{key}']};" for key in ("name", "model", "device"))
        return f"device::{product}features={'cmd' if self.faults.has('noshellv2') else 'shell_v2,cmd'}"

    def _is_authorized(self) -> bool:
        return not self.faults.has("unauthorized")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.offline:
            writer.transport.abort()
            return
        connection = AdbConnection(reader, writer, self._banner, self._find_service, self._is_authorized)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _find_service(self, name: str) -> Service | None:
        kind, _, line = name.partition(":")
        kind, *options = kind.split(",")
        if kind in ("shell", "exec") and line:
            with_packets = "v2" in options and not self.faults.has("noshellv2")
            return lambda stream: self._serve_shell(stream, line, with_packets)
        return self.shell.files.serve if kind == "sync" else None

    async def _serve_shell(self, stream: Stream, line: str, with_packets: bool) -> None:
        while (wait_s := self.faults.silent_until_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        await asyncio.sleep(self.faults.slow_s)
        try:
            result = await self._with_screen(self.shell.run(line))
        except (PageError, TimeoutError) as error:  # the page hangs or Chromium has ended
            result = ShellResult(err=f"Error: the screen does not answer: {error}\n".encode(), code=1)
        result = distort_output(self.faults, result)
        if self.faults.consume("adbdrestart"):
            for connection in list(self._connections):
                connection.abort()
            return
        if not with_packets:
            await stream.write(result.out + result.err)
            return
        for kind, data in ((STDOUT, result.out), (STDERR, result.err), (EXIT, bytes([result.code & 255]))):
            if data:
                await stream.write(struct.pack("<BI", kind, len(data)) + data)


def _practice_task(address: str) -> str:
    """Return the task of a miniwob: address; UsageError for any other."""
    if not pages.is_miniwob_address(address):
        raise UsageError(f"the simulated phone's home screen must be a miniwob:TASK page, not {address!r}")
    return pages.page(pages.task_name(address)).task
