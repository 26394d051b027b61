"""The spread of a point follows from the chances of its digits."""

from __future__ import annotations

import math

import pytest

from model.engine.point_uncertainty import point_uncertainty

CALL = ['{"action": "left_click", "', 'coordinate": [', "1", "2", ", ", "3", "]}"]


def decode(ids: object) -> str:
    return "".join(CALL[one] for one in ids)  # type: ignore[attr-defined]


def sure(digit: int) -> list[float]:
    return [float(one == digit) for one in range(11)]


def test_certain_point_has_no_spread() -> None:
    probabilities = {2: sure(1), 3: sure(2), 4: sure(10), 5: sure(3), 6: sure(10)}
    uncertainty = point_uncertainty(range(7), probabilities, decode)
    assert uncertainty is not None and (uncertainty.x, uncertainty.y, uncertainty.px, uncertainty.probability) == (
        12,
        3,
        0.0,
        1.0,
    )


def test_digit_uncertainty_scales_with_its_place() -> None:
    tens = sure(1)
    tens[1], tens[5] = 0.75, 0.25  # 52 might have been said
    ones = sure(3)
    ones[3], ones[4] = 0.5, 0.5
    uncertainty = point_uncertainty(range(7), {2: tens, 3: sure(2), 4: sure(10), 5: ones}, decode)
    assert uncertainty is not None
    assert uncertainty.x_px == pytest.approx(math.sqrt(0.25 * 40**2)) and uncertainty.y_px == pytest.approx(
        math.sqrt(0.5)
    )
    assert uncertainty.probability == pytest.approx(0.375)


def test_alternative_digits_and_lengths_count() -> None:
    end = sure(10)
    end[10], end[7] = 0.9, 0.1  # 127
    second = sure(2)
    second[2], second[10] = 0.8, 0.2  # 1
    uncertainty = point_uncertainty(range(7), {3: second, 4: end}, decode)
    assert uncertainty is not None
    assert uncertainty.x_px == pytest.approx(math.sqrt(0.2 * 11**2 + 0.1 * 115**2))


def test_reply_without_point_has_no_spread() -> None:
    assert point_uncertainty([0], {}, decode) is None
    glued = ['coordinate": [1', "2", ", 3]"]
    assert (
        point_uncertainty(range(3), {}, lambda ids: "".join(('"', *glued)[one] for one in [0, *(1 + n for n in ids)]))
        is None
    )
