"""Landmarks: find a recorded point by its own text or box and the text beside it, in other colors and layouts.

A part of a recorded screen is compared by its edges alone, so that neither its colors nor what is between the parts
count. A place counts only where every recorded part is there, each in its direction, letter by letter. Text that is
drawn in another size is no match: its letters cannot be told from similar ones.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from actions.screen import Area, Pixels

Side = Literal["at", "left", "right", "above"]
MIN_PEAK = 0.7  # of a whole part, whose pieces are compared then
MIN_SCORE = 0.98  # of the least similar piece: letters are drawn alike in all colors, and a 3 is no 8
PIECE_PX = 8  # width of a piece, at most a letter
PIECE_REACH_PX = 1
MIN_PIECE_DEVIATION = 2.0  # of the edges of a piece; a flatter one is a space
MAX_PEAKS = 12  # places of a part that are compared
BAND_PX = 12  # rows above and below a point that are its line
ABOVE_PX = 56  # in which a text above belongs to a box
MIN_EDGE = 8.0  # root of the gradient of gray values: a step of 16
GAP_PX = 10  # columns without edges between two texts of a line
MIN_TEXT_PX, MAX_TEXT_PX = 12, 140  # width of a text that is a part
MAX_STEM = 0.9  # share of the rows of a line that a letter fills
NEAR_PX = 24  # between a point and its own text
MAX_DISTANCE_PX = 400  # between a point and a text beside it
BORDER_PX = 3
MAX_BOX = (900, 120)  # width and height of a box around a point; a larger one is the background
MIN_BOX_PX = 7
MIN_FILL = 0.6  # share of the pixels of a box that have its color: the rest is text
COLOR_TOLERANCE = 6  # of the pixels of a box
LINE_TOLERANCE_PX, SIZE_TOLERANCE_PX = 3, 3
MIN_REACH, MAX_REACH = 0.5, 1.7  # of a distance along a line, in which a text may have moved
SLACK_PX = 24  # beside it
MIN_DEVIATION = 0.35  # of the edges of a place, as a share of the part's: a flatter place has no correlation
Array = np.ndarray[Any, np.dtype[Any]]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Landmark:
    """A text of a recorded screen.

    Args:
        side: Where it is: at the point, to the left or right of it on its line, or above its box.
        offset: Column and row of the crop's first pixel, relative to the point.
        crop: Its pixels as PNG in base64.
    """

    side: Side
    offset: tuple[int, int]
    crop: str = Field(default="", max_length=200_000)


class Place(NamedTuple):
    """Where a part is on another screen: its first column and row."""

    left: int
    top: int


def edges(pixels: Pixels) -> Array:
    """Return the roots of the gradients, [height, width], the largest of the three channels."""
    import cv2

    channels = cv2.split(np.ascontiguousarray(pixels).astype(np.float32))
    gradients = [
        cv2.magnitude(cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)) for part in channels
    ]
    return np.sqrt(np.max(gradients, axis=0))


def box_at(pixels: Pixels, x: int, y: int) -> Area | None:
    """Return the rectangle of one color around a pixel: a field, a check box, or the surface of a button.

    Returns:
        Left, top, width and height; None where the color is that of the background or has no rectangular border.
    """
    import cv2

    image, (height, width) = np.array(pixels), pixels.shape[:2]
    mask = np.zeros((height + 2, width + 2), np.uint8)
    tolerance = (COLOR_TOLERANCE,) * 3
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    best: Area | None = None
    for seed in _background_near(pixels, x, y):
        if mask[seed[1] + 1, seed[0] + 1]:
            continue
        count, _, _, area = cv2.floodFill(image, mask, seed, (0, 0, 0), tolerance, tolerance, flags)
        left, top, box_width, box_height = (int(side) for side in area)
        contains = left <= x < left + box_width and top <= y < top + box_height
        is_box = min(box_width, box_height) >= MIN_BOX_PX and box_width <= MAX_BOX[0] and box_height <= MAX_BOX[1]
        is_larger = best is None or box_width * box_height > best[2] * best[3]
        if contains and is_box and is_larger and count >= MIN_FILL * box_width * box_height:
            best = left, top, box_width, box_height
    return best


def make_landmarks(screen: Pixels, x: int, y: int) -> tuple[tuple[Landmark, ...], Area | None]:
    """Return the parts that identify a point of a screen, and its box relative to the point; () where they do not.

    Args:
        screen: [height, width, 3], RGB.
        x: Column of the point.
        y: Row of the point.
    """
    strength = edges(screen)
    box = box_at(screen, x, y)
    own, beside = _texts_on_line(strength, x, y, box)
    if box is None and own is None:
        return (), None
    left_edge = min(filter(None, [own and own[0], box and box[0], x]))
    right_edge = max(filter(None, [own and own[1], box and box[0] + box[2], x]))
    spans: list[tuple[Side, tuple[int, int, int, int]]] = []
    rows = (y - BAND_PX, y + BAND_PX + 1)
    if own is not None:
        spans.append(("at", (own[0], rows[0], own[1], rows[1])))
    lefts = [text for text in beside if text[1] <= left_edge and left_edge - text[1] <= MAX_DISTANCE_PX]
    rights = [text for text in beside if text[0] >= right_edge and text[0] - right_edge <= MAX_DISTANCE_PX]
    if lefts:
        spans.append(("left", (max(lefts[-1][0], lefts[-1][1] - MAX_TEXT_PX), rows[0], lefts[-1][1], rows[1])))
    if rights:
        spans.append(("right", (rights[0][0], rows[0], min(rights[0][1], rights[0][0] + MAX_TEXT_PX), rows[1])))
    if box is not None and not lefts and not rights and (above := _text_above(strength, box)):
        spans.append(("above", above))
    landmarks = []
    for side, span in spans:
        part = _cut(screen, strength, x, y, side, span)
        if part is None:
            return (), None
        landmarks.append(part)
    relative: Area | None = (box[0] - x, box[1] - y, box[2], box[3]) if box is not None else None
    parts = tuple(landmarks)
    if not parts or find_points(parts, relative, screen) != [(x, y)]:
        return (), None
    return parts, relative


def find_points(landmarks: Sequence[Landmark], box: Area | None, pixels: Pixels) -> list[tuple[int, int]]:
    """Return the pixels around which all parts are on a screen, from top to bottom; one of several near to each other.

    Args:
        landmarks: The parts of the recorded point, its own text first.
        box: Its box, relative to the point; None without one.
        pixels: The screenshot, [height, width, 3], RGB.
    """
    strength = edges(pixels)
    places = []
    for part in landmarks:
        places.append((part, _places(part, strength)))
        if not places[-1][1]:
            return []
    points: list[tuple[int, int]] = []
    for x, y in _hypotheses(places, box, pixels, strength):
        if all(max(abs(x - other[0]), abs(y - other[1])) > BAND_PX for other in points):
            points.append((x, y))
    return sorted(points, key=lambda point: point[::-1])


def parts_in(landmarks: Sequence[Landmark], area: Area) -> list[Landmark]:
    """Return the parts that an area shows or cuts through; it is relative to the point as they are."""
    left, top, width, height = area
    parts = []
    for part in landmarks:
        part_height, part_width = _decode(part.crop).shape[:2]
        x, y = part.offset
        if x < left + width and left < x + part_width and y < top + height and top < y + part_height:
            parts.append(part)
    return parts


# making parts


def _background_near(pixels: Pixels, x: int, y: int, reach: int = 8) -> list[tuple[int, int]]:
    """Return the pixels around a point that have one of the two most frequent colors there."""
    left, top = max(0, x - reach), max(0, y - reach)
    window = pixels[top : y + reach + 1, left : x + reach + 1].reshape(-1, 3)
    colors, indices, counts = np.unique(window, axis=0, return_inverse=True, return_counts=True)
    if not len(colors):
        return []
    width = min(pixels.shape[1], x + reach + 1) - left
    places = np.flatnonzero(np.isin(indices.reshape(-1), np.argsort(-counts)[:2]))
    rows, columns = places // width + top, places % width + left
    return [(int(column), int(row)) for column, row in zip(columns, rows, strict=True)]


def _texts_on_line(
    strength: Array, x: int, y: int, box: Area | None
) -> tuple[tuple[int, int] | None, list[tuple[int, int]]]:
    """Return the columns of the text at a point, None without one, and those of the other texts on its line."""
    band = strength[max(0, y - BAND_PX) : y + BAND_PX + 1] > MIN_EDGE
    active = band.any(axis=0) & (band.mean(axis=0) < MAX_STEM)  # a line through the whole band is a border
    width = len(active)
    if box is None:
        texts = list(_runs(active, 0, width))
        own = min(texts, key=lambda text: _distance(text, x), default=None)
        if own is None or _distance(own, x) > NEAR_PX:
            return None, texts
        others = [text for text in texts if text != own and text[1] - text[0] >= MIN_TEXT_PX]
    else:
        inner_left, inner_right = box[0] + BORDER_PX, box[0] + box[2] - BORDER_PX
        first, last = max(y - BAND_PX, box[1] + BORDER_PX), min(y + BAND_PX + 1, box[1] + box[3] - BORDER_PX)
        inside = np.asarray((strength[first : max(first, last)] > MIN_EDGE).any(axis=0))
        within = list(_runs(inside, inner_left, inner_right))
        own = min(within, key=lambda text: _distance(text, x), default=None)
        own = own if own is not None and _distance(own, x) <= NEAR_PX else None
        others = [*_runs(active, 0, box[0] - BORDER_PX), *_runs(active, box[0] + box[2] + BORDER_PX, width)]
        others = [text for text in others if text[1] - text[0] >= MIN_TEXT_PX]
    if own is not None and own[1] - own[0] > MAX_TEXT_PX:
        own = max(own[0], x - MAX_TEXT_PX // 2), min(own[1], x + MAX_TEXT_PX // 2)
    return own, others


def _text_above(strength: Array, box: Area) -> tuple[int, int, int, int] | None:
    """Return the first and last columns and rows of the nearest text above a box; None without one."""
    left, top, width, _ = box
    first = max(0, top - ABOVE_PX)
    region = strength[first : max(0, top - BORDER_PX), max(0, left - BORDER_PX) : left + width]
    if not region.size:
        return None
    rows = [run for run in _runs(region.max(axis=1) > MIN_EDGE, 0, len(region), gap=2) if run[1] - run[0] >= 6]
    if not rows:
        return None
    start, end = rows[-1]
    texts = [
        run for run in _runs(region[start:end].max(axis=0) > MIN_EDGE, 0, region.shape[1]) if run[1] - run[0] >= 12
    ]
    if not texts:
        return None
    x0 = max(0, left - BORDER_PX) + texts[0][0]
    return x0, first + start, min(x0 + texts[0][1] - texts[0][0], x0 + MAX_TEXT_PX), first + end


def _runs(active: Array, start: int, end: int, gap: int = GAP_PX) -> Iterator[tuple[int, int]]:
    """Yield the beginnings and ends of runs of true values, across gaps."""
    indices = np.flatnonzero(active[max(0, start) : max(0, end)]) + max(0, start)
    if not len(indices):
        return
    breaks = np.flatnonzero(np.diff(indices) > gap)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(indices) - 1], strict=True):
        yield int(indices[first]), int(indices[last]) + 1


def _distance(text: tuple[int, int], x: int) -> int:
    return max(text[0] - x, x - text[1] + 1, 0)


def _cut(
    screen: Pixels, strength: Array, x: int, y: int, side: Side, span: tuple[int, int, int, int]
) -> Landmark | None:
    """Return a part of a screen; None where no text is in the span."""
    from PIL import Image

    left, top, right, bottom = span
    if side != "above":  # from the band to the rows of this text
        rows = list(_runs(strength[max(0, top) : bottom, left:right].max(axis=1) > MIN_EDGE, 0, bottom - top, gap=3))
        middle = y - max(0, top)
        run = min(rows, key=lambda item: _distance(item, middle), default=None)
        if run is None:
            return None
        top, bottom = max(0, top) + run[0], max(0, top) + run[1]
    left, top = max(0, left - BORDER_PX), max(0, top - BORDER_PX)
    crop = screen[top : bottom + BORDER_PX, left : right + BORDER_PX]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(crop)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return Landmark(side, (left - x, top - y), data)


# finding parts


def _places(part: Landmark, strength: Array) -> list[Place]:
    """Return where a screen shows a part, so that each of its letters is the same."""
    template = edges(_decode(part.crop))[1:-1, 1:-1]  # the outermost pixels have no neighbors
    height, width = template.shape
    if min(height, width) < 1 or height > strength.shape[0] or width > strength.shape[1]:
        return []
    scores = _similarity(strength, template)
    places = []
    for _ in range(MAX_PEAKS):
        top, left = (int(index) for index in np.unravel_index(int(scores.argmax()), scores.shape))
        if scores[top, left] < MIN_PEAK:
            break
        if _least_similarity(strength, template, left, top) >= MIN_SCORE:
            places.append(Place(left - 1, top - 1))
        scores[max(0, top - height // 2) : top + height // 2 + 1, max(0, left - width // 2) : left + width // 2 + 1] = 0
    return places


def _similarity(strength: Array, template: Array) -> Array:
    """Return the correlation of edges at each place of a screen; 0 where the screen is too flat for one."""
    import cv2

    height, width = template.shape
    scores = np.asarray(cv2.matchTemplate(strength, template, cv2.TM_CCOEFF_NORMED))
    rows, columns = scores.shape
    kernel: dict[str, Any] = {"ksize": (width, height), "anchor": (0, 0)}
    mean = cv2.boxFilter(strength, cv2.CV_64F, **kernel)[:rows, :columns]
    square = cv2.sqrBoxFilter(strength, cv2.CV_64F, **kernel)[:rows, :columns]
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    scores[~np.isfinite(scores) | (deviation < MIN_DEVIATION * template.std())] = 0.0
    return scores


def _least_similarity(strength: Array, template: Array, left: int, top: int) -> float:
    """Return the least correlation of the pieces of a template, each within a few pixels of its place."""
    height, width = template.shape
    count = max(1, round(width / PIECE_PX))
    least = 1.0
    for index in range(count):
        start, end = index * width // count, (index + 1) * width // count
        piece = template[:, start:end]
        if piece.std() < MIN_PIECE_DEVIATION:
            continue
        x, y = left + start - PIECE_REACH_PX, top - PIECE_REACH_PX
        region = strength[max(0, y) : top + height + PIECE_REACH_PX, max(0, x) : left + end + PIECE_REACH_PX]
        if region.shape[0] < height or region.shape[1] < piece.shape[1]:
            return 0.0
        least = min(least, float(_similarity(region, piece).max()))
    return least


def _decode(crop: str) -> Pixels:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(crop))) as image:
        return np.asarray(image.convert("RGB"))


def _hypotheses(
    places: Sequence[tuple[Landmark, list[Place]]], box: Area | None, pixels: Pixels, strength: Array
) -> Iterator[tuple[int, int]]:
    """Yield the points for which each part has a place."""
    (first, first_places), *others = places
    for place in first_places:
        x, y = place.left - first.offset[0], place.top - first.offset[1]
        if not (0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]):
            continue
        if not all(any(_agrees(part, item, x, y) for item in part_places) for part, part_places in others):
            continue
        if box is not None:
            present = box_at(pixels, x, y)
            if present is None or not _is_same_box(box, present):
                continue
            if first.side != "at":  # nothing but the box tells where
                x = present[0] + int(-box[0] / box[2] * present[2])
                y = present[1] + int(-box[1] / box[3] * present[3])
                if not _is_empty(strength, present, x):
                    continue
        yield x, y


def _is_empty(strength: Array, box: Area, x: int) -> bool:
    """Return whether a box has nothing in it near a column."""
    left, top, width, height = box
    columns = slice(max(left + BORDER_PX, x - NEAR_PX), min(left + width - BORDER_PX, x + NEAR_PX + 1))
    inside = strength[top + BORDER_PX : top + height - BORDER_PX, columns]
    return not inside.size or float(inside.max()) <= MIN_EDGE


def _agrees(part: Landmark, place: Place, x: int, y: int) -> bool:
    """Return whether a place is in the direction from a point in which the part was recorded."""
    (across, down), (recorded_across, recorded_down) = (place.left - x, place.top - y), part.offset
    if abs(down - recorded_down) > LINE_TOLERANCE_PX or across * recorded_across < 0:
        return False
    distance = abs(recorded_across)
    return MIN_REACH * distance - SLACK_PX <= abs(across) <= MAX_REACH * distance + SLACK_PX


def _is_same_box(recorded: Area, present: Area) -> bool:
    """Return whether a box has the recorded height, and the recorded width unless it is a wide field."""
    (_, _, width, height), (_, _, present_width, present_height) = recorded, present
    if abs(present_height - height) > SIZE_TOLERANCE_PX:
        return False
    return present_width >= width / 2 if width > 3 * height else abs(present_width - width) <= SIZE_TOLERANCE_PX
