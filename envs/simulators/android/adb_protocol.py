"""The device's side of the adb protocol: messages, and streams over one connection. Knows bytes; knows no phone.

Source: AOSP packages/modules/adb/protocol.txt. A message is six little-endian words (command, two arguments, the
payload's length, its checksum, the command's complement) and a payload. Authentication and TLS are not spoken.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

HEADER = struct.Struct("<6I")
CNXN, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
VERSION = 0x01000001  # from here on payloads may come without a checksum
MAX_PAYLOAD = 1024 * 1024
WORD = 0xFFFFFFFF


class Message(NamedTuple):
    command: int
    arg0: int
    arg1: int
    data: bytes = b""


def packed(message: Message) -> bytes:
    """The message as it goes over the line, with its checksum."""
    command, arg0, arg1, data = message
    checksum = sum(data) & WORD if command == CNXN else 0
    return HEADER.pack(command, arg0, arg1, len(data), checksum, command ^ WORD) + data


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message. ValueError for what is none, IncompleteReadError at the end of the line."""
    command, arg0, arg1, length, _, magic = HEADER.unpack(await reader.readexactly(HEADER.size))
    if magic != command ^ WORD or length > MAX_PAYLOAD:
        raise ValueError(f"expected an adb message, came {command:#x} with a payload of {length} bytes")
    return Message(command, arg0, arg1, await reader.readexactly(length) if length else b"")


class Stream:
    """One service's two-way line. Each write waits until the other side took it."""

    def __init__(self, link: AdbConnection, local: int, remote: int) -> None:
        self._link, self._local, self._remote = link, local, remote
        self._taken = asyncio.Event()
        self._came: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self.closed = False

    async def write(self, data: bytes) -> None:
        """ConnectionError when the other side closed the stream."""
        for start in range(0, len(data), self._link.max_payload):
            self._taken.clear()
            if self.closed:
                raise ConnectionError("the other side closed the stream")
            await self._link.send(
                Message(WRTE, self._local, self._remote, data[start : start + self._link.max_payload])
            )
            await self._taken.wait()

    async def read_exactly(self, count: int) -> bytes:
        """ConnectionError when the stream ends before that."""
        while len(self._rest) < count:
            came = await self._came.get()
            if not came:
                raise ConnectionError("the other side closed the stream")
            self._rest += came
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    async def close(self) -> None:
        if not self.closed:
            self.end()
            await self._link.send(Message(CLSE, self._local, self._remote))

    def took(self) -> None:
        self._taken.set()

    def put(self, data: bytes) -> None:
        self._came.put_nowait(data)

    def end(self) -> None:
        self.closed = True
        self._taken.set()
        self._came.put_nowait(b"")


Service = Callable[[Stream], Coroutine[Any, Any, None]]


class AdbConnection:
    """One connection of an adb server. services: a service's name -> what runs it, None for one that is not known."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        banner: Callable[[], str],
        services: Callable[[str], Service | None],
    ) -> None:
        self._reader, self._writer, self._banner, self._services = reader, writer, banner, services
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.max_payload = MAX_PAYLOAD

    async def send(self, message: Message) -> None:
        self._writer.write(packed(message))
        await self._writer.drain()

    async def run(self) -> None:
        """Until the line is cut; every stream's service ends with it."""
        try:
            while True:
                await self._take(await read_message(self._reader))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            self.cut()

    def cut(self) -> None:
        """Drop the line at once, as a pulled cable does."""
        self._writer.transport.abort()

    async def _take(self, message: Message) -> None:
        command, arg0, arg1, data = message
        if command == CNXN:
            self.max_payload = min(MAX_PAYLOAD, arg1)
            await self.send(Message(CNXN, VERSION, MAX_PAYLOAD, self._banner().encode()))
        elif command == OPEN:
            await self._open(arg0, data.rstrip(b"\0").decode("utf-8", "replace"))
        elif stream := self._streams.get(arg1):
            if command == OKAY:
                stream.took()
            elif command == WRTE:
                stream.put(data)
                await self.send(Message(OKAY, arg1, arg0))
            elif command == CLSE:
                stream.end()

    async def _open(self, remote: int, name: str) -> None:
        service = self._services(name)
        if service is None:
            await self.send(Message(CLSE, 0, remote))
            return
        local = next(self._numbers)
        stream = self._streams[local] = Stream(self, local, remote)
        await self.send(Message(OKAY, local, remote))
        task = asyncio.ensure_future(self._serve(service, stream, local))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, service: Service, stream: Stream, local: int) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await service(stream)
                await stream.close()
        finally:
            del self._streams[local]
