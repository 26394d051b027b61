"""Swipes that scroll an Android screen."""

from __future__ import annotations

import math

from envs.android.commands import Command, swipe

SWIPE_S = 0.3  # slower than a fling, faster than a long press
NOTCH_DP = 100  # of one wheel notch, as in the browser: a dp is a CSS pixel
REACH = 0.5  # of the screen, for one swipe: its ends stay clear of the edges, where system gestures start
SCROLL_S_PER_DP = 0.0015  # slow enough not to be a fling


def scroll_swipes(
    position: tuple[int, int], down: int, right: int, size: tuple[int, int], density: int
) -> list[Command]:
    """Return swipes that scroll by wheel notches.

    Args:
        position: where to scroll, in the phone's pixels.
        down: vertical notches, negative for up.
        right: horizontal notches, negative for left.
        size: width and height of the display.
        density: of the display, in dots per inch.

    Returns:
        The fewest swipes that fit the screen, vertical ones first. They have equal lengths, since a short last one
        would be a tap.
    """
    x, y = position
    width, height = size
    commands: list[Command] = []
    for notches, side, center, is_horizontal in ((down, height, y, False), (right, width, x, True)):
        distance = abs(notches) * NOTCH_DP * density / 160
        count = math.ceil(distance / (side * REACH))
        for _ in range(count):
            length = distance / count
            low, high = side * (1 - REACH) / 2 * 0.5, side - side * (1 - REACH) / 2 * 0.5
            middle = min(max(center, low + length / 2), high - length / 2)
            half = length / 2 if notches > 0 else -length / 2  # the finger moves against the scroll direction
            start, end = round(middle + half), round(middle - half)
            seconds = max(SWIPE_S, length * 160 / density * SCROLL_S_PER_DP)
            points = ((start, y), (end, y)) if is_horizontal else ((x, start), (x, end))
            commands.append(swipe(*points, seconds))
    return commands
