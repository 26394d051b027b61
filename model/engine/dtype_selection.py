"""Pick the dtype that a CPU is fast in, by a measurement."""

from __future__ import annotations

import statistics
import time

import torch

MIN_SPEEDUP = 1.5  # of bfloat16 over float32 to be worth the loss of precision
ROWS, WIDTH, REPEATS = 256, 1024, 5


def pick_dtype(device: str) -> torch.dtype:
    """Return bfloat16 where it multiplies matrices MIN_SPEEDUP times as fast as float32, else float32.

    CPUs without half-precision units emulate it, slower. CUDA devices are not measured: all have such units.
    """
    if device.startswith("cuda"):
        return torch.bfloat16
    return torch.bfloat16 if MIN_SPEEDUP * _product_s(torch.bfloat16) <= _product_s(torch.float32) else torch.float32


def _product_s(dtype: torch.dtype) -> float:
    """Return the median seconds of a matrix product."""
    a, b = torch.ones(ROWS, WIDTH, dtype=dtype), torch.ones(WIDTH, WIDTH, dtype=dtype)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        torch.nn.functional.linear(a, b)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
