"""Landmarks: a point is found again in other colors and layouts, and never at a text that is only similar."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from actions import Screen
from actions.screen import Area, Pixels
from agent.replay.anchors import AnchorError, find_anchor
from agent.replay.landmarks import Landmark, box_at, find_points, make_landmarks
from agent.replay.program import Anchor
from agent.report.drawing import font
from agent.trace import encode_png

LIGHT, DARK = ((250, 250, 250), (20, 20, 20), (30, 80, 160)), ((25, 25, 30), (235, 235, 235), (150, 60, 20))
Colors = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
NAMES = ("Green lamp", "Blue lamp", "Desk lamp")


def shop(
    names: Sequence[str] = NAMES, colors: Colors = LIGHT, *, left: int = 20, width: int = 300, verb: str = "Add"
) -> Pixels:
    """Return a page with a row for each name, each with an equal button."""
    back, ink, accent = colors
    image = Image.new("RGB", (640, 60 + 50 * len(names)), back)
    draw = ImageDraw.Draw(image)
    for index, name in enumerate(names):
        y = 40 + 50 * index
        draw.text((left, y), name, fill=ink, font=font(15), anchor="lm")
        draw.rectangle((left + width, y - 15, left + width + 70, y + 15), fill=accent)
        draw.text((left + width + 35, y), verb, fill=(255, 255, 255), font=font(15), anchor="mm")
    return np.asarray(image)


def form(label: str = "Name of the guest", colors: Colors = LIGHT, *, text: str = "", width: int = 260) -> Pixels:
    """Return a page with an empty field below its label, and a check box beside its own."""
    back, ink, _ = colors
    image = Image.new("RGB", (400, 160), back)
    draw = ImageDraw.Draw(image)
    draw.text((30, 30), label, fill=ink, font=font(15), anchor="lm")
    draw.rectangle((30, 44, 30 + width, 80), outline=ink)
    draw.text((60, 62), text, fill=ink, font=font(15), anchor="lm")
    return np.asarray(image)


def recorded(pixels: Pixels, x: int, y: int) -> tuple[tuple[Landmark, ...], Area | None]:
    landmarks, box = make_landmarks(pixels, x, y)
    assert landmarks
    return landmarks, box


def find_row(page: Pixels) -> list[tuple[int, int]]:
    """Return where the button of the second recorded row is on a page."""
    return find_points(*recorded(shop(), 355, 90), page)


def test_row_of_equal_buttons_is_identified() -> None:
    landmarks, box = recorded(shop(), 355, 90)
    assert [part.side for part in landmarks] == ["at", "left"]
    assert box is not None
    assert box[2:] == (71, 31)


@pytest.mark.parametrize(
    ("page", "point"),
    [
        (shop(), (355, 90)),
        (shop(colors=DARK), (355, 90)),
        (shop(left=44), (379, 90)),
        (shop(width=340), (395, 90)),
        (shop(NAMES[::-1], DARK), (355, 90)),
        (shop(("Blue lamp", *NAMES[:1]), DARK), (355, 40)),
    ],
)
def test_changed_page_has_same_row(page: Pixels, point: tuple[int, int]) -> None:
    assert find_row(page) == [point]


@pytest.mark.parametrize("name", ["Blue lamb", "Blue lamps", "Glue lamp", "BIue lamp", "Blue damp", ""])
@pytest.mark.parametrize("colors", [LIGHT, DARK])
def test_similar_name_is_no_match(name: str, colors: Colors) -> None:
    assert find_row(shop((NAMES[0], name, NAMES[2]), colors)) == []


@pytest.mark.parametrize("verb", ["Odd", "Adds", "Delete", ""])
def test_other_button_text_is_no_match(verb: str) -> None:
    assert find_row(shop(verb=verb)) == []


@pytest.mark.parametrize(("before", "after"), [("2023", "2028"), ("113", "118"), ("10 %", "16 %"), ("user1", "userl")])
def test_other_digit_is_no_match(before: str, after: str) -> None:
    landmarks, box = recorded(shop((f"Invoice {before}", "Other")), 355, 40)
    assert find_points(landmarks, box, shop(("Other", f"Invoice {before}"), DARK)) == [(355, 90)]
    assert find_points(landmarks, box, shop((f"Invoice {after}", "Other"), DARK)) == []


def test_second_row_of_name_is_reported() -> None:
    assert find_row(shop((*NAMES, "Blue lamp"))) == [(355, 90), (355, 190)]


def test_equal_rows_have_no_landmarks() -> None:
    assert make_landmarks(shop(("Lamp", "Lamp")), 355, 40) == ((), None)


def test_point_on_background_has_no_landmarks() -> None:
    assert make_landmarks(shop(), 600, 20) == ((), None)


@pytest.mark.parametrize(("page", "point"), [(form(colors=DARK), (160, 62)), (form(width=330), (195, 62))])
def test_empty_field_is_found_by_label(page: Pixels, point: tuple[int, int]) -> None:
    (present,) = find_points(*recorded(form(), 160, 62), page)
    assert np.abs(np.subtract(present, point)).max() <= 1


@pytest.mark.parametrize("page", [form("Name of the quest"), form(text="What is in the field")])
def test_other_label_or_filled_field_is_missing(page: Pixels) -> None:
    assert find_points(*recorded(form(), 100, 62), page) == []


def test_background_is_no_box() -> None:
    assert box_at(shop(), 600, 20) is None
    assert box_at(form(), 160, 62) == (31, 45, 259, 35)


def test_crop_with_other_letter_is_missing() -> None:
    screen, other = Screen(shop()), Screen(shop((NAMES[0], "Blue lamb", NAMES[2])))
    landmarks, box = recorded(screen.pixels, 355, 90)
    row = base64.b64encode(encode_png(Screen(screen.pixels[70:110, 10:400].copy()))).decode()
    anchor = Anchor(crop=row, crop_point=(345, 20), rival=0.5, place=(355, 90))  # as if no row was similar
    assert find_anchor(anchor, {}, other, None) == (355, 90)
    with pytest.raises(AnchorError, match="another text") as caught:
        find_anchor(replace(anchor, landmarks=landmarks, box=box), {}, other, None)
    assert caught.value.is_missing
    assert find_anchor(replace(anchor, landmarks=landmarks, box=box), {}, screen, None) == (355, 90)


def test_anchor_is_found_by_landmarks() -> None:
    landmarks, box = recorded(shop(), 355, 90)
    anchor = replace(Anchor(place=(355, 90)), landmarks=landmarks, box=box)
    with pytest.raises(AnchorError, match="no part") as caught:
        find_anchor(replace(anchor, landmarks=()), {}, Screen(shop(colors=DARK)), None)
    assert caught.value.is_missing
    assert find_anchor(anchor, {}, Screen(shop(colors=DARK)), None) == (355, 90)
    with pytest.raises(AnchorError, match=r"more than once, at \(355, 90\) and \(355, 190\)"):
        find_anchor(anchor, {}, Screen(shop((*NAMES, "Blue lamp"), DARK)), None)
