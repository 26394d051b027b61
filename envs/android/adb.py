"""One phone through the adb server: selected, pinned, and reconnected after a lost connection.

A query may be repeated after a lost connection. A command that acts on the phone is sent once: if the connection
breaks, it is restored, and the caller learns whether the command was executed, was not, or may have been.
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
from adbutils._adb import AdbConnection as ServerConnection
from adbutils._utils import list2cmdline
from adbutils.errors import AdbError

from actions import SurfaceError, UsageError
from envs.android.commands import Command, getprop

T = TypeVar("T")
STDOUT, STDERR, EXIT = 1, 2, 3  # packets of shell,v2. Source: AOSP shell_protocol.h
SERVER_START_S, CONNECT_S = 20.0, 8.0
FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 2.0
INSTALL = "install adb: scripts/android.sh, or as root: apt-get install adb"
IDENTITY = ("ro.serialno", "ro.build.fingerprint")
NETWORK = re.compile(r".+:\d+")  # serials of phones that were added by `adb connect`
CONNECTION_ERRORS = (AdbError, OSError, EOFError, ValueError)


class CommandResult(NamedTuple):
    """The output of a command and its exit status, which is 0 on phones before Android 7, as they report none."""

    out: bytes
    err: bytes
    code: int

    @property
    def text(self) -> str:
        """The standard output as text."""
        return self.out.decode("utf-8", "replace").strip()

    @property
    def message(self) -> str:
        """Both outputs as one short line, for error messages."""
        lines = (self.out + b"\n" + self.err).decode("utf-8", "replace").split("\n")
        return "; ".join(line.strip() for line in lines if line.strip())[:300]


class ConnectionLostError(Exception):
    """The connection broke."""

    def __init__(self, reason: str, sent: bool) -> None:
        """Store whether the command may have reached the phone (`sent`)."""
        super().__init__(reason)
        self.sent = sent


class CommandInterruptedError(Exception):
    """The connection broke during a command and has been restored."""

    def __init__(self, sent: bool) -> None:
        """Store whether the command may have been executed (`sent`)."""
        super().__init__()
        self.sent = sent


class AdbServer:
    """The adb server on a port of this machine, by default the user's; its devices and settings are left alone."""

    def __init__(self, port: int | None = None) -> None:
        self._client = AdbClient(port=port) if port else AdbClient()
        self.host, self.port = self._client.host, self._client.port

    def ensure_running(self) -> None:
        """Start the server if none listens.

        Raises:
            UsageError: if no adb program is installed.
            SurfaceError: if the server does not start.
        """
        if self._is_listening():
            return
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise SurfaceError(f"no adb server listens at {self.host}:{self.port}; start it there")
        try:
            program = adb_path()
        except AdbError:
            raise UsageError(f"no adb program was found; {INSTALL}") from None
        try:
            process = subprocess.run(
                [program, "-P", str(self.port), "start-server"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
                stderr=subprocess.DEVNULL,
                timeout=SERVER_START_S,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if os.name == "nt" else 0,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SurfaceError(f"the adb server did not start ({error}); try: adb start-server") from None
        if process.returncode:
            raise SurfaceError(f"the adb server did not start (exit code {process.returncode}); try: adb start-server")

    def devices(self) -> dict[str, str]:
        """Return the state ("device", "offline", "unauthorized", ...) of each device by its serial."""
        rows = (line.split("\t", 1) for line in self.host_query("host:devices").splitlines() if "\t" in line)
        return {serial: state.strip() for serial, state in rows}

    def connect(self, address: str) -> str:
        """Connect a phone on the network; return the server's reply."""
        return self.host_query(f"host:connect:{address}", CONNECT_S)

    def disconnect(self, address: str) -> None:
        """Disconnect a phone on the network."""
        self.host_query(f"host:disconnect:{address}")

    def host_query(self, query: str, timeout_s: float = 5.0) -> str:
        """Return the server's own reply to a query.

        Raises:
            AdbError: if it refuses.
            OSError: if the connection breaks.
        """
        with self.open_connection(timeout_s) as connection:
            connection.send_command(query)
            connection.check_okay()
            return connection.read_string_block()

    @contextlib.contextmanager
    def open_connection(self, timeout_s: float) -> Iterator[ServerConnection]:
        """Open a new connection to the server; never start one, as adbutils does on the default port."""
        if not self._is_listening():
            raise ConnectionError(f"no adb server listens on port {self.port}")
        connection = self._client.make_connection(timeout=timeout_s)
        try:
            yield connection
        finally:
            connection.conn.close()  # its own close() sleeps for 10 ms

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1.0).close()
            return True
        except OSError:
            return False


def select_device(server: AdbServer, serial: str) -> str:
    """Return the serial of the named phone, or of the only one for "".

    Raises:
        UsageError: if there is none, or there are several and none is named.
        SurfaceError: if the adb server fails.
    """
    server.ensure_running()
    try:
        devices = server.devices()
        if serial and serial not in devices and NETWORK.fullmatch(serial):
            server.connect(serial)
            devices = server.devices()
    except (AdbError, OSError) as error:
        raise SurfaceError(f"the adb server at port {server.port} did not answer ({error})") from None
    listed = ", ".join(f"{name} ({state})" if state != "device" else name for name, state in devices.items())
    if serial and serial not in devices:
        remedy = (
            "start the phone at that address, for example with `agent phone`"
            if NETWORK.fullmatch(serial)
            else "plug it in, allow USB debugging on it, and check `adb devices`"
        )
        raise UsageError(f"no phone '{serial}' at the adb server; connected: {listed or 'none'}; {remedy}")
    if not devices:
        raise UsageError(
            "no Android phone is connected; allow USB debugging on it and plug it in, or run `agent phone` for a "
            "simulated one"
        )
    usable = [name for name, state in devices.items() if state == "device"]
    candidates = usable if len(usable) == 1 else list(devices)
    if not serial and len(candidates) > 1:
        raise UsageError(
            f"several phones are connected: {listed}; name one: --surface android:{(usable or candidates)[0]}"
        )
    serial = serial or candidates[0]
    if devices[serial] == "unauthorized":
        raise UsageError(f"the phone {serial} has not authorized this computer; confirm it on the phone's screen")
    return serial


class Phone:
    """One pinned phone."""

    def __init__(self, server: AdbServer, serial: str, timeout_s: float = 10.0, reconnect_s: float = 15.0) -> None:
        """Connect to a phone and record its identity.

        Args:
            server: the adb server.
            serial: the phone's serial there.
            timeout_s: time for one reply.
            reconnect_s: time for a lost phone to come back.
        """
        self.server, self.serial = server, serial
        self.timeout_s, self.reconnect_s = timeout_s, reconnect_s
        self._has_shell_v2 = True
        self._identity: tuple[str, ...] = ()
        self.reconnect_count = 0  # how often the connection was lost and restored
        self.away_s = 0.0  # how long the last reconnection took
        self._attach()

    @property
    def serialno(self) -> str:
        """The phone's hardware serial number, which does not depend on how it is connected."""
        return self._identity[0] or self.serial

    def query(self, command: Command) -> CommandResult:
        """Run a command without side effects, repeated after a lost connection.

        Raises:
            SurfaceError: if the phone does not come back in time.
        """
        return self._with_reconnect(lambda: self._run(command))

    def execute(self, command: Command) -> CommandResult:
        """Run a command once.

        Raises:
            CommandInterruptedError: if the connection broke and has been restored.
            SurfaceError: if it could not be restored.
        """
        try:
            return self._run(command)
        except ConnectionLostError as error:
            self._reconnect(str(error), time.monotonic() + self.reconnect_s)
            raise CommandInterruptedError(error.sent) from None

    def _attach(self) -> None:
        def features() -> str:
            try:
                return self.server.host_query(f"host-serial:{self.serial}:features")
            except CONNECTION_ERRORS as error:
                raise ConnectionLostError(_reason(error), sent=False) from None

        self._has_shell_v2 = "shell_v2" in self._with_reconnect(features).split(",")
        self._identity = tuple(self.query(getprop(name)).text for name in IDENTITY)

    def _with_reconnect(self, attempt: Callable[[], T]) -> T:
        deadline = 0.0
        while True:
            try:
                return attempt()
            except ConnectionLostError as error:
                if deadline and time.monotonic() > deadline:
                    raise SurfaceError(f"the phone {self.serial} repeatedly failed to answer: {error}") from None
                deadline = deadline or time.monotonic() + self.reconnect_s
                self._reconnect(str(error), deadline)

    def _run(self, command: Command) -> CommandResult:
        timeout_s = self.timeout_s + command.duration_s
        sent = False
        try:
            with self.server.open_connection(timeout_s) as connection:
                connection.send_command(f"host:transport:{self.serial}")
                connection.check_okay()
                sent = True
                service = "shell,v2" if self._has_shell_v2 else "exec"
                connection.send_command(f"{service}:{list2cmdline(command.words)}")
                connection.check_okay()
                if self._has_shell_v2:
                    return _read_packets(connection, timeout_s)
                return CommandResult(connection.read_until_close(None), b"", 0)
        except CONNECTION_ERRORS as error:
            raise ConnectionLostError(_reason(error), sent) from None

    def _reconnect(self, first_reason: str, deadline: float) -> None:
        """Restore this phone's connection; no other device is touched.

        Raises:
            SurfaceError: at the deadline, with the first reason and the last, or if it is another phone now.
        """
        pause_s, last_reason, start = FIRST_PAUSE_S, first_reason, time.monotonic()
        while True:
            try:
                if self._try_reconnect():
                    self.reconnect_count += 1
                    self.away_s = time.monotonic() - start
                    return
            except CONNECTION_ERRORS as error:
                last_reason = _reason(error)
            except ConnectionLostError as error:
                last_reason = str(error)
            if time.monotonic() + pause_s > deadline:
                then = f", then: {last_reason}" if last_reason != first_reason else ""
                raise SurfaceError(
                    f"the phone {self.serial} was lost ({first_reason}{then}) and did not come back within "
                    f"{self.reconnect_s:.0f} s; check its cable or network, then `adb devices`"
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _try_reconnect(self) -> bool:
        self.server.ensure_running()
        state = self.server.devices().get(self.serial, "absent")
        self._check_authorized(state)
        if state != "device":
            if NETWORK.fullmatch(self.serial):
                if state != "absent":
                    self.server.disconnect(self.serial)
                self.server.connect(self.serial)
            elif state == "offline":
                self.server.host_query(f"host-serial:{self.serial}:reconnect")
            state = self.server.devices().get(self.serial, "absent")
            self._check_authorized(state)
            if state != "device":
                return False
        features = self.server.host_query(f"host-serial:{self.serial}:features")
        self._has_shell_v2 = "shell_v2" in features.split(",")  # an update of the phone may have changed it
        if self._identity:
            identity = tuple(self._run(getprop(name)).text for name in IDENTITY)
            if identity != self._identity:
                raise SurfaceError(
                    f"{self.serial} is another phone now ({identity[0] or 'unnamed'}, before {self._identity[0]}); "
                    "the run stops before anything is done on it"
                )
        return True

    def _check_authorized(self, state: str) -> None:
        if state == "unauthorized":
            raise SurfaceError(
                f"the phone {self.serial} does not authorize this computer any more; confirm it on the phone's screen, "
                "and start the run again"
            )


def _read_packets(connection: ServerConnection, timeout_s: float) -> CommandResult:
    outputs = {STDOUT: b"", STDERR: b""}
    deadline = time.monotonic() + timeout_s
    while True:
        header = connection.read_exact(5)
        data = connection.read_exact(int.from_bytes(header[1:], "little"))
        if header[0] == EXIT:
            return CommandResult(outputs[STDOUT], outputs[STDERR], data[0])
        if header[0] in outputs:
            outputs[header[0]] += data
        if time.monotonic() > deadline:
            raise TimeoutError(f"the command did not finish within {timeout_s:.0f} s")


def _reason(error: BaseException) -> str:
    message = " ".join(str(part) for part in error.args if part).strip() or type(error).__name__
    return message.splitlines()[0][:200]
