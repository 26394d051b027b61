"""Android in the Wild's action matching: are two gestures the same? Knows points as shares of the screen; no file.

Source: google-research, android_in_the_wild/action_matching.py (1d49f2c), read. A gesture is where a finger went down
and where it went up. It is a tap when the two are at most TAP apart. Two taps match within FAR, or in one annotated box
of 2.4 times its size; two drags match by their main axis, whatever their direction; a tap and a drag never do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evals.metrics.mobile_actions import Box, MobileAction, Point, RecordedMobileStep, inside

TAP, TAP_DISTANCE = 0.04, 0.14  # of the screen: how far a finger moves in a tap, how far a tap may be off
BOX_ENLARGEMENT = 1.4


@dataclass(frozen=True)
class Gesture:
    """touch and lift are x, y as shares of the screen. side: of a scroll without points, which comes into view."""

    touch: Point | None
    lift: Point | None
    side: str = ""

    @property
    def tap(self) -> bool:
        return self.touch is not None and self.lift is not None and math.dist(self.touch, self.lift) <= TAP

    @property
    def upright(self) -> bool:
        """Whether the main axis is the upright one, which it also is where both are equally long, as there."""
        if self.touch is None or self.lift is None:
            return self.side in ("up", "down")
        return abs(self.lift[1] - self.touch[1]) >= abs(self.lift[0] - self.touch[0])


def gesture(said: MobileAction, size: tuple[int, int]) -> Gesture:
    """A deed in pixels of a screen of that size (width, height) as a gesture."""

    def share(point: Point | None) -> Point | None:
        return None if point is None else (point[0] / size[0], point[1] / size[1])

    touch = share(said.path[0] if said.path else said.point)
    return Gesture(touch, share(said.path[1]) if said.path else touch, said.side or "")


def match(true: Gesture, said: Gesture, boxes: Iterable[Box]) -> tuple[bool, bool]:
    """(both taps or both drags, the same). boxes: of the annotation, grown (see grown), as shares."""
    if true.tap != said.tap:
        return False, False
    if not true.tap:
        nowhere = said.touch is None and not said.side  # a scroll by nothing has no axis
        return True, not nowhere and true.upright == said.upright
    assert true.touch is not None and said.touch is not None  # both are taps
    at, goal = said.touch, true.touch
    together = any(inside(at, box) and inside(goal, box) for box in boxes)
    return True, together or math.dist(at, goal) <= TAP_DISTANCE


def enlarge_boxes(step: RecordedMobileStep) -> Iterator[Box]:
    """A step's boxes as shares, 2.4 times their size; corner and size are each kept within the screen, as there."""
    width, height = step.size
    for x1, y1, x2, y2 in step.boxes:
        w, h = (x2 - x1) / width, (y2 - y1) / height
        left, top = max(0.0, x1 / width - BOX_ENLARGEMENT * w / 2), max(0.0, y1 / height - BOX_ENLARGEMENT * h / 2)
        yield left, top, left + min(1.0, w + BOX_ENLARGEMENT * w), top + min(1.0, h + BOX_ENLARGEMENT * h)
