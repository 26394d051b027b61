"""The `sync:` service of adb over files in memory: stat, list, push and pull.

Source: AOSP packages/modules/adb/SYNC.TXT. A folder exists while it contains a file.
"""

from __future__ import annotations

import struct
import time

from envs.simulators.android.adb_protocol import Stream

REGULAR, FOLDER = 0o100644, 0o040755
CHUNK = 64 * 1024
MAX_FILE = 64 * 1024 * 1024
ROOTS = ("/sdcard", "/data/local/tmp")  # folders that exist even when empty


class SyncService:
    """A file system in memory."""

    def __init__(self) -> None:
        self.contents: dict[str, tuple[bytes, int]] = {}  # by path: data, modification time in seconds since the epoch

    def stat(self, path: str) -> tuple[int, int, int]:
        """Return (mode, size, modification time); zeros if the path does not exist."""
        path = path.rstrip("/")
        if path in self.contents:
            data, modified = self.contents[path]
            return REGULAR, len(data), modified
        is_folder = any(name.startswith(path + "/") for name in (*self.contents, *(root + "/" for root in ROOTS)))
        return (FOLDER, 0, 0) if is_folder else (0, 0, 0)

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's entries."""
        prefix = folder.rstrip("/") + "/"
        paths = [path.removeprefix(prefix) for path in self.contents if path.startswith(prefix)]
        return sorted({path.partition("/")[0] for path in paths})

    async def serve(self, stream: Stream) -> None:
        """Answer requests until QUIT or the end of the stream."""
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


async def _fail(stream: Stream, message: str) -> None:
    await stream.write(struct.pack("<4sI", b"FAIL", len(message.encode())) + message.encode())
