"""Forward one port into the network of a sandbox, which has no other way out."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

from actions import SurfaceError
from envs.loop_thread import LoopThread

HELPER_S = 10.0
CHUNK = 1 << 16
LISTENER = Path(__file__).with_name("sandbox_listener.py")


class PortForwarder:
    """Connections to a port on 127.0.0.1 in a sandbox go to the same port on 127.0.0.1 outside of it."""

    def __init__(self, pid: int, port: int) -> None:
        """Listen in the network of a process.

        Args:
            pid: The sandbox's first process.
            port: The port.

        Raises:
            SurfaceError: The network cannot be entered.
        """
        self._port = port
        listener = _listen_in_network_of(pid, port)
        self._thread = LoopThread("pixelhand-sandbox-network")
        self._server = self._thread.call(self._serve(listener), HELPER_S, "listening in the sandbox")

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._server.close()
        self._thread.stop()

    async def _serve(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._forward, sock=listener)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:  # nothing listens outside: the connection is refused inside too
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))
        finally:
            for stream in (writer, to_writer):
                stream.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction of a connection and pass on its end."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # one side is gone, and with it the other
        writer.transport.abort()


def _listen_in_network_of(pid: int, port: int) -> socket.socket:
    """Return a socket that listens in the network of a process; a helper enters it, since a whole process has to."""
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with parent_end, child_end:
        command = [sys.executable, "-I", "-S", str(LISTENER), str(pid), str(port), str(child_end.fileno())]
        helper = subprocess.run(
            command, pass_fds=(child_end.fileno(),), capture_output=True, text=True, timeout=HELPER_S, check=False
        )
        if helper.returncode:
            lines = helper.stderr.strip().splitlines()
            reason = lines[-1][:200] if lines else f"exit code {helper.returncode}"
            raise SurfaceError(f"the network of the sandbox cannot be entered: {reason}; start the run again")
        _, descriptors, _, _ = socket.recv_fds(parent_end, 1, 1)
    return socket.socket(fileno=descriptors[0])
