"""Which steps and pictures are shown; above all, that what was shown stays where it was."""

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


def seen(memory: HistoryWindow, count: int) -> list[tuple[int, bool]]:
    return [(shown.step.index, shown.picture) for shown in memory.select(STEPS[:count])]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 79))
def test_never_more_than_the_limits_and_always_the_latest(history: int, pictures: int, count: int) -> None:
    shown = seen(HistoryWindow(history, pictures), count)
    assert len(shown) <= history and sum(picture for _, picture in shown) <= pictures
    assert [index for index, _ in shown] == list(range(count - len(shown) + 1, count + 1))
    if history and count:
        assert shown[-1] == (count, pictures > 0)


@given(st.integers(1, 20), st.integers(0, 20))
def test_a_prompt_begins_like_the_one_before_except_where_a_block_goes(history: int, pictures: int) -> None:
    memory = HistoryWindow(history, pictures)
    breaks = [n for n in range(60) if seen(memory, n + 1)[: len(seen(memory, n))] != seen(memory, n)]
    blocks = [
        n
        for n in range(60)
        if evicted_count(n, history) != evicted_count(n + 1, history)
        or evicted_count(n, pictures) != evicted_count(n + 1, pictures)
    ]
    assert set(breaks) <= set(blocks)
    if pictures >= history:
        gaps = [b - a for a, b in pairwise(breaks)]
        assert all(gap >= (history + 1) // 2 for gap in gaps)


def test_the_list_grows_to_its_limit_and_then_loses_half_of_it_at_once() -> None:
    lengths = [len(seen(HistoryWindow(4, 4), n)) for n in range(12)]
    assert lengths == [0, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3]


def test_pictures_go_in_blocks_too_and_their_words_stay() -> None:
    memory = HistoryWindow(30, 2)
    assert seen(memory, 3) == [(1, False), (2, True), (3, True)]
    assert seen(HistoryWindow(30, 4), 5) == [(1, False), (2, False), (3, True), (4, True), (5, True)]
    assert seen(HistoryWindow(30, 4), 6) == [*seen(HistoryWindow(30, 4), 5), (6, True)]


def test_no_history_at_all_is_possible() -> None:
    assert seen(HistoryWindow(0, 0), 50) == []


def test_negative_limits_are_refused() -> None:
    with pytest.raises(UsageError, match="0 or more, not -1 and 0"):
        HistoryWindow(-1, 0)
