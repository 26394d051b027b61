"""Tests of anchors: by elements and by pixels, missing, ambiguous, and what a model may name instead."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from actions import Screen
from actions.targets import ScreenTarget
from agent.replay.anchors import NO_CROP, AnchorError, agreeing_anchor, find_anchor, make_crop
from agent.replay.program import Anchor
from agent.target_recorder import neighbor_labels
from agent.trace import encode_png

LOGIN = ScreenTarget("button", "Login", "", "", (10, 100, 80, 20))
NAME_LABEL = ScreenTarget("label", "Username", "", "", (10, 20, 80, 10))
NAME_FIELD = ScreenTarget("textbox", "", "text", "", (10, 32, 100, 16))
MAIL_LABEL = ScreenTarget("label", "Mail", "", "", (10, 52, 80, 10))
MAIL_FIELD = ScreenTarget("textbox", "", "text", "", (10, 64, 100, 16))
TARGETS = (NAME_LABEL, NAME_FIELD, MAIL_LABEL, MAIL_FIELD, LOGIN)


def icon(seed: int, size: int = 24) -> np.ndarray:
    """Return an icon of blocks whose pattern the seed determines."""
    blocks = np.random.default_rng(seed).integers(0, 255, (size // 4, size // 4, 3), dtype=np.uint8)
    return blocks.repeat(4, axis=0).repeat(4, axis=1)


def screen_with(*places: tuple[int, int, int], width: int = 320, height: int = 240) -> Screen:
    """Return a gray screen with icons, each given as (seed, left, top)."""
    pixels = np.full((height, width, 3), 200, np.uint8)
    for seed, left, top in places:
        pixels[top : top + 24, left : left + 24] = icon(seed)
    return Screen(pixels)


def icon_anchor() -> Anchor:
    """Return an anchor of the icon 1, recorded at (40, 50)."""
    crop = make_crop(screen_with((1, 40, 50), (2, 100, 50)), 52, 62, None)
    assert crop.png
    return Anchor(crop=crop.png, crop_point=crop.point, rival=crop.rival, place=(52, 62))


def test_element_is_found_at_another_place() -> None:
    anchor = Anchor("button", "Login", offset=(0.25, 0.5))
    assert find_anchor(anchor, {}, screen_with(), TARGETS) == (30, 110)


def test_label_takes_value_of_parameter() -> None:
    anchor = Anchor("button", "${value1}")
    assert find_anchor(anchor, {"value1": "Login"}, screen_with(), TARGETS) == (50, 110)
    with pytest.raises(AnchorError, match="Cancel") as caught:
        find_anchor(anchor, {"value1": "Cancel"}, screen_with(), TARGETS)
    assert caught.value.is_missing


def test_field_is_found_by_neighbor() -> None:
    anchor = Anchor("textbox", "", "text", neighbors=("Mail",))
    assert find_anchor(anchor, {}, screen_with(), TARGETS) == (60, 72)


def test_only_field_beside_other_label_is_missing() -> None:
    anchor = Anchor("textbox", "", "text", neighbors=("Mail",))
    with pytest.raises(AnchorError) as caught:
        find_anchor(anchor, {}, screen_with(), (NAME_LABEL, NAME_FIELD, LOGIN))
    assert caught.value.is_missing


def test_equal_elements_are_ambiguous() -> None:
    twin = ScreenTarget("button", "Login", "", "", (150, 100, 80, 20))
    with pytest.raises(AnchorError, match="2 times") as caught:
        find_anchor(Anchor("button", "Login"), {}, screen_with(), (*TARGETS, twin))
    assert not caught.value.is_missing


def test_covered_element_is_missing() -> None:
    cover = ScreenTarget("", "Please wait", "", "", (20, 102, 60, 16))
    with pytest.raises(AnchorError, match="covered"):
        find_anchor(Anchor("button", "Login"), {}, screen_with(), (*TARGETS, cover))


def test_crop_is_found_at_another_place() -> None:
    x, y = find_anchor(icon_anchor(), {}, screen_with((2, 10, 10), (1, 200, 150)), None)
    assert (abs(x - 212) <= 1, abs(y - 162) <= 1) == (True, True)


def test_crop_is_found_at_another_scale() -> None:
    pixels = np.full((240, 320, 3), 200, np.uint8)
    pixels[100:130, 60:90] = icon(1, 24).repeat(5, axis=0).repeat(5, axis=1)[::4, ::4]
    x, y = find_anchor(icon_anchor(), {}, Screen(pixels), None)
    assert (abs(x - 75) <= 2, abs(y - 115) <= 2) == (True, True)


def test_missing_crop_is_reported() -> None:
    with pytest.raises(AnchorError, match="not there") as caught:
        find_anchor(icon_anchor(), {}, screen_with((3, 200, 150)), None)
    assert caught.value.is_missing


def test_crop_at_two_places_is_ambiguous() -> None:
    with pytest.raises(AnchorError, match="more than once") as caught:
        find_anchor(icon_anchor(), {}, screen_with((1, 10, 10), (1, 200, 150)), None)
    assert not caught.value.is_missing


def test_crop_in_another_color_is_missing() -> None:
    pixels = screen_with((1, 200, 150)).pixels.copy()
    pixels[150:174, 200:224, 0] //= 4
    with pytest.raises(AnchorError):
        find_anchor(icon_anchor(), {}, Screen(pixels), None)


def test_flat_screen_has_no_crop() -> None:
    assert make_crop(screen_with(), 50, 50, None) == NO_CROP
    with pytest.raises(AnchorError, match="identifies"):
        find_anchor(Anchor(), {}, screen_with(), None)


def test_repeated_icon_is_cropped_with_its_surroundings() -> None:
    screen = screen_with((1, 40, 50), (1, 140, 50), (2, 80, 50))
    crop = make_crop(screen, 52, 62, None)
    anchor = Anchor(crop=crop.png, crop_point=crop.point)
    assert find_anchor(anchor, {}, screen, None) == (52, 62)


def test_parameter_is_not_looked_for_by_pixels() -> None:
    anchor = Anchor("link", "${value1}", crop=icon_anchor().crop)
    with pytest.raises(AnchorError, match="elements"):
        find_anchor(anchor, {"value1": "sed"}, screen_with((1, 40, 50)), None)


def test_model_may_name_renamed_element() -> None:
    renamed = ScreenTarget("button", "Log in", "", "", (10, 150, 80, 20))
    agreed = agreeing_anchor(Anchor("button", "Login"), {}, screen_with(), (renamed,), 50, 160)
    assert agreed is not None
    assert (agreed.role, agreed.label) == ("button", "Log in")


@pytest.mark.parametrize(
    "target",
    [
        ScreenTarget("link", "Login", "", "", (10, 150, 80, 20)),
        ScreenTarget("button", "Delete account", "", "", (10, 150, 80, 20)),
    ],
)
def test_model_may_not_name_other_element(target: ScreenTarget) -> None:
    assert agreeing_anchor(Anchor("button", "Login"), {}, screen_with(), (target,), 50, 160) is None


def test_model_may_not_drop_value_of_parameter() -> None:
    near = ScreenTarget("link", "set", "", "", (10, 150, 80, 20))
    assert agreeing_anchor(Anchor("link", "${value1}"), {"value1": "sed"}, screen_with(), (near,), 50, 160) is None


def test_model_may_name_similar_pixels() -> None:
    screen = screen_with((1, 200, 150))
    assert agreeing_anchor(icon_anchor(), {}, screen, None, 212, 162) is not None
    assert agreeing_anchor(icon_anchor(), {}, screen, None, 20, 20) is None


def test_place_far_from_recorded_one_is_found() -> None:
    screen = screen_with((2, 100, 50), (1, 900, 600), width=1280, height=720)
    assert find_anchor(icon_anchor(), {}, screen, None) == (912, 612)


def test_second_place_outside_window_is_ambiguous() -> None:
    screen = screen_with((1, 40, 50), (1, 900, 600), width=1280, height=720)
    with pytest.raises(AnchorError, match="more than once"):
        find_anchor(icon_anchor(), {}, screen, None)


def test_place_beyond_screen_is_missing() -> None:
    anchor = replace(icon_anchor(), place=(5000, 5000))
    with pytest.raises(AnchorError, match="not there"):
        find_anchor(anchor, {}, screen_with((3, 10, 10)), None)


def similar_rows(*numbers: int) -> Screen:
    """Return rows of a wide equal part and a small part that differs."""
    pixels = np.full((240, 320, 3), 200, np.uint8)
    for row, number in enumerate(numbers):
        top = 20 + 70 * row
        pixels[top : top + 24, 20:44] = icon(1)
        pixels[top : top + 24, 60:84] = icon(2)
        pixels[top + 8 : top + 16, 90:98] = icon(number, 8)
    return Screen(pixels)


@pytest.mark.parametrize(("number", "other"), [(3, 4), (5, 6), (7, 8)])
def test_similar_place_does_not_replace_missing_one(number: int, other: int) -> None:
    crop = make_crop(similar_rows(number, other), 72, 32, None)
    assert crop.png
    anchor = Anchor(crop=crop.png, crop_point=crop.point, rival=crop.rival, place=(72, 32))
    assert find_anchor(anchor, {}, similar_rows(other, number), None) == (72, 102)
    with pytest.raises(AnchorError, match="not there"):
        find_anchor(anchor, {}, similar_rows(other), None)


def test_other_target_in_same_surroundings_is_missing() -> None:
    def block(number: int) -> Screen:
        return screen_with((1, 100, 50), (number, 140, 50), (3, 180, 50), (4, 100, 90), (5, 180, 90))

    pixels = block(2).pixels
    crop = base64.b64encode(encode_png(Screen(np.array(pixels[30:130, 80:220])))).decode()
    anchor = Anchor(crop=crop, crop_point=(72, 32), place=(152, 62))
    assert find_anchor(anchor, {}, block(2), None) == (152, 62)
    with pytest.raises(AnchorError, match="something else"):
        find_anchor(anchor, {}, block(6), None)


def rows(*names: str) -> tuple[ScreenTarget, ...]:
    """Return a row for each name, which contains a button with the same label as all others."""
    targets: list[ScreenTarget] = []
    for number, name in enumerate(names):
        targets.append(ScreenTarget("", name, "", "", (0, 40 * number, 300, 40)))
        targets.append(ScreenTarget("button", "Add", "", "", (220, 40 * number + 5, 70, 30)))
    return tuple(targets)


def row_anchor() -> Anchor:
    """Return the anchor of the button in the row "Blue"."""
    targets = rows("Green", "Blue", "Red")
    return Anchor("button", "Add", neighbors=neighbor_labels(targets[3], targets))


def test_button_is_found_by_its_row() -> None:
    assert find_anchor(row_anchor(), {}, screen_with(), rows("Red", "Blue", "Green")) == (255, 60)
    assert find_anchor(row_anchor(), {}, screen_with(), rows("Red", "Green", "Blue")) == (255, 100)


@pytest.mark.parametrize("names", [("Green", "Pink", "Red"), ("Green", "Blue", "Green", "Blue")])
def test_button_of_missing_or_second_row_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(AnchorError):
        find_anchor(row_anchor(), {}, screen_with(), rows(*names))
