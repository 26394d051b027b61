"""Find a crop of a recorded screenshot on another screenshot, by normalized correlation of gray values and edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actions.screen import Pixels

MIN_SCORE = 0.85  # of the best match
MIN_MARGIN = 0.08  # between the best and the second best match
MIN_DEVIATION = 4.0  # of the gray values; a flatter crop looks the same in many places
MIN_SIDE_PX = 6
SCALES = (1.0, 0.9, 1.1, 0.8, 1.25)
GOOD_SCORE = 0.97  # at the recorded scale: no other scale is tried
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
    matches: list[CropMatch] = []
    for scale in scales:
        for match in _matches_at_scale(crop, padded, scale):
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


def is_unique(matches: Sequence[CropMatch]) -> bool:
    """Return whether the best match is good, and better than the second by a margin."""
    if not matches or matches[0].score < MIN_SCORE:
        return False
    return len(matches) < 2 or matches[0].score - matches[1].score >= MIN_MARGIN


def similarity_at(crop: Pixels, pixels: Pixels, left: int, top: int, reach: int = 8) -> float:
    """Return how much a crop resembles the screenshot at a place, at most `reach` pixels away from it."""
    height, width = crop.shape[:2]
    x0, y0 = max(0, left - reach), max(0, top - reach)
    region = pixels[y0 : top + height + reach, x0 : left + width + reach]
    return max((match.score for match in find_crop(crop, region, (1.0,))), default=0.0)


def _matches_at_scale(crop: Pixels, pixels: Pixels, scale: float) -> list[CropMatch]:
    import cv2

    height, width = (max(1, round(side * scale)) for side in crop.shape[:2])
    if min(height, width) < MIN_SIDE_PX or height > pixels.shape[0] or width > pixels.shape[1]:
        return []
    if scale != 1.0:
        resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        crop = np.asarray(resized, np.uint8)
    crop_gray, gray = _gray(crop), _gray(pixels)
    scores = (_correlate(gray, crop_gray) + _correlate(_edges(gray), _edges(crop_gray))) / 2
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
