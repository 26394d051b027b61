"""The uncertainty of a point follows from the probabilities of its digits."""

from __future__ import annotations

import math

import pytest

from model.engine.point_uncertainty import point_uncertainty

CALL = ['{"action": "left_click", "', 'coordinate": [', "1", "2", ", ", "3", "]}"]


def decode(ids: object) -> str:
    return "".join(CALL[token] for token in ids)  # type: ignore[attr-defined]


def certain(digit: int) -> list[float]:
    return [float(index == digit) for index in range(11)]


def test_certain_digits_have_no_uncertainty() -> None:
    probabilities = {2: certain(1), 3: certain(2), 4: certain(10), 5: certain(3), 6: certain(10)}
    uncertainty = point_uncertainty(range(7), probabilities, decode)
    assert uncertainty is not None
    assert (uncertainty.x, uncertainty.y, uncertainty.px, uncertainty.probability) == (12, 3, 0.0, 1.0)


def test_uncertainty_depends_on_digit_place() -> None:
    tens = certain(1)
    tens[1], tens[5] = 0.75, 0.25  # the alternative is 52
    ones = certain(3)
    ones[3], ones[4] = 0.5, 0.5
    uncertainty = point_uncertainty(range(7), {2: tens, 3: certain(2), 4: certain(10), 5: ones}, decode)
    assert uncertainty is not None
    assert uncertainty.x_px == pytest.approx(math.sqrt(0.25 * 40**2))
    assert uncertainty.y_px == pytest.approx(math.sqrt(0.5))
    assert uncertainty.probability == pytest.approx(0.375)


def test_number_length_adds_uncertainty() -> None:
    end = certain(10)
    end[10], end[7] = 0.9, 0.1  # 127
    second = certain(2)
    second[2], second[10] = 0.8, 0.2  # 1
    uncertainty = point_uncertainty(range(7), {3: second, 4: end}, decode)
    assert uncertainty is not None
    assert uncertainty.x_px == pytest.approx(math.sqrt(0.2 * 11**2 + 0.1 * 115**2))


def test_reply_without_point_has_no_uncertainty() -> None:
    assert point_uncertainty([0], {}, decode) is None
    merged = ['coordinate": [1', "2", ", 3]"]
    assert (
        point_uncertainty(
            range(3), {}, lambda ids: "".join(('"', *merged)[index] for index in [0, *(1 + n for n in ids)])
        )
        is None
    )
