"""Find the lines of text in an image by its pixels alone, and cut them into strips for a model that reads strips."""

from __future__ import annotations

import numpy as np

from actions import Screen
from actions.screen import Pixels
from agent.extraction.output import Box
from agent.extraction.text_region import JOIN_PX, MIN_CONTRAST

STRIP_WIDTH_PX, STRIP_HEIGHT_PX = 280, 19  # of the strips that the embedded model was trained to read
STRIP_MARGIN_PX = 4
MAX_LETTERS_PX = 15  # height of the letters in a strip; larger text is scaled down
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


def strip(screen: Screen, box: Box) -> Screen:
    """Return a part of a line as a strip of STRIP_WIDTH_PX x STRIP_HEIGHT_PX, on the line's own background."""
    from model.processing.image import resize

    left, top, right, bottom = box
    width, height = right - left, bottom - top
    room = STRIP_WIDTH_PX - 2 * STRIP_MARGIN_PX
    scale = min(1.0, MAX_LETTERS_PX / height, room / width)
    letters = screen.pixels[top:bottom, left:right]
    background = np.median(letters.reshape(-1, 3), axis=0).astype(np.uint8)
    if scale < 1:
        letters = resize(letters, max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.empty((STRIP_HEIGHT_PX, STRIP_WIDTH_PX, 3), np.uint8)
    pixels[:] = background
    first_row = (STRIP_HEIGHT_PX - letters.shape[0]) // 2
    pixels[first_row : first_row + letters.shape[0], STRIP_MARGIN_PX : STRIP_MARGIN_PX + letters.shape[1]] = letters
    return Screen(pixels)


def strip_parts(screen: Screen, line: Box) -> list[Box]:
    """Return parts of a line, each of whole words, that fit into one strip without loss where a word does."""
    limit = (STRIP_WIDTH_PX - 2 * STRIP_MARGIN_PX) * max(1.0, (line[3] - line[1]) / MAX_LETTERS_PX)
    parts: list[Box] = []
    for word in word_boxes(screen, line):
        if parts and word[2] - parts[-1][0] <= limit:
            parts[-1] = (parts[-1][0], line[1], word[2], line[3])
        else:
            parts.append(word)
    return parts


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
    background = np.median(pixels.reshape(-1, 3), axis=0)
    difference: Pixels = np.abs(pixels.astype(np.int16) - background).max(axis=2) >= MIN_CONTRAST
    return difference
