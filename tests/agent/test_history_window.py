"""Tests of HistoryWindow: limits, block-wise eviction and the append-only property."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow, evicted_count

SCREEN = Screen(np.zeros((4, 4, 3), np.uint8))
STEPS = [Step(n + 1, SCREEN, Reply(f"reply {n}")) for n in range(80)]


def selected(window: HistoryWindow, count: int) -> list[tuple[int, bool]]:
    return [(entry.step.index, entry.picture) for entry in window.select(STEPS[:count])]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 79))
def test_select_respects_limits_and_keeps_latest(steps: int, images: int, count: int) -> None:
    entries = selected(HistoryWindow(steps, images), count)
    assert len(entries) <= steps
    assert sum(has_image for _, has_image in entries) <= images
    assert [index for index, _ in entries] == list(range(count - len(entries) + 1, count + 1))
    if steps and count:
        assert entries[-1] == (count, images > 0)


@given(st.integers(1, 20), st.integers(0, 20))
def test_select_only_appends_between_block_evictions(steps: int, images: int) -> None:
    window = HistoryWindow(steps, images)
    breaks = [n for n in range(60) if selected(window, n + 1)[: len(selected(window, n))] != selected(window, n)]
    blocks = [
        n
        for n in range(60)
        if evicted_count(n, steps) != evicted_count(n + 1, steps)
        or evicted_count(n, images) != evicted_count(n + 1, images)
    ]
    assert set(breaks) <= set(blocks)
    if images >= steps:
        gaps = [b - a for a, b in pairwise(breaks)]
        assert all(gap >= (steps + 1) // 2 for gap in gaps)


def test_select_evicts_half_of_limit_at_once() -> None:
    lengths = [len(selected(HistoryWindow(4, 4), n)) for n in range(12)]
    assert lengths == [0, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3]


def test_images_are_evicted_in_blocks() -> None:
    window = HistoryWindow(30, 2)
    assert selected(window, 3) == [(1, False), (2, True), (3, True)]
    assert selected(HistoryWindow(30, 4), 5) == [(1, False), (2, False), (3, True), (4, True), (5, True)]
    assert selected(HistoryWindow(30, 4), 6) == [*selected(HistoryWindow(30, 4), 5), (6, True)]


def test_zero_limits_select_nothing() -> None:
    assert selected(HistoryWindow(0, 0), 50) == []


def test_negative_limit_raises_usage_error() -> None:
    with pytest.raises(UsageError, match="0 or more, not -1 and 0"):
        HistoryWindow(-1, 0)
