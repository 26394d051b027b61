"""Which precision a processor is quick in, found by trying. Knows clocks; knows no model."""

from __future__ import annotations

import statistics
import time

import torch

GAIN = 1.5  # half precision must be so many times as fast to be worth what it rounds away
ROWS, WIDTH, TURNS = 256, 1024, 5


def pick_dtype(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies matrices at least GAIN times as fast in it as in float32; else float32.

    Processors without half-precision units only emulate it, slower. CUDA devices are not tried: they all have them.
    """
    if device.startswith("cuda"):
        return torch.bfloat16
    return torch.bfloat16 if GAIN * _product_s(torch.bfloat16) <= _product_s(torch.float32) else torch.float32


def _product_s(dtype: torch.dtype) -> float:
    """Seconds of a product, the median of a few."""
    a, b = torch.ones(ROWS, WIDTH, dtype=dtype), torch.ones(WIDTH, WIDTH, dtype=dtype)
    times = []
    for _ in range(TURNS + 1):
        began = time.perf_counter()
        torch.nn.functional.linear(a, b)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])
