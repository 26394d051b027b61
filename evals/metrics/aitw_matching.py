"""Android in the Wild's action matching: whether two gestures are the same.

Source: google-research, android_in_the_wild/action_matching.py (1d49f2c). A gesture is the pair of points where the
finger touches and lifts. It is a tap when the two are at most TAP_LENGTH apart. Two taps match within TAP_DISTANCE of
each other or in one annotated box enlarged to 2.4 times its size. Two drags match by their main axis, whatever their
direction. A tap and a drag never match.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evals.metrics.geometry import Box, Point, box_contains
from evals.metrics.mobile_actions import MobileAction, RecordedMobileStep

TAP_LENGTH = 0.04  # of the screen: longest movement of the finger during a tap
TAP_DISTANCE = 0.14  # of the screen: largest distance between matching taps
BOX_ENLARGEMENT = 1.4  # of a box's size, added to it


@dataclass(frozen=True)
class Gesture:
    """A touch gesture in normalized coordinates, x and y from 0 to 1."""

    touch: Point | None
    lift: Point | None
    direction: str = ""  # of a scroll without points: the side whose content comes into view

    @property
    def is_tap(self) -> bool:
        """Whether the finger stays within TAP_LENGTH."""
        return self.touch is not None and self.lift is not None and math.dist(self.touch, self.lift) <= TAP_LENGTH

    @property
    def is_vertical(self) -> bool:
        """Whether the main axis is vertical; ties count as vertical, as in the official scorer."""
        if self.touch is None or self.lift is None:
            return self.direction in ("up", "down")
        return abs(self.lift[1] - self.touch[1]) >= abs(self.lift[0] - self.touch[0])


def to_gesture(action: MobileAction, size: tuple[int, int]) -> Gesture:
    """Return an action in pixels of a screen of (width, height) as a gesture."""

    def normalize(point: Point | None) -> Point | None:
        return None if point is None else (point[0] / size[0], point[1] / size[1])

    touch = normalize(action.path[0] if action.path else action.point)
    return Gesture(touch, normalize(action.path[1]) if action.path else touch, action.direction or "")


def match(recorded: Gesture, predicted: Gesture, boxes: Iterable[Box]) -> tuple[bool, bool]:
    """Return (both are taps or both are drags, the gestures match).

    Args:
        recorded: The annotated gesture.
        predicted: The predicted gesture.
        boxes: The step's boxes, enlarged and normalized (see `enlarge_boxes`).
    """
    if recorded.is_tap != predicted.is_tap:
        return False, False
    if not recorded.is_tap:
        has_axis = predicted.touch is not None or bool(predicted.direction)  # a scroll of length 0 has none
        return True, has_axis and recorded.is_vertical == predicted.is_vertical
    assert recorded.touch is not None  # a tap has points
    assert predicted.touch is not None
    share_box = any(box_contains(box, predicted.touch) and box_contains(box, recorded.touch) for box in boxes)
    return True, share_box or math.dist(predicted.touch, recorded.touch) <= TAP_DISTANCE


def enlarge_boxes(step: RecordedMobileStep) -> Iterator[Box]:
    """Yield a step's boxes in normalized coordinates at 2.4 times their size.

    The corner and the size are each clipped to the screen, as in the official scorer.
    """
    width, height = step.size
    for x1, y1, x2, y2 in step.boxes:
        w, h = (x2 - x1) / width, (y2 - y1) / height
        left, top = max(0.0, x1 / width - BOX_ENLARGEMENT * w / 2), max(0.0, y1 / height - BOX_ENLARGEMENT * h / 2)
        yield left, top, left + min(1.0, w + BOX_ENLARGEMENT * w), top + min(1.0, h + BOX_ENLARGEMENT * h)
