"""Anchors: make one of a recorded point, and find its place on another screen, or say why there is none."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from actions import Error, Screen
from actions.screen import Area, Pixels
from actions.targets import ScreenTarget
from agent.replay.crops import (
    MAX_RIVAL,
    MIN_MARGIN,
    MIN_SCORE,
    CropMatch,
    find_crop,
    find_crop_near,
    has_same_core,
    is_unique,
    similarity_at,
)
from agent.replay.landmarks import find_points, make_landmarks, parts_in
from agent.replay.parameters import escape, fill, references
from agent.replay.program import Anchor
from agent.target_recorder import neighbor_labels, target_at
from agent.trace import encode_png

CROP_SIZES = ((64, 32), (96, 48), (160, 40), (240, 40), (400, 40))  # pixels; strips show the row of the point
# Only where no row differs from the others: what is above and below may be in another order later.
BLOCK_SIZES = ((160, 80), (240, 120), (320, 160))
GOOD_RIVAL = 0.8  # no other crop is tried
MAX_AREA = (320, 160)  # of an element that is cropped as a whole
CROP_BORDER_PX = 6
MIN_LABEL_SIMILARITY = 0.6  # of what a model points at
MIN_CROP_SIMILARITY = 0.8


class AnchorError(Error):
    """An anchor has no place on a screen.

    Attributes:
        is_missing: There is no place at all; false where there are several.
    """

    def __init__(self, message: str, *, is_missing: bool) -> None:
        super().__init__(message)
        self.is_missing = is_missing


class AnchorCrop(NamedTuple):
    """A part of a recorded screen.

    Args:
        png: The pixels as PNG in base64; "" where no part is unique.
        point: The anchor's point in pixels of the crop.
        rival: How much the most similar other place of the screen resembles it.
    """

    png: str
    point: tuple[int, int]
    rival: float


NO_CROP = AnchorCrop("", (0, 0), 0.0)


def describe(anchor: Anchor, values: Mapping[str, str]) -> str:
    """Return an anchor in words, such as `button "Login"`."""
    if anchor.role is None:
        return "the recorded part of the screen"
    words = [anchor.role or "text"]
    if label := fill(anchor.label, values):
        words.append(f'"{label}"')
    elif anchor.neighbors:
        words.append(f'beside "{fill(anchor.neighbors[0], values)}"')
    return " ".join(words)


def find_anchor(
    anchor: Anchor, values: Mapping[str, str], screen: Screen, targets: tuple[ScreenTarget, ...] | None
) -> tuple[int, int]:
    """Return the pixel that an anchor stands for.

    Args:
        anchor: The anchor.
        values: The values of the parameters.
        screen: The present screenshot.
        targets: Its elements; None where they are unknown.

    Raises:
        AnchorError: There is no such place, or more than one.
    """
    if anchor.role is None:
        return _find_by_pixels(anchor, screen)
    if targets is None:
        if any(True for text in (anchor.label, *anchor.neighbors) for _ in references(text)):
            raise AnchorError(
                f"{describe(anchor, values)} cannot be looked for: this screen does not tell its elements, and the "
                "recorded pixels show another value",
                is_missing=True,
            )
        return _find_by_pixels(anchor, screen)
    target = _find_target(anchor, values, screen, targets)
    return _point_on(target, anchor, values, targets)


def make_crop(screen: Screen, x: int, y: int, area: Area | None) -> AnchorCrop:
    """Return a crop around a point that is unique on its own screen: the smallest that little else resembles.

    Args:
        screen: The recorded screenshot.
        x: Column of the point.
        y: Row of the point.
        area: The element's area; None where it is unknown.

    Returns:
        NO_CROP where no crop is unique.
    """
    boxes = []
    if area is not None and area[2] <= MAX_AREA[0] and area[3] <= MAX_AREA[1]:
        left, top, width, height = area
        boxes.append(
            (left - CROP_BORDER_PX, top - CROP_BORDER_PX, left + width + CROP_BORDER_PX, top + height + CROP_BORDER_PX)
        )
    boxes += [_box_around(x, y, size) for size in CROP_SIZES]
    for group in (boxes, [_box_around(x, y, size) for size in BLOCK_SIZES]):
        best = NO_CROP
        for left, top, right, bottom in group:
            crop = _crop_of(screen, x, y, (max(0, left), max(0, top), right, bottom))
            if crop.png and (not best.png or crop.rival < best.rival):
                best = crop
            if best.png and best.rival <= GOOD_RIVAL:
                break
        if best.png:
            return best
    return NO_CROP


def agreeing_anchor(
    anchor: Anchor,
    values: Mapping[str, str],
    screen: Screen,
    targets: tuple[ScreenTarget, ...] | None,
    x: int,
    y: int,
) -> Anchor | None:
    """Return the anchor of a place that a model names, None if the place does not agree with the recorded anchor.

    The role and the kind of field are the same, and the label or the pixels are similar; where the elements are
    unknown, the pixels are. A label with a parameter contains its value.
    """
    if anchor.role is not None and targets is not None:
        target = target_at(targets, x, y)
        if target is None or (target.role, target.field) != (anchor.role, anchor.field):
            return None
        if any(values[name] not in target.label for name, _ in references(anchor.label)):
            return None
        label = fill(anchor.label, values)
        similarity = difflib.SequenceMatcher(None, label.casefold(), target.label.casefold()).ratio()
        if (not label or similarity < MIN_LABEL_SIMILARITY) and not _looks_alike(anchor, screen, x, y):
            return None
        crop = make_crop(screen, x, y, target.area)
        return Anchor(
            target.role,
            escape(target.label),
            target.field,
            tuple(escape(text) for text in neighbor_labels(target, targets)),
            offset_in(target.area, x, y),
            crop.png,
            crop.point,
            crop.rival,
            (x, y),
        )
    if not _looks_alike(anchor, screen, x, y):
        return None
    crop = make_crop(screen, x, y, None)
    landmarks, box = make_landmarks(screen.pixels, x, y)
    picture: dict[str, Any] = {"crop": crop.png, "crop_point": crop.point, "rival": crop.rival}
    return replace(anchor, **picture, place=(x, y), landmarks=landmarks, box=box)


def offset_in(area: Area, x: int, y: int) -> tuple[float, float]:
    """Return a pixel as fractions of an area's width and height."""
    left, top, width, height = area
    return round((x - left + 0.5) / width, 4), round((y - top + 0.5) / height, 4)


def _box_around(x: int, y: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    return x - size[0] // 2, y - size[1] // 2, x + size[0] // 2, y + size[1] // 2


def _crop_of(screen: Screen, x: int, y: int, box: tuple[int, int, int, int]) -> AnchorCrop:
    """Return the part of a screen in a box (left, top, right, bottom); NO_CROP if another place is nearly the same."""
    left, top, right, bottom = box
    crop = screen.pixels[top:bottom, left:right]
    matches = find_crop(crop, screen.pixels, (1.0,)) if crop.size else []
    if not matches or (matches[0].left, matches[0].top) != (left, top):
        return NO_CROP
    rival = max(matches[1].score, 0.0) if len(matches) > 1 else 0.0
    if rival > MAX_RIVAL:
        return NO_CROP
    png = base64.b64encode(encode_png(Screen(np.array(crop)))).decode()
    return AnchorCrop(png, (x - left, y - top), round(rival, 4))


def _looks_alike(anchor: Anchor, screen: Screen, x: int, y: int) -> bool:
    if not anchor.crop:
        return False
    left, top = x - anchor.crop_point[0], y - anchor.crop_point[1]
    return similarity_at(anchor.crop_pixels(), screen.pixels, left, top) >= MIN_CROP_SIMILARITY


def _find_by_pixels(anchor: Anchor, screen: Screen) -> tuple[int, int]:
    """Return the place of the crop, else that of the landmarks, in other colors or another layout."""
    try:
        x, y = _find_by_crop(anchor, screen)
        if _has_same_text(anchor, screen, x, y):
            return x, y
        message = f"the recorded part of the screen is there, at ({x}, {y}), but with another text, or in another size"
        raise AnchorError(message, is_missing=True)
    except AnchorError as error:
        if not error.is_missing or not anchor.landmarks:
            raise
        missing = error
    points = find_points(anchor.landmarks, anchor.box, screen.pixels)
    if not points:
        raise AnchorError(f"{missing}; its text with what is beside it is not there in other colors", is_missing=True)
    if len(points) > 1:
        places = " and ".join(f"({x}, {y})" for x, y in points[:2])
        raise AnchorError(
            f"{missing}; its text with what is beside it is there more than once, at {places}", is_missing=False
        )
    return points[0]


def _has_same_text(anchor: Anchor, screen: Screen, x: int, y: int) -> bool:
    """Return whether the texts that the crop shows are at its place, letter by letter; true where it has none."""
    left, top = anchor.crop_point
    height, width = anchor.crop_pixels().shape[:2]
    parts = parts_in(anchor.landmarks, (-left, -top, width, height))
    points = find_points(parts, None, screen.pixels) if parts else [(x, y)]
    return any(max(abs(x - column), abs(y - row)) <= CROP_BORDER_PX for column, row in points)


def _find_by_crop(anchor: Anchor, screen: Screen) -> tuple[int, int]:
    if not anchor.crop:
        raise AnchorError("no part of the recorded screen identifies this place", is_missing=True)
    crop = anchor.crop_pixels()
    if anchor.place is None:
        matches = find_crop(crop, screen.pixels)
    else:
        left, top = (place - offset for place, offset in zip(anchor.place, anchor.crop_point, strict=True))
        matches = find_crop_near(crop, screen.pixels, left, top)
    # Where the place is gone, what resembled it on the recorded screen is the best match: halfway to a perfect one.
    min_score = max(MIN_SCORE, (1 + anchor.rival) / 2)
    margin = min(MIN_MARGIN, (1 - anchor.rival) / 2)
    if not matches or matches[0].score < min_score:
        best = f": {_describe_match(matches[0], anchor)} of {min_score:.2f}" if matches else ""
        raise AnchorError(f"the recorded part of the screen is not there{best}", is_missing=True)
    if not is_unique(matches, margin):
        raise AnchorError(
            f"the recorded part of the screen is there more than once: the two best matches have "
            f"{matches[0].score:.2f} and {matches[1].score:.2f}, which is a margin below {margin:.2f}",
            is_missing=False,
        )
    if not has_same_core(crop, anchor.crop_point, screen.pixels, matches[0]):
        raise AnchorError(
            "the recorded part of the screen is there, but shows something else where the action points, at "
            f"{_place_of(matches[0], anchor)}",
            is_missing=True,
        )
    x, y = matches[0].point(*anchor.crop_point)
    return min(max(x, 0), screen.width - 1), min(max(y, 0), screen.height - 1)


def _describe_match(match: CropMatch, anchor: Anchor) -> str:
    """Return where the best match is and how good, for an error."""
    size = "" if match.scale == 1.0 else f" in {match.scale:g} times the size"
    return f"the most similar place, {_place_of(match, anchor)}{size}, has {match.score:.2f}"


def _place_of(match: CropMatch, anchor: Anchor) -> str:
    x, y = match.point(*anchor.crop_point)
    return f"({x}, {y})"


def _find_target(
    anchor: Anchor, values: Mapping[str, str], screen: Screen, targets: Sequence[ScreenTarget]
) -> ScreenTarget:
    label = fill(anchor.label, values)
    candidates = [item for item in targets if (item.role, item.label, item.field) == (anchor.role, label, anchor.field)]
    if candidates and (not label or len(candidates) > 1):
        candidates = _by_neighbors(anchor, values, candidates, targets)
        if not label or len(candidates) > 1:
            candidates = _by_pixels(anchor, candidates, screen.pixels)
    if not candidates:
        raise AnchorError(f"{describe(anchor, values)} is not on the screen", is_missing=True)
    if len(candidates) > 1:
        raise AnchorError(f"{describe(anchor, values)} is on the screen {len(candidates)} times", is_missing=False)
    return candidates[0]


def _by_neighbors(
    anchor: Anchor, values: Mapping[str, str], candidates: Sequence[ScreenTarget], targets: Sequence[ScreenTarget]
) -> list[ScreenTarget]:
    """Return the candidates with the recorded nearest neighbor, and of those the ones with most of the others.

    Where no neighbor tells elements apart, all are returned. A label like the element's own tells nothing.
    """
    label = fill(anchor.label, values)
    recorded = [text for text in (fill(template, values) for template in anchor.neighbors) if text != label]
    if not recorded:
        return list(candidates)
    counts = []
    for item in candidates:
        labels = [text for text in neighbor_labels(item, targets) if text != label]
        counts.append(len(set(recorded).intersection(labels)) if labels[:1] == recorded[:1] else 0)
    best = max(counts)
    return [item for item, count in zip(candidates, counts, strict=True) if count == best and best > 0]


def _by_pixels(anchor: Anchor, candidates: Sequence[ScreenTarget], pixels: Pixels) -> list[ScreenTarget]:
    """Return the candidate that the crop tells apart; one candidate with recorded neighbors needs no crop."""
    if len(candidates) == 1 and anchor.neighbors:
        return list(candidates)
    if not anchor.crop or not candidates:
        return list(candidates) if len(candidates) > 1 else []
    crop = anchor.crop_pixels()
    scores = []
    for item in candidates:
        left, top, width, height = item.area
        x, y = left + int(anchor.offset[0] * width), top + int(anchor.offset[1] * height)
        scores.append(similarity_at(crop, pixels, x - anchor.crop_point[0], y - anchor.crop_point[1]))
    order = sorted(range(len(candidates)), key=lambda index: -scores[index])
    if scores[order[0]] < max(MIN_SCORE, (1 + anchor.rival) / 2):
        return list(candidates) if len(candidates) > 1 else []
    if len(order) > 1 and scores[order[0]] - scores[order[1]] < MIN_MARGIN:
        return list(candidates)
    return [candidates[order[0]]]


def _point_on(
    target: ScreenTarget, anchor: Anchor, values: Mapping[str, str], targets: Sequence[ScreenTarget]
) -> tuple[int, int]:
    """Return the recorded place on an element, or its middle where the former is covered."""
    left, top, width, height = target.area
    for across, down in (anchor.offset, (0.5, 0.5)):
        x = left + min(max(int(across * width), 0), width - 1)
        y = top + min(max(int(down * height), 0), height - 1)
        if target_at(targets, x, y) == target:
            return x, y
    raise AnchorError(f"{describe(anchor, values)} is covered by another element", is_missing=True)
