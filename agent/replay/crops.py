"""Find a crop of a recorded screenshot on another screenshot, by normalized correlation of gray values and edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actions.screen import Pixels

MIN_SCORE = 0.85  # of the best match
MIN_MARGIN = 0.08  # between the best and the second best match
MAX_RIVAL = 0.97  # between a crop and other places of its own screen
MIN_DEVIATION = 4.0  # of the gray values; a flatter crop looks the same in many places
MIN_SIDE_PX = 6
SCALES = (1.0, 0.9, 1.1, 0.8, 1.25)
GOOD_SCORE = 0.97  # at the recorded scale, or at the recorded place: no other scale is tried
CORE_SIZE = (48, 24)  # pixels around the point of an action
CORE_REACH_PX = 3
MIN_CORE_SCORE = 0.75
WINDOW_PX = 96  # around the recorded place
MAX_COLOR_DIFFERENCE = 64.0  # mean difference of channels at which a match counts nothing
MAX_MATCHES = 4  # of a scale that are compared
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class CropMatch:
    """A place that resembles a crop.

    Args:
        left: First column.
        top: First row.
        scale: Size of the place as a multiple of the crop's.
        score: Similarity, at most 1.
    """

    left: int
    top: int
    scale: float
    score: float

    def point(self, x: int, y: int) -> tuple[int, int]:
        """Return the pixel of the screen that stands for a pixel of the crop."""
        return self.left + int((x + 0.5) * self.scale), self.top + int((y + 0.5) * self.scale)


def find_crop(crop: Pixels, pixels: Pixels, scales: Sequence[float] = SCALES) -> list[CropMatch]:
    """Return the places that resemble a crop, the best first; places that overlap by half count once.

    Args:
        crop: [height, width, 3], RGB.
        pixels: The screenshot, [height, width, 3], RGB.
        scales: Sizes to try, as multiples of the crop's.
    """
    import cv2

    if _gray(crop).std() < MIN_DEVIATION:
        return []
    height, width = crop.shape[:2]
    across, down = width // 2, height // 2  # a second place may be cut off by the edge of the screen
    padded = np.asarray(cv2.copyMakeBorder(pixels, down, down, across, across, cv2.BORDER_REPLICATE), np.uint8)
    gray = _gray(padded)
    edges = _edges(gray)
    matches: list[CropMatch] = []
    for scale in scales:
        for match in _matches_at_scale(crop, padded, gray, edges, scale):
            matches.append(replace(match, left=match.left - across, top=match.top - down))
        if scale == 1.0 and any(match.score >= GOOD_SCORE for match in matches):
            break
    matches.sort(key=lambda match: -match.score)
    kept: list[CropMatch] = []
    for match in matches:
        is_new = all(
            abs(match.left - other.left) > width / 2 or abs(match.top - other.top) > height / 2 for other in kept
        )
        if is_new:
            kept.append(match)
    return kept


def is_unique(matches: Sequence[CropMatch], margin: float = MIN_MARGIN) -> bool:
    """Return whether the best match is good, and better than the second by a margin."""
    if not matches or matches[0].score < MIN_SCORE:
        return False
    return len(matches) < 2 or matches[0].score - matches[1].score >= margin


def find_crop_near(crop: Pixels, pixels: Pixels, left: int, top: int) -> list[CropMatch]:
    """Return the places that resemble a crop as `find_crop` does, but look around a place first.

    A very good match there, at any scale, ends the search once the whole screenshot was searched at its scale and at
    the recorded one: a second place counts wherever it is.

    Args:
        crop: [height, width, 3], RGB.
        pixels: The screenshot, [height, width, 3], RGB.
        left: First column of the crop on the screenshot that it was cut from.
        top: First row of it.
    """
    height, width = crop.shape[:2]
    x0, y0 = max(0, left - WINDOW_PX), max(0, top - WINDOW_PX)
    window = pixels[y0 : max(0, top + height + WINDOW_PX), x0 : max(0, left + width + WINDOW_PX)]
    near = find_crop(crop, window) if window.size else []
    if not near or near[0].score < GOOD_SCORE:
        return find_crop(crop, pixels)
    return find_crop(crop, pixels, tuple(dict.fromkeys((near[0].scale, 1.0))))


def has_same_core(crop: Pixels, point: tuple[int, int], pixels: Pixels, match: CropMatch) -> bool:
    """Return whether a match shows the same as the crop around a point, and not only in its surroundings.

    Args:
        crop: [height, width, 3], RGB.
        point: Column and row of the crop.
        pixels: The screenshot, [height, width, 3], RGB.
        match: Where the screenshot resembles the crop.
    """
    import cv2

    (across, down), (x, y) = CORE_SIZE, point
    x0, y0 = max(0, x - across // 2), max(0, y - down // 2)
    core = crop[y0 : y + down // 2, x0 : x + across // 2]
    width, height = (max(1, round(side * match.scale)) for side in core.shape[1::-1])
    left, top = match.left + round(x0 * match.scale), match.top + round(y0 * match.scale)
    place = pixels[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    if place.shape[:2] != (height, width):  # the edge of the screen cuts it off
        return True
    if _gray(core).std() < MIN_DEVIATION:
        return bool(_gray(place).std() < 2 * MIN_DEVIATION)
    resized = np.asarray(cv2.resize(core, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return similarity_at(resized, pixels, left, top, CORE_REACH_PX) >= MIN_CORE_SCORE


def similarity_at(crop: Pixels, pixels: Pixels, left: int, top: int, reach: int = 8) -> float:
    """Return how much a crop resembles the screenshot at a place, at most `reach` pixels away from it."""
    height, width = crop.shape[:2]
    x0, y0 = max(0, left - reach), max(0, top - reach)
    region = pixels[y0 : top + height + reach, x0 : left + width + reach]
    return max((match.score for match in find_crop(crop, region, (1.0,))), default=0.0)


def _matches_at_scale(crop: Pixels, pixels: Pixels, gray: Array, edges: Array, scale: float) -> list[CropMatch]:
    import cv2

    height, width = (max(1, round(side * scale)) for side in crop.shape[:2])
    if min(height, width) < MIN_SIDE_PX or height > pixels.shape[0] or width > pixels.shape[1]:
        return []
    if scale != 1.0:
        resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        crop = np.asarray(resized, np.uint8)
    crop_gray = _gray(crop)
    scores = (_correlate(gray, crop_gray) + _correlate(edges, _edges(crop_gray))) / 2
    matches = []
    for _ in range(MAX_MATCHES):
        top, left = (int(index) for index in np.unravel_index(int(scores.argmax()), scores.shape))
        score = float(scores[top, left])
        if score < MIN_SCORE / 2:
            break
        place = pixels[top : top + height, left : left + width].astype(np.float32)
        difference = float(np.abs(place.mean(axis=(0, 1)) - crop.mean(axis=(0, 1))).max())
        matches.append(CropMatch(left, top, scale, score * max(0.0, 1 - difference / MAX_COLOR_DIFFERENCE)))
        scores[
            max(0, top - height // 2) : top + height // 2 + 1, max(0, left - width // 2) : left + width // 2 + 1
        ] = -1.0
    return matches


def _correlate(image: Array, template: Array) -> Array:
    import cv2

    scores = np.asarray(cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED))
    scores[~np.isfinite(scores)] = 0.0  # a flat part has no correlation
    return np.clip(scores, -1.0, 1.0)


def _gray(pixels: Pixels) -> Array:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), np.float32)


def _edges(gray: Array) -> Array:
    import cv2

    return np.asarray(cv2.magnitude(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)))
