"""One phone through the adb server: found, pinned, lost and found again. Knows adbutils; knows no screen.

A question may be asked again after a lost connection. What acts on the phone is sent once: when the line breaks, it is
mended, and whoever called is told whether the act was done, was not, or may have been.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from adbutils import AdbClient, adb_path
from adbutils._adb import AdbConnection
from adbutils._utils import list2cmdline
from adbutils.errors import AdbError

from actions import SurfaceError, UsageError
from envs.android.commands import Command, getprop

T = TypeVar("T")
STDOUT, STDERR, EXIT = 1, 2, 3  # packets of shell,v2. Source: AOSP shell_protocol.h
START_S, CONNECT_S = 20.0, 8.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
INSTALL = "install adb: scripts/android.sh, or as root: apt-get install adb"
IDENTITY = ("ro.serialno", "ro.build.fingerprint")
NETWORK = re.compile(r".+:\d+")  # serials of phones that `adb connect` brought


class CommandResult(NamedTuple):
    """What a command said; code is its exit status, 0 where the phone (before Android 7) tells none."""

    out: bytes
    err: bytes
    code: int

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace").strip()

    @property
    def said(self) -> str:
        """Both outputs as one short line, for a person."""
        lines = (self.out + b"\n" + self.err).decode("utf-8", "replace").split("\n")
        return "; ".join(line.strip() for line in lines if line.strip())[:300]


class ConnectionLostError(Exception):
    """The line broke. sent: the command may have reached the phone."""

    def __init__(self, why: str, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class CommandInterruptedError(Exception):
    """The line broke and is whole again. sent: the act may have been done."""

    def __init__(self, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class AdbServer:
    """The adb server on a port of this machine; by default the user's, whose devices and settings are left alone."""

    def __init__(self, port: int | None = None) -> None:
        self._client = AdbClient(port=port) if port else AdbClient()
        self.host, self.port = self._client.host, self._client.port

    def ensure(self) -> None:
        """Start it where none listens. UsageError without an adb program, SurfaceError when it does not start."""
        if self._listens():
            return
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise SurfaceError(f"no adb server listens at {self.host}:{self.port}; start it there")
        try:
            program = adb_path()
        except AdbError:
            raise UsageError(f"no adb program was found; {INSTALL}") from None
        try:
            ran = subprocess.run(
                [program, "-P", str(self.port), "start-server"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the server keeps what it is given: a pipe would never end
                stderr=subprocess.DEVNULL,
                timeout=START_S,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if os.name == "nt" else 0,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SurfaceError(f"the adb server did not start ({error}); try: adb start-server") from None
        if ran.returncode:
            raise SurfaceError(f"the adb server did not start (exit code {ran.returncode}); try: adb start-server")

    def devices(self) -> dict[str, str]:
        """State ("device", "offline", "unauthorized", ...) by serial."""
        rows = (line.split("\t", 1) for line in self.host_query("host:devices").splitlines() if "\t" in line)
        return {serial: state.strip() for serial, state in rows}

    def connect(self, address: str) -> str:
        return self.host_query(f"host:connect:{address}", CONNECT_S)

    def disconnect(self, address: str) -> None:
        self.host_query(f"host:disconnect:{address}")

    def host_query(self, query: str, timeout_s: float = 5.0) -> str:
        """The server's own answer. AdbError for its refusal, OSError when the line breaks."""
        with self.line(timeout_s) as line:
            line.send_command(query)
            line.check_okay()
            return line.read_string_block()

    @contextlib.contextmanager
    def line(self, timeout_s: float) -> Iterator[AdbConnection]:
        """A new line to the server. Where none listens: an error, and never a server on another port."""
        if not self._listens():
            raise ConnectionError(f"no adb server listens on port {self.port}")
        line = self._client.make_connection(timeout=timeout_s)
        try:
            yield line
        finally:
            line.conn.close()  # its own close() sleeps for 10 ms

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1.0).close()
            return True
        except OSError:
            return False


def select_device(server: AdbServer, wanted: str) -> str:
    """The serial of the phone that is meant: the one named, or the only one.

    UsageError when there is none, or several and none is named: a question, not a guess.
    """
    server.ensure()
    try:
        devices = server.devices()
        if wanted and wanted not in devices and NETWORK.fullmatch(wanted):
            server.connect(wanted)
            devices = server.devices()
    except (AdbError, OSError) as error:
        raise SurfaceError(f"the adb server at port {server.port} did not answer ({error})") from None
    listed = ", ".join(f"{serial} ({state})" if state != "device" else serial for serial, state in devices.items())
    if wanted and wanted not in devices:
        how = (
            "start what should answer there, such as `agent phone`"
            if NETWORK.fullmatch(wanted)
            else "plug it in, allow USB debugging on it, and see `adb devices`"
        )
        raise UsageError(f"no phone '{wanted}' at the adb server; have {listed or 'none'}; {how}")
    usable = [serial for serial, state in devices.items() if state == "device"]
    serial = wanted or (usable[0] if len(usable) == 1 else next(iter(devices)) if len(devices) == 1 else "")
    if not devices:
        raise UsageError(
            "no Android phone is connected; allow USB debugging on it and plug it in, or run `agent phone` for a "
            "simulated one"
        )
    if not serial:
        raise UsageError(f"several phones are connected: {listed}; name one: --on android:{(usable or [*devices])[0]}")
    if devices[serial] == "unauthorized":
        raise UsageError(f"the phone {serial} has not allowed this computer; answer the question on its screen")
    return serial


class Phone:
    """One pinned phone. timeout_s: for one answer; patience_s: for a phone that is away to come back."""

    def __init__(self, server: AdbServer, serial: str, timeout_s: float = 10.0, patience_s: float = 15.0) -> None:
        self.server, self.serial = server, serial
        self.timeout_s, self.patience_s = timeout_s, patience_s
        self._with_status = True
        self._identity: tuple[str, ...] = ()
        self.reconnect_count = 0  # how often the line was lost and found again
        self.away_s = 0.0  # how long it took the last time
        self._attach()

    @property
    def serialno(self) -> str:
        """The phone's own number, whatever way it is connected."""
        return self._identity[0] or self.serial

    def query(self, command: Command) -> CommandResult:
        """A question's answer, asked again as long as the patience lasts. SurfaceError when the phone stays away."""
        return self._with_reconnect(lambda: self._once(command))

    def execute(self, command: Command) -> CommandResult:
        """Send an act, once. Interrupted when the line broke and is whole again, SurfaceError when it is not."""
        try:
            return self._once(command)
        except ConnectionLostError as lost:
            self._reconnect(str(lost), time.monotonic() + self.patience_s)
            raise CommandInterruptedError(lost.sent) from None

    # inside

    def _attach(self) -> None:
        def features() -> str:
            return self._wrapped(lambda: self.server.host_query(f"host-serial:{self.serial}:features"))

        self._with_status = "shell_v2" in self._with_reconnect(features).split(",")
        self._identity = tuple(self.query(getprop(name)).text for name in IDENTITY)

    def _with_reconnect(self, attempt: Callable[[], T]) -> T:
        deadline = 0.0
        while True:
            try:
                return attempt()
            except ConnectionLostError as lost:
                if deadline and time.monotonic() > deadline:
                    raise SurfaceError(f"the phone {self.serial} did not answer, again and again: {lost}") from None
                deadline = deadline or time.monotonic() + self.patience_s
                self._reconnect(str(lost), deadline)

    def _wrapped(self, query: Callable[[], str]) -> str:
        try:
            return query()
        except (AdbError, OSError, EOFError, ValueError) as error:
            raise ConnectionLostError(_why(error), sent=False) from None

    def _once(self, command: Command) -> CommandResult:
        timeout_s = self.timeout_s + command.own_s
        sent = False
        try:
            with self.server.line(timeout_s) as line:
                line.send_command(f"host:transport:{self.serial}")
                line.check_okay()
                sent = True
                service = "shell,v2" if self._with_status else "exec"
                line.send_command(f"{service}:{list2cmdline(command.words)}")
                line.check_okay()
                return (
                    _packets(line, timeout_s)
                    if self._with_status
                    else CommandResult(line.read_until_close(None), b"", 0)
                )
        except (AdbError, OSError, EOFError, ValueError) as error:
            raise ConnectionLostError(_why(error), sent) from None

    def _reconnect(self, why: str, deadline: float) -> None:
        """Until this phone answers again, and is the same. Only its own connection is touched.

        SurfaceError at the deadline, with the first reason and the last.
        """
        pause_s, now, began = FIRST_PAUSE_S, why, time.monotonic()
        while True:
            try:
                if self._try_again():
                    self.reconnect_count += 1
                    self.away_s = time.monotonic() - began
                    return
            except (AdbError, OSError, EOFError, ValueError) as error:
                now = _why(error)
            except ConnectionLostError as lost:
                now = str(lost)
            if time.monotonic() + pause_s > deadline:
                also = f", then: {now}" if now != why else ""
                raise SurfaceError(
                    f"the phone {self.serial} was lost ({why}{also}) and did not come back within "
                    f"{self.patience_s:.0f} s; check its cable or network, then `adb devices`"
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _try_again(self) -> bool:
        self.server.ensure()
        state = self.server.devices().get(self.serial, "absent")
        if state != "device":
            if NETWORK.fullmatch(self.serial):
                if state != "absent":
                    self.server.disconnect(self.serial)
                self.server.connect(self.serial)
            elif state == "offline":
                self.server.host_query(f"host-serial:{self.serial}:reconnect")
            if self.server.devices().get(self.serial) != "device":
                return False
        if self._identity:
            now = tuple(self._once(getprop(name)).text for name in IDENTITY)
            if now != self._identity:
                raise SurfaceError(
                    f"{self.serial} is another phone now ({now[0] or 'unnamed'}, before {self._identity[0]}); "
                    "nothing more is done on it"
                )
        return True


def _packets(line: AdbConnection, timeout_s: float) -> CommandResult:
    outputs = {STDOUT: b"", STDERR: b""}
    deadline = time.monotonic() + timeout_s
    while True:
        header = line.read_exact(5)
        data = line.read_exact(int.from_bytes(header[1:], "little"))
        if header[0] == EXIT:
            return CommandResult(outputs[STDOUT], outputs[STDERR], data[0])
        if header[0] in outputs:
            outputs[header[0]] += data
        if time.monotonic() > deadline:
            raise TimeoutError(f"no end of its answer within {timeout_s:.0f} s")


def _why(error: BaseException) -> str:
    said = " ".join(str(part) for part in error.args if part).strip() or type(error).__name__
    return said.splitlines()[0][:200]
