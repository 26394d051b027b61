"""The device's side of the adb protocol: messages, and streams over one connection.

Source: AOSP packages/modules/adb/protocol.txt. A message is six little-endian words (command, two arguments, the
payload's length, its checksum, the command's complement) and a payload. Keys are not checked; there is no TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Callable, Coroutine
from typing import NamedTuple

HEADER = struct.Struct("<6I")
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
AUTH_TOKEN, AUTH_SIGNATURE, TOKEN_BYTES = 1, 2, 20
VERSION = 0x01000001  # from this version on, payloads need no checksum
MAX_PAYLOAD = 1024 * 1024
WORD = 0xFFFFFFFF


class Message(NamedTuple):
    """A message of the protocol."""

    command: int
    arg0: int
    arg1: int
    data: bytes = b""


def pack_message(message: Message) -> bytes:
    """Return the bytes of a message; the first one of a connection has a checksum."""
    command, arg0, arg1, data = message
    checksum = sum(data) & WORD if command == CNXN else 0
    return HEADER.pack(command, arg0, arg1, len(data), checksum, command ^ WORD) + data


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Read the next message.

    Raises:
        ValueError: for bytes that are no message.
        asyncio.IncompleteReadError: at the end of the connection.
    """
    command, arg0, arg1, length, _, complement = HEADER.unpack(await reader.readexactly(HEADER.size))
    if complement != command ^ WORD or length > MAX_PAYLOAD:
        raise ValueError(f"not an adb message: command {command:#x} with a payload of {length} bytes")
    return Message(command, arg0, arg1, await reader.readexactly(length) if length else b"")


class Stream:
    """One service's bidirectional stream. Each write waits for the other side's acknowledgement."""

    def __init__(self, connection: AdbConnection, local_id: int, remote_id: int) -> None:
        self._connection, self._local_id, self._remote_id = connection, local_id, remote_id
        self._acknowledged = asyncio.Event()
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._buffer = b""
        self.closed = False

    async def write(self, data: bytes) -> None:
        """Send data; ConnectionError if the other side closed the stream."""
        size = self._connection.max_payload
        for start in range(0, len(data), size):
            self._acknowledged.clear()
            if self.closed:
                raise ConnectionError("the other side closed the stream")
            await self._connection.send(Message(WRTE, self._local_id, self._remote_id, data[start : start + size]))
            await self._acknowledged.wait()

    async def read_exactly(self, count: int) -> bytes:
        """Receive this many bytes; ConnectionError if the stream ends before."""
        while len(self._buffer) < count:
            data = await self._received.get()
            if not data:
                raise ConnectionError("the other side closed the stream")
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    async def close(self) -> None:
        """Close the stream on both sides."""
        if not self.closed:
            self.mark_closed()
            await self._connection.send(Message(CLSE, self._local_id, self._remote_id))

    def acknowledge(self) -> None:
        """Let a waiting write continue."""
        self._acknowledged.set()

    def feed(self, data: bytes) -> None:
        """Add received data."""
        self._received.put_nowait(data)

    def mark_closed(self) -> None:
        """Let waiting reads and writes fail."""
        self.closed = True
        self._acknowledged.set()
        self._received.put_nowait(b"")


Service = Callable[[Stream], Coroutine[None, None, None]]


class AdbConnection:
    """The connection of one adb server."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        banner: Callable[[], str],
        find_service: Callable[[str], Service | None],
        is_authorized: Callable[[], bool] = lambda: True,
    ) -> None:
        """Use an accepted connection.

        Args:
            reader: of the connection.
            writer: of the connection.
            banner: returns the device's description.
            find_service: returns what runs a service by its name, None for an unknown one.
            is_authorized: returns whether the user has allowed this computer; no key is ever accepted otherwise.
        """
        self._reader, self._writer = reader, writer
        self._banner, self._find_service, self._is_authorized = banner, find_service, is_authorized
        self._streams: dict[int, Stream] = {}
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.max_payload = MAX_PAYLOAD

    async def send(self, message: Message) -> None:
        """Send a message."""
        self._writer.write(pack_message(message))
        await self._writer.drain()

    async def run(self) -> None:
        """Handle messages until the connection ends, and the services of its streams with it."""
        try:
            while True:
                await self._handle(await read_message(self._reader))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once, as a pulled cable does."""
        self._writer.transport.abort()

    async def _handle(self, message: Message) -> None:
        command, arg0, arg1, data = message
        if (command == CNXN or (command == AUTH and arg0 == AUTH_SIGNATURE)) and not self._is_authorized():
            await self.send(Message(AUTH, AUTH_TOKEN, 0, bytes(TOKEN_BYTES)))
        elif command == CNXN:
            self.max_payload = min(MAX_PAYLOAD, arg1)
            await self.send(Message(CNXN, VERSION, MAX_PAYLOAD, self._banner().encode()))
        elif command == OPEN:
            await self._open(arg0, data.rstrip(b"\0").decode("utf-8", "replace"))
        elif stream := self._streams.get(arg1):
            if command == OKAY:
                stream.acknowledge()
            elif command == WRTE:
                stream.feed(data)
                await self.send(Message(OKAY, arg1, arg0))
            elif command == CLSE:
                stream.mark_closed()

    async def _open(self, remote_id: int, name: str) -> None:
        service = self._find_service(name)
        if service is None:
            await self.send(Message(CLSE, 0, remote_id))
            return
        local_id = next(self._ids)
        stream = self._streams[local_id] = Stream(self, local_id, remote_id)
        await self.send(Message(OKAY, local_id, remote_id))
        task = asyncio.ensure_future(self._serve(service, stream, local_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, service: Service, stream: Stream, local_id: int) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await service(stream)
                await stream.close()
        finally:
            del self._streams[local_id]
