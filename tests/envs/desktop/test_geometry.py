"""Screen pixels mapped to the desktop under scales, offsets and sizes that do not divide."""

from __future__ import annotations

import random

import pytest

from actions import UsageError
from envs.desktop.geometry import Box, Monitor, Viewport, select_monitor

MONITORS = [
    Monitor(1, Box(0, 0, 1920, 1080), primary=True),
    Monitor(2, Box(-2560, -200, 2560, 1440), primary=False, scale=2.0),
]


def test_viewport_of_scale_one_only_shifts() -> None:
    viewport = Viewport.of(Box(-1920, -40, 1920, 1080), 1.0)
    assert (viewport.width, viewport.height) == (1920, 1080)
    for x, y in [(0, 0), (1919, 1079), (7, 500)]:
        assert viewport.point(x, y) == (x - 1920, y - 40)


@pytest.mark.parametrize("scale", [1.25, 1.5, 2.0, 3.0])
def test_point_is_the_middle_of_the_pixel(scale: float) -> None:
    viewport = Viewport.of(Box(-2560, -200, 2560, 1440), scale)
    assert (viewport.width, viewport.height) == (round(2560 / scale), round(1440 / scale))
    generator = random.Random(3)
    for _ in range(500):
        x, y = generator.randrange(viewport.width), generator.randrange(viewport.height)
        native_x, native_y = viewport.point(x, y)
        assert native_x == -2560 + int((x + 0.5) * 2560 / viewport.width)
        assert native_y == -200 + int((y + 0.5) * 1440 / viewport.height)
        assert viewport.box.contains(native_x, native_y)


def test_point_of_scale_two_is_the_second() -> None:
    assert Viewport.of(Box(100, 50, 800, 600), 2.0).point(3, 4) == (100 + 7, 50 + 9)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_viewport_refuses_invalid_scale(scale: float) -> None:
    with pytest.raises(UsageError, match="scale"):
        Viewport.of(Box(0, 0, 10, 10), scale)


def test_select_monitor_by_number_and_default() -> None:
    assert select_monitor(MONITORS, "").number == 1
    assert select_monitor(MONITORS, "monitor:2").box.left == -2560


def test_select_monitor_lists_available_ones() -> None:
    with pytest.raises(UsageError, match=r"'monitor:3': have virtual, monitor:1 \(1920x1080\), monitor:2"):
        select_monitor(MONITORS, "monitor:3")


def test_intersection_of_boxes() -> None:
    assert Box(0, 0, 100, 100).intersection(Box(50, -10, 100, 30)) == Box(50, 0, 50, 20)
    assert Box(0, 0, 10, 10).intersection(Box(20, 0, 5, 5)).width == 0
