"""What one step costs on the simulated phone, without a model."""

from __future__ import annotations

import statistics
import time

import pytest

from actions import Click, dispatch

STEP_S = 0.150


@pytest.mark.slow
def test_capture_and_dispatch_cost_under_150_ms(fresh, surface, record_property):
    costs = []
    for _ in range(30):
        began = time.perf_counter()
        screen = surface.capture()
        dispatch(Click(x=300, y=900), surface, screen)
        costs.append(time.perf_counter() - began)
    median = statistics.median(costs)
    record_property("median_ms", round(median * 1000))
    assert median <= STEP_S, f"median {median * 1000:.0f} ms, best {min(costs) * 1000:.0f} ms"
