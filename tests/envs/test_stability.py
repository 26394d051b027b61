"""When a screen counts as stable, and what changed on it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from actions import Screen
from envs.stability import ChangedRegion, SettleOptions, find_change, is_equal, settle

QUICK = SettleOptions(first_s=0.0, interval_s=0.01, cap_s=0.3, busy_cap_s=0.6)


def screen(value: int = 0, width: int = 30, height: int = 20) -> Screen:
    return Screen(np.full((height, width, 3), value, np.uint8))


def captures(*values):
    """Return a capture function whose screens have these values in turn, and then the last one."""
    remaining = list(values)
    return lambda: screen(remaining.pop(0) if len(remaining) > 1 else remaining[0])


def test_stable_screen_takes_two_captures():
    settled = settle(captures(5), QUICK)
    assert (settled.still, settled.frames) == (True, 2)


@pytest.mark.parametrize(("capture_s", "expected_s"), [(0.03, 0.02 + 0.05 + 0.03), (0.08, 0.02 + 2 * 0.08)])
def test_capture_time_counts_towards_interval(
    capture_s: float, expected_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    def capture() -> Screen:
        advance(capture_s)
        return screen()

    monkeypatch.setattr("envs.stability.time", SimpleNamespace(monotonic=lambda: now[0], sleep=advance))
    assert settle(capture, SettleOptions()).seconds == pytest.approx(expected_s)


def test_changing_screen_is_awaited():
    settled = settle(captures(1, 2, 3, 4, 4), QUICK)
    assert settled.still
    assert settled.frames == 5
    assert int(settled.screen.pixels[0, 0, 0]) == 4


def test_unstable_screen_ends_at_cap():
    numbers = iter(range(10_000))
    settled = settle(lambda: screen(next(numbers) % 250), QUICK)
    assert not settled.still
    assert settled.seconds >= 0.3


def test_busy_surface_is_awaited():
    answers = iter([True] * 8 + [False] * 100)
    settled = settle(captures(5), replace(QUICK, cap_s=30.0, busy_cap_s=60.0), busy=lambda: next(answers))
    assert settled.still
    assert settled.frames > 4


def test_busy_surface_ends_at_busy_cap():
    settled = settle(captures(5), QUICK, busy=lambda: True)
    assert not settled.still
    assert settled.seconds >= 0.6


def test_find_change_of_equal_screens_is_none():
    assert find_change(screen(3), screen(3)) is None
    assert is_equal(screen(3), screen(3))
    assert not is_equal(screen(3), screen(4))
    assert not is_equal(screen(3), screen(3, 31))


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 1), (0, 1)), ((19, 20), (29, 30)), ((4, 9), (10, 25)), ((0, 20), (0, 30))]
)
def test_find_change_boxes_any_channel(rows, columns):
    before = screen()
    for channel in range(3):
        pixels = before.pixels.copy()
        pixels[rows[0] : rows[1], columns[0] : columns[1], channel] = 1
        share = (rows[1] - rows[0]) * (columns[1] - columns[0]) / 600
        assert find_change(before, Screen(pixels)) == ChangedRegion(
            columns[0], rows[0], columns[1], rows[1], pytest.approx(share)
        )


def test_find_change_spans_distant_pixels():
    pixels = screen().pixels.copy()
    pixels[0, 0] = pixels[19, 29] = 9
    assert find_change(screen(), Screen(pixels)) == ChangedRegion(0, 0, 30, 20, pytest.approx(2 / 600))


def test_screens_of_different_size_differ_everywhere():
    assert find_change(screen(), screen(0, 10, 12)) == ChangedRegion(0, 0, 10, 12, 1.0)
