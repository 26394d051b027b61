"""How sure a model was of the point that it named. Knows probabilities of digits; knows no screens.

A coordinate is said digit by digit. Each digit that could have come instead would have moved the point by a known
number of pixels, so the probabilities at the digits add up to a spread: the root of the expected squared distance
between the point that was said and the one that might have been, along each axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_POINT = re.compile(r'"coordinate": \[(\d+), (\d+)\]')


@dataclass(frozen=True)
class PointUncertainty:
    """A point in the model's pixels, and how far from it, in the same pixels, the model would have pointed otherwise.

    probability: that of all the point's digits together, as they were said.
    """

    x: int
    y: int
    x_px: float
    y_px: float
    probability: float

    @property
    def px(self) -> float:
        return math.hypot(self.x_px, self.y_px)


def point_uncertainty(
    ids: Sequence[int], chances: Mapping[int, Sequence[float]], decode: Callable[[Sequence[int]], str]
) -> PointUncertainty | None:
    """Of the first point in a reply's ids; None where it has none, or its digits are not tokens of their own.

    chances: place in ids -> the probabilities there of the digits 0 to 9 and, last, of all else. A place that is not in
    it was forced, and certain.
    """
    found = _POINT.search(decode(ids))
    if found is None:
        return None
    ends = [len(decode(ids[: n + 1])) for n in range(len(ids))]  # characters after each id
    axes = []
    for axis in (1, 2):
        digits, start = found.group(axis), found.start(axis)
        try:
            places = [ends.index(start + n + 1) for n in range(len(digits))]
        except ValueError:
            return None
        if any(ends[place - 1] != start + n for n, place in enumerate(places)):
            return None
        axes.append(_axis(digits, [chances.get(place) for place in (*places, places[-1] + 1)]))
    return PointUncertainty(
        int(found.group(1)), int(found.group(2)), axes[0][0], axes[1][0], math.prod(certain for _, certain in axes)
    )


def _axis(digits: str, chances: Sequence[Sequence[float] | None]) -> tuple[float, float]:
    """(spread, probability) of a number; chances of each digit and of what ends it."""
    value, moved, certain = int(digits), 0.0, 1.0
    for place, chance in enumerate(chances):
        if chance is None:
            continue
        rest, before = digits[place + 1 :], digits[:place]
        said = int(digits[place]) if place < len(digits) else 10
        certain *= chance[said]
        for other, likely in enumerate(chance):
            if other == said or (other == 10 and not before):
                continue
            number = int(before) if other == 10 else int(f"{before}{other}{rest}")
            moved += likely * (number - value) ** 2
    return math.sqrt(moved), certain
