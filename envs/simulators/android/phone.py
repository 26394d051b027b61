"""A simulated Android phone that the real adb accepts as a device. Knows the pieces; each does its own part.

    with SimulatedPhone() as phone:
        subprocess.run(["adb", "connect", phone.address])

Its screen is Chromium (glass), its shell a closed table (commands), its line the adb protocol (wire). What a real phone
has not is its control: in Python the methods of this class, from elsewhere a port on this machine (control).
"""

from __future__ import annotations

import asyncio
import atexit
import secrets
import struct
import time
from collections.abc import Sequence
from typing import Any, Self

from playwright.async_api import Error as PageError

from actions import SurfaceError, UsageError
from envs.chromium.launch import START_S
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.simulators.android.adb_protocol import AdbConnection, Service, Stream
from envs.simulators.android.commands import ADB_KEYBOARD, Answer, Shell
from envs.simulators.android.control_server import PROPERTY, serve_control
from envs.simulators.android.faults import Faults, read_fault
from envs.simulators.android.screen import BY_PACKAGE, PhoneScreen

DEFAULT_SIZE, DEFAULT_SCALE = (360, 720), 1.5  # CSS pixels: a screen of 540 x 1080 pixels
CALL_S = 40.0
STOP_S = 15.0
STDOUT, STDERR, EXIT = 1, 2, 3  # shell,v2's packets. Source: AOSP shell_protocol.h


class SimulatedPhone:
    """A running phone on 127.0.0.1. UsageError when it cannot start, SurfaceError when its Chromium fails.

    port: where adb connects, 0 for a free one; page: "practice:<task>" for a phone whose home is that page;
    width, height: CSS pixels, scale: pixels of its screen for each; keyboards: those for text over adb it has.
    """

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
    ) -> None:
        self._task = _task(page) if page else ""
        if not all(side * scale == int(side * scale) > 0 for side in (width, height)):
            raise UsageError(f"a phone of {width}x{height} CSS pixels at scale {scale} has no whole number of pixels")
        self.faults = Faults()
        self.glass = PhoneScreen(self._told)
        self.serialno = f"SIM{secrets.token_hex(4).upper()}"
        self.commands = Shell(self.glass, self.faults, self._props(), keyboards)
        self._links: set[AdbConnection] = set()
        self._busy = asyncio.Lock()
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
        """End it and its Chromium. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.call(self._stop(), STOP_S, "ending the simulated phone")
        except SurfaceError:
            pass  # Chromium's driver sees the pipe break when we end, and ends it
        self._thread.stop()

    # its control

    def fault(self, text: str) -> None:
        """Misbehave: "offline:5", "black:2", "rotate:1"; see envs.simulators.faults.KINDS."""
        kind, amount = read_fault(text)
        self._call(self._fault(kind, amount))

    def restart(self) -> None:
        """As it was switched on first, at home, with every app closed; its settings and files stay."""
        self._call(self._with_screen(self._power_on()))

    def goto(self, address: str) -> None:
        """A practice page, loaded afresh, as the phone's home screen, of the page's own size."""
        task = _task(address)
        self._call(self._with_screen(self.glass.show_practice(task)))

    def evaluate(self, js: str) -> Any:
        """The JSON value of an expression in the shown page, promises awaited."""
        return self._call(self._with_screen(self.glass.evaluate(js)))

    @property
    def url(self) -> str:
        """The address of the shown page."""
        return self.glass.url

    # inside

    def _call(self, coroutine: Any, timeout_s: float = CALL_S) -> Any:
        try:
            return self._thread.call(coroutine, timeout_s, "the simulated phone")
        except PageError as error:
            raise SurfaceError(f"the simulated phone's Chromium failed: {error.message.splitlines()[0]}") from None
        except OSError as error:
            raise UsageError(
                f"the simulated phone cannot listen: {error.strerror or error}; give another port"
            ) from None

    def _props(self) -> dict[str, str]:
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
        self._as_bought = (width, height, scale)
        await self.glass.start(executable, headed)
        await self._power_on()
        token = secrets.token_urlsafe(16)
        control = await serve_control(self._controlled, token)
        self.commands.props[PROPERTY] = f"{control.sockets[0].getsockname()[1]}:{token}"
        device = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self._servers = [control, device]
        self.port: int = device.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    async def _power_on(self) -> None:
        if self._task:
            await self.glass.show_practice(self._task)
        else:
            await self.glass.power_on(*self._as_bought)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links:
            link.cut()
        await self.glass.stop()

    async def _told(self, what: dict[str, str]) -> None:
        """What a page of the phone's own asks for."""
        if (package := what.get("open", "")) in BY_PACKAGE:
            await self._with_screen(self.glass.open(BY_PACKAGE[package]))
        elif (key := what.get("set", "")).partition(" ")[0] in ("system", "secure", "global"):
            self.commands.settings[key] = str(what.get("to", ""))

    async def _with_screen(self, work: Any) -> Any:
        """One thing at a time happens on the screen."""
        async with self._busy:
            return await work

    async def _controlled(self, request: dict[str, Any]) -> Any:
        do = request.get("do")
        if do == "goto":
            return await self._with_screen(self.glass.show_practice(_task(str(request["address"]))))
        if do == "evaluate":
            return await self._with_screen(self.glass.evaluate(str(request["js"])))
        if do == "url":
            return self.glass.url
        if do == "fault":
            return await self._fault(*read_fault(str(request["fault"])))
        raise UsageError(f"the simulated phone's control knows goto, evaluate, url and fault, not {do!r}")

    async def _fault(self, kind: str, amount: float) -> None:
        if kind == "offline":
            self.faults.offline_until_s = time.monotonic() + amount
            for link in list(self._links):
                link.cut()
        elif kind == "silent":
            self.faults.silent_until_s = time.monotonic() + amount
        elif kind == "slow":
            self.faults.slow_s = amount
        elif kind == "rotate":
            await self._with_screen(self.glass.rotate(int(amount)))
        elif kind in ("asleep", "locked"):
            setattr(self.commands, kind, bool(amount))
        else:
            setattr(self.faults, kind, int(amount))

    # the adb side

    def _banner(self) -> str:
        props = self.commands.props
        named = "".join(f"ro.product.{key}={props[f'ro.product.{key}']};" for key in ("name", "model", "device"))
        return f"device::{named}features=shell_v2,cmd"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.offline:
            writer.transport.abort()
            return
        link = AdbConnection(reader, writer, self._banner, self._service)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _service(self, name: str) -> Service | None:
        kind, _, line = name.partition(":")
        kind, *options = kind.split(",")
        if kind in ("shell", "exec") and line:
            return lambda stream: self._shell(stream, line, "v2" in options)
        return self.commands.files.serve if kind == "sync" else None

    async def _shell(self, stream: Stream, line: str, with_packets: bool) -> None:
        while (wait_s := self.faults.silent_until_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        await asyncio.sleep(self.faults.slow_s)
        try:
            answer = await self._with_screen(self.commands.run(line))
        except (PageError, TimeoutError) as error:  # of a page that hangs, or of a Chromium that is gone
            answer = Answer(err=f"Error: the screen does not answer: {error}\n".encode(), code=1)
        if not with_packets:
            await stream.write(answer.out + answer.err)
            return
        for kind, data in ((STDOUT, answer.out), (STDERR, answer.err), (EXIT, bytes([answer.code & 255]))):
            if data:
                await stream.write(struct.pack("<BI", kind, len(data)) + data)


def _task(address: str) -> str:
    """The task of a practice: address; UsageError for any other."""
    if not pages.is_miniwob_address(address):
        raise UsageError(f"the simulated phone shows practice:<task> pages as its home, not {address!r}")
    return pages.page(pages.task_name(address)).task
