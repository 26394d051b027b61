"""Regular expressions for the decimal numbers of a range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

MIN_DECIMALS, MAX_DECIMALS = 6, 17  # digits behind the point: more of them exceed the precision of floats


def decimal_places(bounds: Sequence[float]) -> int:
    """Return the digits behind the point that numbers between these bounds may have: one more than the bounds."""
    return min(MAX_DECIMALS, max([MIN_DECIMALS, *(_places(bound) + 1 for bound in bounds)]))


def number_range_regex(least: float, most: float, places: int) -> str:
    """Return a regular expression for the numbers from `least` to `most`, both included.

    There are no leading zeros, no exponents and no negative zero.

    Args:
        least: The lower bound.
        most: The upper bound.
        places: Digits behind the point, at most; 0 for integers.

    Raises:
        ValueError: No such number is in the range.
    """
    low, high = _scaled(least, most, places)
    alternatives = list(_unsigned(max(low, 0), high, places))
    alternatives += [f"-{text}" for text in _unsigned(max(-high, 1), -low, places)]
    if not alternatives:
        raise ValueError(f"no number from {least} to {most} with {places} digits behind the point")
    return "|".join(alternatives)


def has_number(least: float, most: float, places: int) -> bool:
    """Return whether a number with at most `places` digits behind the point is in a range."""
    low, high = _scaled(least, most, places)
    return low <= high


def _scaled(least: float, most: float, places: int) -> tuple[int, int]:
    """Return the smallest and the largest n for which n / 10**places is in a range."""
    return math.ceil(Fraction(repr(least)) * 10**places), math.floor(Fraction(repr(most)) * 10**places)


def _places(bound: float) -> int:
    """Return the digits behind the point of a bound, 0 for an integer."""
    exponent = Decimal(repr(bound)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _unsigned(low: int, high: int, places: int) -> Iterator[str]:
    """Yield expressions that together match the numbers n / 10**places with low <= n <= high."""
    for size in range(1, len(str(high)) + 1):  # of the part before the point
        first = 0 if size == 1 else 10 ** (size - 1 + places)
        start, stop = max(low, first), min(high, 10 ** (size + places) - 1)
        if start <= stop:
            digits = size + places
            for prefix, free in _digit_ranges(str(start).zfill(digits), str(stop).zfill(digits)):
                yield _with_point(prefix, free, places)


def _digit_ranges(low: str, high: str) -> Iterator[tuple[list[str], int]]:
    """Yield (digits or classes, number of free digits behind them) for the texts from `low` to `high`."""
    if low == high or not low:
        yield list(low), 0
        return
    if set(low) == {"0"} and set(high) == {"9"}:
        yield [], len(low)
        return
    head, rest = (int(low[0]), int(high[0])), len(low) - 1
    if head[0] == head[1]:
        yield from (([low[0], *digits], free) for digits, free in _digit_ranges(low[1:], high[1:]))
        return
    first, last = head
    if set(low[1:]) > {"0"} or (rest and set(low[1:]) != {"0"}):
        yield from (([low[0], *digits], free) for digits, free in _digit_ranges(low[1:], "9" * rest))
        first += 1
    tail: list[tuple[list[str], int]] = []
    if rest and set(high[1:]) != {"9"}:
        tail = [([high[0], *digits], free) for digits, free in _digit_ranges("0" * rest, high[1:])]
        last -= 1
    if first <= last:
        yield [str(first) if first == last else f"[{first}-{last}]"], rest
    yield from tail


def _with_point(prefix: list[str], free: int, places: int) -> str:
    """Return digits with a point before the last `places`; those behind it that may be zero may be left out."""
    digits = [*prefix, *["[0-9]"] * free]
    whole, decimals = "".join(digits[: len(digits) - places]), digits[len(digits) - places :]
    required = max((count for count, digit in enumerate(decimals, 1) if not digit.startswith(("0", "[0"))), default=0)
    tail = ""
    for digit in reversed(decimals[required:]):
        tail = f"({digit}{tail})?"
    if required:
        return rf"{whole}\.{''.join(decimals[:required])}{tail}"
    return rf"{whole}(\.{tail[1:]}" if tail else whole
