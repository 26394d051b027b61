"""The uncertainty of a predicted point, from the probabilities of its digits.

A coordinate is generated digit by digit. Each digit that could have been sampled instead would move the point by a
known number of pixels, so the probabilities at the digits add up to a spread: the root of the expected squared distance
between the generated point and its alternatives, along each axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

POINT_PATTERN = r'"coordinate": \[(\d+), (\d+)\]'


@dataclass(frozen=True)
class PointUncertainty:
    """A point in model pixels, and the expected distance of its alternatives along each axis.

    probability: the joint probability of the point's digits.
    """

    x: int
    y: int
    x_px: float
    y_px: float
    probability: float

    @property
    def px(self) -> float:
        """The expected distance in both axes together."""
        return math.hypot(self.x_px, self.y_px)


def point_uncertainty(
    ids: Sequence[int],
    probabilities: Mapping[int, Sequence[float]],
    decode: Callable[[Sequence[int]], str],
    pattern: str = POINT_PATTERN,
) -> PointUncertainty | None:
    """Return the uncertainty of the first point in a reply; None if it has none, or its digits share tokens.

    Args:
        ids: the reply's token ids.
        probabilities: for a position in `ids`, the probabilities of the digits 0 to 9 and, last, of everything else.
            A position without an entry was forced, and is certain.
        decode: token ids -> text.
        pattern: a regex for a point, with its two numbers as groups.
    """
    match = re.search(pattern, decode(ids))
    if match is None:
        return None
    ends = [len(decode(ids[: count + 1])) for count in range(len(ids))]  # characters after each id
    axes = []
    for axis in (1, 2):
        digits, start = match.group(axis), match.start(axis)
        try:
            positions = [ends.index(start + offset + 1) for offset in range(len(digits))]
        except ValueError:
            return None
        if any(ends[position - 1] != start + offset for offset, position in enumerate(positions)):
            return None
        axes.append(_axis(digits, [probabilities.get(position) for position in (*positions, positions[-1] + 1)]))
    (x_px, x_probability), (y_px, y_probability) = axes
    return PointUncertainty(
        int(match.group(1)), int(match.group(2)), x_px, y_px, math.prod((x_probability, y_probability))
    )


def _axis(digits: str, probabilities: Sequence[Sequence[float] | None]) -> tuple[float, float]:
    """Return (spread, probability) of a number, from the probabilities at each digit and after the last."""
    value, variance, joint = int(digits), 0.0, 1.0
    for place, distribution in enumerate(probabilities):
        if distribution is None:
            continue
        rest, before = digits[place + 1 :], digits[:place]
        digit = int(digits[place]) if place < len(digits) else 10
        joint *= distribution[digit]
        for other, probability in enumerate(distribution):
            if other == digit or (other == 10 and not before):
                continue
            number = int(before) if other == 10 else int(f"{before}{other}{rest}")
            variance += probability * (number - value) ** 2
    return math.sqrt(variance), joint
