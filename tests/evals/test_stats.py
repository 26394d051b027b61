"""Statistics against reference values."""

from __future__ import annotations

import pytest

from evals.stats import format_rate, wilson


@pytest.mark.parametrize(
    ("success", "total", "low", "high"),
    [(50, 50, 0.9287, 1.0), (49, 50, 0.8950, 0.9965), (0, 10, 0.0, 0.2775), (19, 50, 0.2586, 0.5185), (0, 0, 0.0, 1.0)],
)
def test_wilson(success: int, total: int, low: float, high: float) -> None:
    assert wilson(success, total) == pytest.approx((low, high), abs=1e-4)


def test_rate_of_no_samples_is_not_available() -> None:
    assert format_rate(0.0, 0) == "n/a"
    assert format_rate(0.0, 3) == "0.00 %"
    assert format_rate(0.12345) == "12.35 %"
