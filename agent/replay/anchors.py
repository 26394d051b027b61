"""Anchors: make one of a recorded point, and find its place on another screen, or say why there is none."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from actions import Error, Screen
from actions.screen import Area, Pixels
from actions.targets import ScreenTarget
from agent.replay.crops import MIN_MARGIN, MIN_SCORE, find_crop, is_unique, similarity_at
from agent.replay.parameters import escape, fill, references
from agent.replay.program import Anchor
from agent.target_recorder import neighbor_labels, target_at
from agent.trace import encode_png

CROP_SIZES = ((64, 32), (96, 48), (160, 80), (240, 120), (320, 160))  # pixels; the smallest unique one is stored
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
        return _find_by_crop(anchor, screen)
    if targets is None:
        if any(True for text in (anchor.label, *anchor.neighbors) for _ in references(text)):
            raise AnchorError(
                f"{describe(anchor, values)} cannot be looked for: this screen does not tell its elements, and the "
                "recorded pixels show another value",
                is_missing=True,
            )
        return _find_by_crop(anchor, screen)
    target = _find_target(anchor, values, screen, targets)
    return _point_on(target, anchor, values, targets)


def make_crop(screen: Screen, x: int, y: int, area: Area | None) -> tuple[str, tuple[int, int]]:
    """Return the smallest crop around a point that is unique on its own screen as PNG in base64, and the point in it.

    Args:
        screen: The recorded screenshot.
        x: Column of the point.
        y: Row of the point.
        area: The element's area; None where it is unknown.

    Returns:
        ("", (0, 0)) where no crop is unique.
    """
    boxes = []
    if area is not None and area[2] <= CROP_SIZES[-1][0] and area[3] <= CROP_SIZES[-1][1]:
        left, top, width, height = area
        boxes.append(
            (left - CROP_BORDER_PX, top - CROP_BORDER_PX, left + width + CROP_BORDER_PX, top + height + CROP_BORDER_PX)
        )
    boxes += [(x - width // 2, y - height // 2, x + width // 2, y + height // 2) for width, height in CROP_SIZES]
    for box in boxes:
        left, top = max(0, box[0]), max(0, box[1])
        crop = screen.pixels[top : box[3], left : box[2]]
        if crop.size == 0:
            continue
        matches = find_crop(crop, screen.pixels, (1.0,))
        if is_unique(matches) and (matches[0].left, matches[0].top) == (left, top):
            return base64.b64encode(encode_png(Screen(np.array(crop)))).decode(), (x - left, y - top)
    return "", (0, 0)


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
        crop, point = make_crop(screen, x, y, target.area)
        return Anchor(
            target.role,
            escape(target.label),
            target.field,
            tuple(escape(text) for text in neighbor_labels(target, targets)),
            offset_in(target.area, x, y),
            crop,
            point,
        )
    if not _looks_alike(anchor, screen, x, y):
        return None
    crop, point = make_crop(screen, x, y, None)
    return Anchor(anchor.role, anchor.label, anchor.field, anchor.neighbors, anchor.offset, crop, point)


def offset_in(area: Area, x: int, y: int) -> tuple[float, float]:
    """Return a pixel as fractions of an area's width and height."""
    left, top, width, height = area
    return round((x - left + 0.5) / width, 4), round((y - top + 0.5) / height, 4)


def _looks_alike(anchor: Anchor, screen: Screen, x: int, y: int) -> bool:
    if not anchor.crop:
        return False
    left, top = x - anchor.crop_point[0], y - anchor.crop_point[1]
    return similarity_at(anchor.crop_pixels(), screen.pixels, left, top) >= MIN_CROP_SIMILARITY


def _find_by_crop(anchor: Anchor, screen: Screen) -> tuple[int, int]:
    if not anchor.crop:
        raise AnchorError("no part of the recorded screen identifies this place", is_missing=True)
    matches = find_crop(anchor.crop_pixels(), screen.pixels)
    if not matches or matches[0].score < MIN_SCORE:
        best = f"; the best match has {matches[0].score:.2f} of {MIN_SCORE}" if matches else ""
        raise AnchorError(f"the recorded part of the screen is not there{best}", is_missing=True)
    if not is_unique(matches):
        raise AnchorError(
            f"the recorded part of the screen is there more than once: the two best matches have "
            f"{matches[0].score:.2f} and {matches[1].score:.2f}, which is a margin below {MIN_MARGIN}",
            is_missing=False,
        )
    x, y = matches[0].point(*anchor.crop_point)
    return min(max(x, 0), screen.width - 1), min(max(y, 0), screen.height - 1)


def _find_target(
    anchor: Anchor, values: Mapping[str, str], screen: Screen, targets: Sequence[ScreenTarget]
) -> ScreenTarget:
    label = fill(anchor.label, values)
    candidates = [item for item in targets if (item.role, item.label, item.field) == (anchor.role, label, anchor.field)]
    if candidates and (not label or len(candidates) > 1):
        candidates = _by_neighbors(anchor, values, candidates, targets) or ([] if not label else candidates)
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
    """Return the candidates that have the most of the recorded neighbors; all of them where none was recorded."""
    if not anchor.neighbors:
        return list(candidates)
    labels = {fill(text, values) for text in anchor.neighbors}
    counts = [len(labels.intersection(neighbor_labels(item, targets))) for item in candidates]
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
    if scores[order[0]] < MIN_SCORE:
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
