"""Find the lines of text in an image by its pixels alone, and cut them into strips for a model that reads strips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actions import Screen
from actions.screen import Pixels
from agent.extraction.output import Box
from agent.extraction.text_region import JOIN_PX, MIN_CONTRAST

STRIP_WIDTH_PX, STRIP_HEIGHT_PX = 280, 19  # of the strips that the embedded model was trained to read
STRIP_LEFT_PX, STRIP_RIGHT_PX = 5, 4  # margins beside a word
FONT_SIZES_PX = (11, 16)  # that the strips were trained with; larger text is scaled down
ASCENDER_SHARE = 0.73  # of the font size: from the baseline to the top of b, d, h and capitals
MIDDLE_TO_BASELINE_SHARE = 0.3465  # of the font size: from the middle of a line box to its baseline in Arial
MIN_LINE_PX = (4, 5)  # width and height; less is a mark, no text
MAX_LINE_HEIGHT_PX = 80
MIN_RULE_PX, MAX_RULE_WIDTH_PX = 24, 5  # length and width of the contrast along a straight line
MAX_FRAME_SHARE = 0.3  # of a frame's area that is contrast; letters have more
WORD_GAP_SHARE = 0.25  # of the height of a line: the gap between two words, at least


def text_lines(screen: Screen) -> list[Box]:
    """Return the boxes of the lines of text, from the top to the bottom, then from the left to the right.

    A line is a connected area of contrast, its letters and words joined; pictures can be mistaken for lines.
    """
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(screen.pixels), cv2.COLOR_RGB2GRAY)
    edges = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    marks = _without_frames((edges >= MIN_CONTRAST).astype(np.uint8))
    joined = cv2.morphologyEx(marks, cv2.MORPH_CLOSE, np.ones((3, 2 * JOIN_PX + 1), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    boxes: list[Box] = []
    for left, top, width, height, _ in stats[1:].tolist():
        if width >= MIN_LINE_PX[0] and MIN_LINE_PX[1] <= height <= MAX_LINE_HEIGHT_PX:
            boxes.append((left, top, left + width, top + height))
    lines = [box for box in boxes if not any(_is_within(box, other) for other in boxes if other != box)]
    return sorted(lines, key=lambda box: (box[1] // 6, box[0]))


def word_boxes(screen: Screen, line: Box) -> list[Box]:
    """Return the boxes of the words of a line, from the left to the right."""
    left, top, right, bottom = line
    is_ink = _ink(screen.pixels[top:bottom, left:right]).any(axis=0)
    gap = max(3, round(WORD_GAP_SHARE * (bottom - top)))
    columns = np.flatnonzero(is_ink)
    if not len(columns):
        return []
    breaks = np.flatnonzero(np.diff(columns) > gap)
    starts = [columns[0], *columns[breaks + 1]]
    ends = [*columns[breaks], columns[-1]]
    return [(left + int(start), top, left + int(end) + 1, bottom) for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class LineMetrics:
    """The font size and the baseline of a line, as its pixels suggest.

    Args:
        size: Font size in pixels.
        baseline: First row below the letters without descenders.
    """

    size: float
    baseline: int


def line_metrics(screen: Screen, line: Box) -> LineMetrics:
    """Return the metrics of a line: the contrast falls most at the baseline; above it, letters with ascenders stand."""
    left, top, right, bottom = line
    pixels = screen.pixels[top:bottom, left:right].astype(np.float32)
    contrast = np.abs(pixels - _background(screen.pixels[top:bottom, left:right])).max(axis=2).sum(axis=1)
    falls = contrast - np.append(contrast[1:], 0)
    half = len(falls) // 2
    baseline = top + half + int(falls[half:].argmax()) + 1
    return LineMetrics((baseline - top - 1) / ASCENDER_SHARE, baseline)


def strip(screen: Screen, box: Box, metrics: LineMetrics) -> Screen:
    """Return a word as a strip of STRIP_WIDTH_PX x STRIP_HEIGHT_PX, on its own background.

    The baseline is where it is in the strips that the model was trained to read: a letter that stands two pixels higher
    is often read as another one.

    Args:
        screen: The image.
        box: The box of the word.
        metrics: Those of its line.
    """
    from model.processing.image import resize

    left, top, right, bottom = box
    smallest, largest = FONT_SIZES_PX
    width, height = right - left, bottom - top
    room = STRIP_WIDTH_PX - STRIP_LEFT_PX - STRIP_RIGHT_PX
    scale = min(1.0, largest / max(metrics.size, 1), room / width, STRIP_HEIGHT_PX / height)
    letters = screen.pixels[top:bottom, left:right]
    background = _background(letters).astype(np.uint8)
    if scale < 1:
        letters = resize(letters, max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.empty((STRIP_HEIGHT_PX, STRIP_WIDTH_PX, 3), np.uint8)
    pixels[:] = background
    size = min(max(metrics.size * scale, smallest), largest)
    baseline = STRIP_HEIGHT_PX / 2 + MIDDLE_TO_BASELINE_SHARE * size
    first_row = round(baseline - (metrics.baseline - top) * scale)
    first_row = min(max(first_row, 0), STRIP_HEIGHT_PX - letters.shape[0])
    pixels[first_row : first_row + letters.shape[0], STRIP_LEFT_PX : STRIP_LEFT_PX + letters.shape[1]] = letters
    return Screen(pixels)


def _without_frames(marks: Pixels) -> Pixels:
    """Return marks without straight lines, and without the frames of fields, buttons and tables."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    _, _, widths, heights, areas = stats.T
    is_line = ((heights <= MAX_RULE_WIDTH_PX) & (widths >= MIN_RULE_PX)) | (
        (widths <= MAX_RULE_WIDTH_PX) & (heights >= MIN_RULE_PX)
    )
    is_frame = (np.minimum(widths, heights) >= MIN_RULE_PX) & (areas < MAX_FRAME_SHARE * widths * heights)
    return np.where((is_line | is_frame)[labels], 0, marks).astype(np.uint8)


def _is_within(box: Box, other: Box) -> bool:
    """Return whether a box lies inside another one; a pixel outside is allowed."""
    return all(low >= edge - 1 for low, edge in zip(box[:2], other[:2], strict=True)) and all(
        high <= edge + 1 for high, edge in zip(box[2:], other[2:], strict=True)
    )


def _ink(pixels: Pixels) -> Pixels:
    """Return where pixels differ from their background, bool [height, width]."""
    difference: Pixels = np.abs(pixels.astype(np.int16) - _background(pixels)).max(axis=2) >= MIN_CONTRAST
    return difference


def _background(pixels: Pixels) -> np.ndarray:
    """Return the color that half of the pixels have or nearly have, float64 [3]."""
    return np.median(pixels.reshape(-1, 3), axis=0)
