"""The journal of a run: one JSON line per prediction, appended as it is made."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actions import SurfaceError, UsageError

JOURNAL = "journal.jsonl"
SYNC_S = 1.0  # between two fsync calls: the most that a power cut can lose; a killed process loses nothing


class Journal:
    """The predictions of a folder by id, and the open file that takes more.

    A crash can leave the last line incomplete; it is removed.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self._synced_at = descriptor, time.monotonic()
        self.entries: dict[str, dict[str, Any]] = {}
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.ftruncate(descriptor, end)
        for number, line in enumerate(content[:end].splitlines(), 1):
            try:
                entry = json.loads(line)
                self.entries[entry["id"]] = entry
            except (ValueError, KeyError, TypeError):
                raise UsageError(f"{path}, line {number}: not a prediction; choose another folder with --out") from None

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append a prediction.

        Raises:
            SurfaceError: The disk is full.
        """
        line = json.dumps(entry).encode() + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise SurfaceError(
                "the disk is full: a prediction could not be written; free some space and run the same command again"
            )
        if time.monotonic() - self._synced_at > SYNC_S:
            os.fsync(self._descriptor)
            self._synced_at = time.monotonic()


@contextmanager
def open_journal(out: Path) -> Iterator[Journal]:
    """Open a folder's journal for this process alone.

    Raises:
        UsageError: The folder is not writable, or another process has the journal open.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from None
    try:
        _lock(descriptor, out)
        yield Journal(descriptor, out / JOURNAL)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, out: Path) -> None:
    """Lock the file until it is closed or the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder then repeat each other's work
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"another run is writing to {out}; wait for it, or choose another folder with --out") from None
