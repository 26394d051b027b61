"""Find the line of text at a point of a screenshot, and cut it out."""

from __future__ import annotations

from actions import Screen
from actions.screen import Pixels
from agent.extraction.output import Box

REACH_PX = 16  # from the point to the text
WINDOW_PX = (320, 48)  # half the width and half the height of the part that is searched
JOIN_PX = 9  # gaps between the letters and words of a line
MIN_CONTRAST = 24  # of edges, in gray values
MARGIN_PX = 3
MIN_TEXT_HEIGHT_PX, MAX_TEXT_HEIGHT_PX = 4, 80
SCALE = 3


def text_region(screen: Screen, x: int, y: int) -> Box | None:
    """Return the box of the line of text at a point; None where there is none within `REACH_PX`.

    The line is the connected area of contrast, its letters and words joined; nothing else than pixels is used.
    """
    import cv2
    import numpy as np

    across, down = WINDOW_PX
    while True:
        left, top = max(0, x - across), max(0, y - down)
        right, bottom = min(screen.width, x + across), min(screen.height, y + down)
        gray = cv2.cvtColor(np.ascontiguousarray(screen.pixels[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
        edges = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        marks = _without_lines((edges >= MIN_CONTRAST).astype(np.uint8))
        joined = cv2.morphologyEx(marks, cv2.MORPH_CLOSE, np.ones((3, 2 * JOIN_PX + 1), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        rows, columns = np.nonzero(labels)
        if not len(rows):
            return None
        distances = np.maximum(abs(rows - (y - top)), abs(columns - (x - left)))
        nearest = int(distances.argmin())
        if distances[nearest] > REACH_PX:
            return None
        start, first_row, width, height = (int(size) for size in stats[labels[rows[nearest], columns[nearest]]][:4])
        if not MIN_TEXT_HEIGHT_PX <= height <= MAX_TEXT_HEIGHT_PX:
            return None
        is_cut = (start == 0 and left > 0) or (start + width == right - left and right < screen.width)
        if is_cut:  # the line goes on outside the part that was searched
            across *= 2
            continue
        return (
            max(0, left + start - MARGIN_PX),
            max(0, top + first_row - MARGIN_PX),
            min(screen.width, left + start + width + MARGIN_PX),
            min(screen.height, top + first_row + height + MARGIN_PX),
        )


def enlarged_crop(screen: Screen, box: Box) -> Screen:
    """Return a part of a screenshot, enlarged so that small text can be read."""
    import numpy as np

    from model.processing.image import resize

    left, top, right, bottom = box
    pixels = screen.pixels[top:bottom, left:right]
    return Screen(
        np.ascontiguousarray(resize(pixels, SCALE * (right - left), SCALE * (bottom - top))),
        timestamp=screen.timestamp,
    )


def _without_lines(marks: Pixels) -> Pixels:
    """Return marks without the long straight lines of boxes and tables."""
    import cv2
    import numpy as np

    result = marks.copy()
    for shape in ((1, 60), (40, 1)):
        lines = cv2.morphologyEx(marks, cv2.MORPH_OPEN, np.ones(shape, np.uint8))
        result[cv2.dilate(lines, np.ones((3, 3), np.uint8)) > 0] = 0
    return result
