"""Expressions for number ranges match the numbers of the range, and no others."""

from __future__ import annotations

import random
import re

import pytest

from model.engine.number_regex import decimal_places, has_number, number_range_regex


@pytest.mark.parametrize(
    ("least", "most"), [(0, 0), (0, 9), (-3, 12), (7, 7), (98, 1001), (-250, -9), (-1, 0), (5.5, 13.2), (1000, 1999)]
)
def test_integer_range_matches_exactly(least: float, most: float) -> None:
    pattern = re.compile(number_range_regex(least, most, 0))
    for number in range(-2100, 2100):
        assert bool(pattern.fullmatch(str(number))) == (least <= number <= most), number
    assert not any(map(pattern.fullmatch, ["", "-", "-0", "00", "01", "1.0", "1e1", "+1"]))


def test_random_decimal_ranges_match_exactly() -> None:
    generator = random.Random(1)
    for _ in range(300):
        bounds = sorted(round(generator.uniform(-20, 20), generator.randint(0, 3)) for _ in range(2))
        pattern = re.compile(number_range_regex(*bounds, places=3))
        for _ in range(200):
            text = f"{generator.choice([generator.uniform(-25, 25), *bounds]):.{generator.randint(0, 4)}f}"
            is_valid = bounds[0] <= float(text) <= bounds[1] and len(text.partition(".")[2]) <= 3
            is_negative_zero = text.startswith("-") and float(text) == 0
            assert bool(pattern.fullmatch(text)) == (is_valid and not is_negative_zero), (bounds, text)


def test_empty_range_is_an_error() -> None:
    assert not has_number(0.2, 0.8, 0)
    with pytest.raises(ValueError, match="no number"):
        number_range_regex(0.2, 0.8, 0)


def test_bounds_decide_decimal_places() -> None:
    assert decimal_places([]) == decimal_places([0, 1]) == 6
    assert decimal_places([1e-9, 1]) == 10
    assert decimal_places([5e-324]) == 17
