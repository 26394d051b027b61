"""Duration of a step on the simulated phone, without a model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from actions import Click, dispatch
from envs.surfaces.android import Surface

STEP_S = 0.150


@pytest.mark.slow
def test_capture_and_dispatch_take_150_ms(surface: Surface, record_property: Callable[[str, object], None]) -> None:
    durations = []
    for _ in range(30):
        start = time.perf_counter()
        screen = surface.capture()
        dispatch(Click(x=300, y=900), surface, screen)
        durations.append(time.perf_counter() - start)
    median = statistics.median(durations)
    record_property("median_ms", round(median * 1000))
    assert median <= STEP_S, f"median {median * 1000:.0f} ms, best {min(durations) * 1000:.0f} ms"
