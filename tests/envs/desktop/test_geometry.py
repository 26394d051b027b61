"""Where a pixel of the Screen lies on the desktop: exact under scale, offsets and sizes that do not divide."""

from __future__ import annotations

import random

import pytest

from actions import UsageError
from envs.desktop.geometry import Box, Monitor, Viewport, select_monitor

MONITORS = [
    Monitor(1, Box(0, 0, 1920, 1080), primary=True),
    Monitor(2, Box(-2560, -200, 2560, 1440), primary=False, scale=2.0),
]


def test_one_to_one_with_negative_offsets_is_a_shift():
    view = Viewport.of(Box(-1920, -40, 1920, 1080), 1.0)
    assert (view.width, view.height) == (1920, 1080)
    for x, y in [(0, 0), (1919, 1079), (7, 500)]:
        assert view.point(x, y) == (x - 1920, y - 40)


@pytest.mark.parametrize("scale", [1.25, 1.5, 2.0, 3.0])
def test_a_pixel_stands_for_the_point_in_its_middle(scale):
    view = Viewport.of(Box(-2560, -200, 2560, 1440), scale)
    assert (view.width, view.height) == (round(2560 / scale), round(1440 / scale))
    for _ in range(500):
        x, y = random.randrange(view.width), random.randrange(view.height)
        at_x, at_y = view.point(x, y)
        assert at_x == -2560 + int((x + 0.5) * 2560 / view.width)
        assert at_y == -200 + int((y + 0.5) * 1440 / view.height)
        assert view.box.contains(at_x, at_y)


def test_scale_two_lands_on_the_second_of_two_points():
    assert Viewport.of(Box(100, 50, 800, 600), 2.0).point(3, 4) == (100 + 7, 50 + 9)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_cannot_be_is_refused(scale):
    with pytest.raises(UsageError, match="scale of"):
        Viewport.of(Box(0, 0, 10, 10), scale)


def test_monitors_are_chosen_by_number_and_the_primary_is_the_default():
    assert select_monitor(MONITORS, "").number == 1
    assert select_monitor(MONITORS, "monitor:2").box.left == -2560
    with pytest.raises(UsageError, match=r"no desktop 'monitor:3'; have virtual, monitor:1 \(1920x1080\), monitor:2"):
        select_monitor(MONITORS, "monitor:3")


def test_common_parts():
    assert Box(0, 0, 100, 100).intersection(Box(50, -10, 100, 30)) == Box(50, 0, 50, 20)
    assert Box(0, 0, 10, 10).intersection(Box(20, 0, 5, 5)).width == 0
