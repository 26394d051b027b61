"""Where the coordinates of Qwen2.5-VL's dialect land: the sizes that are shown, and the pixels that are meant."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import Call, InvalidActionError, Screen
from model.dialects.parts.coordinates import to_model, to_screen
from model.dialects.qwen25 import Dialect
from model.processing.image import ImageLimits


def screen_of(width: int, height: int) -> Screen:
    return Screen(np.broadcast_to(np.uint8(0), (height, width, 3)), timestamp=0.0)


def click(coordinate: object, width: int, height: int) -> tuple[int, int]:
    """Where a click lands, read from a reply."""
    arguments = json.dumps({"action": "left_click", "coordinate": coordinate})
    dialect = Dialect(ImageLimits())
    call = dialect.parse(f'<tool_call>{{"name": "computer_use", "arguments": {arguments}}}</tool_call>')
    action = dialect.to_action(call, screen_of(width, height))
    return action.x, action.y


PIXELS = {"official": 12845056, "2700 cells": 2700 * 784, "1 MP": 1003520}
GOLDEN = [  # dialects.md, section 3: screen, then what it is shown as at each budget, or its merged cells
    ((1920, 1080), (1932, 1092), 2691, (1316, 728)),
    ((2560, 1440), (2548, 1428), (1932, 1064), 1222),
    ((3840, 2160), (3836, 2156), 2622, 1222),
    ((3024, 1964), 7560, 2624, 1232),
    ((1512, 982), (1512, 980), 1890, 1232),
    ((1080, 2400), (1092, 2408), 2618, 1272),
    ((1440, 3120), 5661, 2660, 1248),
    ((720, 1280), (728, 1288), None, None),
]


@pytest.mark.parametrize(("screen", "sizes"), [(row[0], row[1:]) for row in GOLDEN])
def test_resized_sizes_are_official(screen: tuple[int, int], sizes: tuple) -> None:
    for expected, max_pixels in zip(sizes, PIXELS.values(), strict=True):
        width, height = ImageLimits(3136, max_pixels).resized(*screen)
        if isinstance(expected, tuple):
            assert (width, height) == expected
        elif expected is not None:
            assert width * height // 784 == expected


@pytest.mark.parametrize(
    ("screen", "value", "means"),
    [  # floor((x + 0.5) * screen / shown), by hand
        ((1080, 2400), (935, 406), (925, 405)),
        ((1080, 2400), (0, 0), (0, 0)),
        ((1080, 2400), (1091, 2407), (1079, 2399)),
        ((1080, 2400), (546, 1204), (540, 1200)),
        ((720, 1280), (364, 644), (360, 640)),
        ((720, 1280), (91, 161), (90, 160)),
        ((1920, 1080), (966, 546), (960, 540)),
        ((1920, 1080), (1931, 1091), (1919, 1079)),
        ((3840, 2160), (1918, 1078), (1920, 1080)),
        ((3840, 2160), (3835, 2155), (3839, 2159)),
        ((160, 210), (0, 0), (0, 0)),
        ((280, 364), (279, 363), (279, 363)),
        ((10, 10), (55, 28), (9, 5)),
    ],
)
def test_golden_points(screen: tuple[int, int], value: tuple[int, int], means: tuple[int, int]) -> None:
    assert click(value, *screen) == means


@pytest.mark.parametrize(("number", "pixel"), [(3.0, 3), (3.4, 3), (3.5, 4), (4.5, 4), (1.0, 1), (0.0, 0), (-0.0, 0)])
def test_fractions_round_half_to_even(number: float, pixel: int) -> None:
    assert click([number, 5], 280, 364) == (pixel, 5)


SIDES = st.integers(20, 5000)
BUDGETS = st.sampled_from([12845056, 2700 * 784, 1003520, 100 * 784, 3136])


@settings(max_examples=300, deadline=None)
@given(st.data(), SIDES, SIDES, BUDGETS)
def test_model_points_map_onto_the_screen(data: st.DataObject, width: int, height: int, budget: int) -> None:
    if max(width, height) / min(width, height) > 200:
        return
    limits = ImageLimits(min(3136, budget), budget)
    dialect, screen = Dialect(limits), screen_of(width, height)
    shown_w, shown_h = limits.resized(width, height)
    x = data.draw(st.integers(0, shown_w - 1) | st.sampled_from([0, shown_w - 1]))
    y = data.draw(st.integers(0, shown_h - 1) | st.sampled_from([0, shown_h - 1]))
    action = dialect.to_action(Call("computer_use", {"action": "mouse_move", "coordinate": [x, y]}), screen)
    screen.check_point(action.x, action.y)
    assert abs((action.x + 0.5) / width - (x + 0.5) / shown_w) <= 0.5 / width + 1e-9  # same place of the image
    assert abs((action.y + 0.5) / height - (y + 0.5) / shown_h) <= 0.5 / height + 1e-9
    for outside in ([shown_w, y], [x, shown_h], [-1, y], [x, -1]):
        with pytest.raises(InvalidActionError, match=f"x must be 0 to {shown_w - 1} and y 0 to {shown_h - 1}"):
            dialect.to_action(Call("computer_use", {"action": "mouse_move", "coordinate": outside}), screen)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.integers(1, 20000), st.integers(1, 20000))
def test_coordinate_mapping_round_trips(data: st.DataObject, resized: int, real: int) -> None:
    if resized >= real:
        x = data.draw(st.integers(0, real - 1))
        assert to_screen(to_model(x, real, resized), resized, real) == x
    else:
        x = data.draw(st.integers(0, resized - 1))
        assert to_model(to_screen(x, resized, real), real, resized) == x
