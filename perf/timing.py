"""Timing of calls on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def now_ms(device: str) -> float:
    """Return a clock in milliseconds, after the device has finished its queued work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() * 1e3


def interleaved(calls: Sequence[Callable[[], object]], repeat: int, device: str) -> tuple[list[float], list[float]]:
    """Time calls in alternation, so that other load on the machine affects all of them.

    Args:
        calls: One or two calls.
        repeat: Number of timed rounds; one more warms up.
        device: The device that the calls run on.

    Returns:
        The median of the first call and of the second in milliseconds, each as a list of one; [] without a second.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeat + 1):
        for call, samples in zip(calls, times, strict=True):
            start_ms = now_ms(device)
            call()
            elapsed_ms = now_ms(device) - start_ms
            if turn:
                samples.append(elapsed_ms)
    medians = [[statistics.median(samples)] for samples in times]
    return medians[0], medians[1] if len(medians) > 1 else []


def median_ms(call: Callable[[], object], device: str, repeat: int = 5) -> float:
    """Return the median duration of a call in milliseconds, after one call that warms up."""
    (median,), _ = interleaved([call], repeat, device)
    return median


def copy_bandwidth(device: str) -> float:
    """Return the bytes per second that a device reads and writes in a copy."""
    import torch

    source = torch.ones((1 << 26) if device == "cpu" else (1 << 30), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2e3 * source.numel() / median_ms(lambda: target.copy_(source), device)
