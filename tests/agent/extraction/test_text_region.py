"""The line of text at a point is found in the pixels."""

from __future__ import annotations

import numpy as np
from helpers.page_reader import LEFT, ROW, TOP, draw_page

from actions import Screen
from agent.extraction.text_region import SCALE, enlarged_crop, text_region


def ink(screen: Screen, box: tuple[int, int, int, int]) -> int:
    """Return the number of black pixels in a box."""
    left, top, right, bottom = box
    return int((screen.pixels[top:bottom, left:right].max(axis=2) < 100).sum())


def test_box_holds_whole_line_and_nothing_else() -> None:
    screen = draw_page(["ACME Ltd. 2024", "12.50"])
    box = text_region(screen, LEFT + 30, TOP + 8)
    assert box is not None
    assert ink(screen, box) == ink(screen, (LEFT - 10, 0, 600, TOP + ROW - 8))
    assert box[0] > 100
    assert box[3] < TOP + ROW


def test_line_longer_than_window_is_whole() -> None:
    text = "a long line of words that goes on and on over most of a wide page " * 2
    screen = draw_page([text], width=1288)
    box = text_region(screen, LEFT + 8, TOP + 8)
    assert box is not None
    assert box[2] - box[0] > 700


def test_point_beside_text_finds_it() -> None:
    screen = draw_page(["12.50"])
    assert text_region(screen, LEFT - 8, TOP + 8) == text_region(screen, LEFT + 10, TOP + 8)


def test_empty_place_has_no_region() -> None:
    assert text_region(draw_page(["12.50"]), 500, 300) is None
    assert text_region(Screen(np.zeros((30, 30, 3), np.uint8)), 0, 29) is None


def test_crop_is_enlarged() -> None:
    crop = enlarged_crop(draw_page(["12.50"]), (190, 30, 290, 60))
    assert (crop.width, crop.height) == (100 * SCALE, 30 * SCALE)
