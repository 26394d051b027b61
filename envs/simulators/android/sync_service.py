"""adb's `sync:` service over files in memory: stat, list, push, pull. Knows bytes and names; touches no disk.

Source: AOSP packages/modules/adb/SYNC.TXT. Folders are there when a file is in them.
"""

from __future__ import annotations

import struct
import time

from envs.simulators.android.adb_protocol import Stream

REGULAR, FOLDER = 0o100644, 0o040755
CHUNK = 64 * 1024
MAX_FILE = 64 * 1024 * 1024


class SyncService:
    """Files by path. ROOTS are folders that are there even when empty."""

    ROOTS = ("/sdcard", "/data/local/tmp")

    def __init__(self) -> None:
        self.contents: dict[str, tuple[bytes, int]] = {}  # path: bytes, seconds since epoch

    def stat(self, path: str) -> tuple[int, int, int]:
        """(mode, bytes, seconds since epoch); zeros where there is nothing."""
        path = path.rstrip("/")
        if path in self.contents:
            data, when = self.contents[path]
            return REGULAR, len(data), when
        folder = any(name.startswith(path + "/") for name in (*self.contents, *(root + "/" for root in self.ROOTS)))
        return (FOLDER, 0, 0) if folder else (0, 0, 0)

    def names(self, folder: str) -> list[str]:
        """What lies directly in a folder."""
        start = folder.rstrip("/") + "/"
        inside = {name.removeprefix(start).partition("/")[0] for name in self.contents if name.startswith(start)}
        return sorted(inside)

    async def serve(self, stream: Stream) -> None:
        """The service, until its QUIT or the stream's end."""
        while True:
            request, length = struct.unpack("<4sI", await stream.read_exactly(8))
            path = (await stream.read_exactly(length)).decode("utf-8", "replace") if length else ""
            if request == b"QUIT":
                return
            if request == b"STAT":
                await stream.write(struct.pack("<4s3I", b"STAT", *self.stat(path)))
            elif request == b"LIST":
                for name in self.names(path):
                    entry = struct.pack("<4s4I", b"DENT", *self.stat(f"{path.rstrip('/')}/{name}"), len(name.encode()))
                    await stream.write(entry + name.encode())
                await stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))
            elif request == b"RECV":
                await self._send(stream, path)
            elif request == b"SEND":
                await self._receive(stream, path.rpartition(",")[0])
            else:
                await _fail(stream, f"unknown request {request!r}")
                return

    async def _send(self, stream: Stream, path: str) -> None:
        if path not in self.contents:
            await _fail(stream, f"open failed: {path}: No such file or directory")
            return
        data = self.contents[path][0]
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            await stream.write(struct.pack("<4sI", b"DATA", len(chunk)) + chunk)
        await stream.write(struct.pack("<4sI", b"DONE", 0))

    async def _receive(self, stream: Stream, path: str) -> None:
        data = b""
        while True:
            kind, number = struct.unpack("<4sI", await stream.read_exactly(8))
            if kind == b"DONE":
                break
            data += await stream.read_exactly(number)
        if len(data) > MAX_FILE or self.stat(path)[0] == FOLDER:
            await _fail(stream, f"couldn't create file: {path}: it is a folder, or larger than {MAX_FILE} bytes")
            return
        self.contents[path] = data, number or int(time.time())
        await stream.write(struct.pack("<4sI", b"OKAY", 0))


async def _fail(stream: Stream, why: str) -> None:
    await stream.write(struct.pack("<4sI", b"FAIL", len(why.encode())) + why.encode())
