"""Snapshots of recurrent layers at lengths to which a context may be cut back."""

from __future__ import annotations

from model.nn.config import MAX_SNAPSHOTS
from model.nn.kv_cache import CacheSnapshot


class StateSnapshots:
    """Snapshots of one context, at most `limit`: the shortest, which all prompts of a run share, and the longest."""

    def __init__(self, limit: int = MAX_SNAPSHOTS) -> None:
        self.limit = limit
        self._snapshots: list[CacheSnapshot] = []  # by length

    @property
    def bytes(self) -> int:
        """Memory of the snapshots."""
        return sum(snapshot.bytes for snapshot in self._snapshots)

    @property
    def lengths(self) -> list[int]:
        """Lengths of the snapshots, ascending."""
        return [snapshot.length for snapshot in self._snapshots]

    def add(self, snapshot: CacheSnapshot) -> None:
        """Keep a snapshot that is longer than all others; one of an equal length is replaced."""
        self.drop_after(snapshot.length - 1)
        self._snapshots.append(snapshot)
        if len(self._snapshots) > self.limit:
            del self._snapshots[1]

    def longest(self, length: int) -> CacheSnapshot | None:
        """Return the longest snapshot of at most that length."""
        return max(
            (snapshot for snapshot in self._snapshots if snapshot.length <= length),
            key=lambda snapshot: snapshot.length,
            default=None,
        )

    def drop_after(self, length: int) -> None:
        """Drop the snapshots that are longer."""
        self._snapshots = [snapshot for snapshot in self._snapshots if snapshot.length <= length]
