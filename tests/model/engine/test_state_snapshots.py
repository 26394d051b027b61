"""Snapshots of recurrent layers: which are kept, and which a prefix is cut back to."""

from __future__ import annotations

import pytest
import torch

from model.engine.state_snapshots import StateSnapshots
from model.nn.kv_cache import CacheSnapshot, KVCache, LayerState


def snapshot(length: int) -> CacheSnapshot:
    return CacheSnapshot(length, (None, LayerState(torch.zeros(1, 2, 3), torch.zeros(1, 1, 4, 5))))


def test_shortest_and_longest_snapshots_are_kept() -> None:
    snapshots = StateSnapshots(limit=3)
    for length in (4, 9, 12, 20, 31):
        snapshots.add(snapshot(length))
    assert snapshots.lengths == [4, 20, 31]
    assert snapshots.bytes == 3 * (6 + 20) * 4


def test_longest_snapshot_is_at_most_the_prefix() -> None:
    snapshots = StateSnapshots()
    for length in (4, 9, 12):
        snapshots.add(snapshot(length))
    lengths = {prefix: kept.length if (kept := snapshots.longest(prefix)) else 0 for prefix in (3, 4, 8, 9, 30)}
    assert lengths == {3: 0, 4: 4, 8: 4, 9: 9, 30: 12}


def test_snapshots_of_other_tokens_are_dropped() -> None:
    snapshots = StateSnapshots()
    for length in (4, 9, 12, 9):
        snapshots.add(snapshot(length))
    assert snapshots.lengths == [4, 9]
    snapshots.drop_after(8)
    assert snapshots.lengths == [4]


def test_cache_with_states_is_not_truncated() -> None:
    cache = KVCache(2)
    cache.length = 7
    cache.states[0] = LayerState(torch.zeros(1, 2, 3), torch.zeros(1, 1, 4, 5))
    kept = cache.snapshot()
    with pytest.raises(ValueError, match="cannot truncate a cache of 7 tokens to 3"):
        cache.truncate(3)
    cache.truncate(7)
    cache.length = 9
    cache.states[0] = None
    cache.restore(kept)
    assert cache.length == 7
    assert cache.states[0] is kept.states[0]
    cache.truncate(0)
    assert cache.states == [None, None]
    with pytest.raises(ValueError, match="cannot restore a cache of 0 tokens to 7"):
        cache.restore(kept)
