"""What separates a virtual desktop from its user: folders, an environment, a message bus and a sandbox of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from envs.chromium.policies import MANAGED_FOLDERS, managed_policies, write_policies
from envs.desktop.private_home import USER_FOLDERS, PrivateHome
from envs.desktop.sandbox import LIMITS, Sandbox, read_child_pid, sandbox_problem
from envs.desktop.sandbox_network import PortForwarder

NO_BUS = "disabled:"
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""  # no folders of services: the bus starts no program, neither keyrings nor portals
X_SOCKETS = Path("/tmp/.X11-unix")


class Isolation:
    """The boundary of one virtual desktop.

    Args:
        folder: Folder of the desktop's files.
        readable: Files and folders that programs may read, beside the system's.
        shared: Folders of the user that programs may read and write.
        allowed_urls: Patterns of addresses that Chromium opens although their scheme is blocked.
        proxy_port: Port on 127.0.0.1 that is the only way into the network; None to share the machine's network.
    """

    def __init__(
        self,
        folder: Path,
        *,
        readable: Sequence[Path] = (),
        shared: Sequence[Path] = (),
        allowed_urls: Sequence[str] = (),
        proxy_port: int | None = None,
    ) -> None:
        self.problem = sandbox_problem()  # "" if programs are kept from the user's files
        self.home = PrivateHome(folder)
        self.proxy_port = proxy_port
        self._shared = list(shared)
        self._readable = [path for path in readable if not any(path.is_relative_to(other) for other in self._shared)]
        self._sandbox_pids: list[int] = []
        self._forwarders: list[PortForwarder] = []
        self._bus: subprocess.Popen[bytes] | None = None
        self._policies = folder / "policies"
        write_policies(self._policies, managed_policies(self.home.home / USER_FOLDERS["DOWNLOAD"], allowed_urls))

    def environment(self, display: str, authority: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment of the programs on a display."""
        return self.home.environment(environ) | {
            "DISPLAY": display,
            "XAUTHORITY": str(authority),
            "XDG_SESSION_TYPE": "x11",
            "GDK_BACKEND": "x11",
            "QT_QPA_PLATFORM": "xcb",
            "QT_X11_NO_MITSHM": "1",  # the server is outside of the sandbox, and shares no memory with its programs
            "DBUS_SESSION_BUS_ADDRESS": NO_BUS if self._bus_program() is None else self.home.bus_address,
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
        }

    def pids(self) -> list[int]:
        """Return the ids of the sandboxes' first processes; a sandbox ends with it."""
        return list(self._sandbox_pids)

    def start_bus(self, environ: Mapping[str, str], log: IO[bytes]) -> bool:
        """Start the desktop's own message bus; return False if dbus-daemon is not installed."""
        program = self._bus_program()
        if program is None:
            return False
        config = self.home.system / "bus.conf"
        config.write_text(BUS_CONFIG.format(address=self.home.bus_address))
        command = [program, "--nofork", "--nopidfile", f"--config-file={config}"]
        self._bus = self.start(command, environ, log, has_network=False)
        return True

    def is_bus_ready(self) -> bool:
        """Return whether programs can connect to the message bus."""
        return (self.home.runtime / "bus").exists()

    def start(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        log: IO[bytes],
        *,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        has_network: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside of the boundary.

        Args:
            command: The program and its arguments.
            environ: Its environment.
            log: Takes its output.
            prefix: Command line that runs the program, outside of the boundary.
            pass_fds: File descriptors that it inherits.
            has_network: Reach the network, through the proxy if there is one.

        Raises:
            OSError: The program cannot be started.
            SurfaceError: The network of the sandbox cannot be set up.
        """
        if self.problem:
            return _popen([*prefix, *LIMITS, *command], environ, log, pass_fds)
        is_forwarded = has_network and self.proxy_port is not None
        sandbox = self._sandbox(
            environ["DISPLAY"], Path(environ["XAUTHORITY"]), is_offline=is_forwarded or not has_network
        )
        with contextlib.ExitStack() as stack:
            info, block = (_pipe(stack) for _ in range(2))
            arguments = sandbox.command([*LIMITS, *command], info[1].fileno(), block[0].fileno())
            inherited = [*pass_fds, info[1].fileno(), block[0].fileno()]
            process = _popen([*prefix, *arguments], environ, log, inherited)
            info[1].close()
            block[0].close()
            if pid := read_child_pid(info[0].fileno()):
                self._sandbox_pids.append(pid)
                if is_forwarded:
                    assert self.proxy_port is not None
                    self._forwarders.append(PortForwarder(pid, self.proxy_port))
            block[1].write(b"\n")  # the program starts
        return process

    def close(self) -> None:
        """Close the ways into the network, after the processes have ended. Safe to call twice."""
        for forwarder in self._forwarders:
            forwarder.close()
        self._forwarders.clear()
        if self._bus is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._bus.wait(1.0)

    def _sandbox(self, display: str, authority: Path, *, is_offline: bool) -> Sandbox:
        socket = X_SOCKETS / f"X{display.removeprefix(':')}"
        return Sandbox(
            self.home,
            read_only=[*self._readable, socket, authority, self.home.system],
            writable=self._shared,
            replaced=dict.fromkeys(MANAGED_FOLDERS, self._policies),
            is_offline=is_offline,
        )

    def _bus_program(self) -> str | None:
        return shutil.which("dbus-daemon")


def exit_reason(code: int) -> str:
    """Return how a program ended; a sandbox gives 128 plus the number of a signal as its exit code."""
    if code > 128:
        code = 128 - code
    return f"was killed (signal {-code})" if code < 0 else f"exited with code {code}"


def _popen(
    command: Sequence[str], environ: Mapping[str, str], log: IO[bytes], pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def _pipe(stack: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return stack.enter_context(open(read, "rb", 0)), stack.enter_context(open(write, "wb", 0))
