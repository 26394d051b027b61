"""When a screen counts as still, and what changed on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from actions import Screen
from envs.stability import ChangedRegion, SettleOptions, find_change, is_equal, settle

QUICK = SettleOptions(first_s=0.0, interval_s=0.01, cap_s=0.3, busy_cap_s=0.6)


def screen(value: int = 0, width: int = 30, height: int = 20) -> Screen:
    return Screen(np.full((height, width, 3), value, np.uint8))


def film(*values):
    """A capture function that shows these one after the other, and then the last for ever."""
    rest = list(values)
    return lambda: screen(rest.pop(0) if len(rest) > 1 else rest[0])


def test_a_still_screen_takes_two_looks():
    settled = settle(film(5), QUICK)
    assert (settled.still, settled.frames) == (True, 2)
    assert settled.seconds < 0.2


@pytest.mark.parametrize(("look_s", "wanted_s"), [(0.03, 0.02 + 0.05 + 0.03), (0.08, 0.02 + 2 * 0.08)])
def test_the_time_of_a_look_counts_for_the_wait_between_two(
    look_s: float, wanted_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    def look() -> Screen:
        passes(look_s)
        return screen()

    monkeypatch.setattr("envs.stability.time", SimpleNamespace(monotonic=lambda: now[0], sleep=passes))
    assert settle(look, SettleOptions()).seconds == pytest.approx(wanted_s)


def test_a_moving_screen_is_followed_to_its_rest():
    settled = settle(film(1, 2, 3, 4, 4), QUICK)
    assert settled.still and settled.frames == 5
    assert int(settled.screen.pixels[0, 0, 0]) == 4


def test_a_screen_that_never_rests_ends_at_the_cap():
    numbers = iter(range(10_000))
    settled = settle(lambda: screen(next(numbers) % 250), QUICK)
    assert not settled.still
    assert 0.3 <= settled.seconds < 1.0


def test_a_busy_machine_is_waited_for_though_its_screen_is_still():
    answers = iter([True] * 8 + [False] * 100)
    settled = settle(film(5), QUICK, busy=lambda: next(answers))
    assert settled.still and settled.frames > 4


def test_a_machine_that_stays_busy_ends_at_its_own_cap():
    settled = settle(film(5), QUICK, busy=lambda: True)
    assert not settled.still
    assert 0.6 <= settled.seconds < 1.5


def test_changed_is_none_for_equal_screens():
    assert find_change(screen(3), screen(3)) is None
    assert (
        is_equal(screen(3), screen(3)) and not is_equal(screen(3), screen(4)) and not is_equal(screen(3), screen(3, 31))
    )


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 1), (0, 1)), ((19, 20), (29, 30)), ((4, 9), (10, 25)), ((0, 20), (0, 30))]
)
def test_changed_boxes_what_differs_in_any_channel(rows, columns):
    before = screen()
    for channel in range(3):
        pixels = before.pixels.copy()
        pixels[rows[0] : rows[1], columns[0] : columns[1], channel] = 1
        share = (rows[1] - rows[0]) * (columns[1] - columns[0]) / 600
        assert find_change(before, Screen(pixels)) == ChangedRegion(
            columns[0], rows[0], columns[1], rows[1], pytest.approx(share)
        )


def test_changed_spans_two_far_corners():
    pixels = screen().pixels.copy()
    pixels[0, 0] = pixels[19, 29] = 9
    assert find_change(screen(), Screen(pixels)) == ChangedRegion(0, 0, 30, 20, pytest.approx(2 / 600))


def test_screens_of_two_sizes_differ_wholly():
    assert find_change(screen(), screen(0, 10, 12)) == ChangedRegion(0, 0, 10, 12, 1.0)
