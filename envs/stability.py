"""Wait until a screen is stable, and compare two screens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actions import Screen


@dataclass(frozen=True)
class SettleOptions:
    """Timing of `settle()`, in seconds.

    Args:
        first_s: Before the first capture.
        interval_s: From the start of one capture to the start of the next, at least.
        cap_s: Limit for a screen that keeps changing while the surface is not busy.
        busy_cap_s: Limit of everything.
    """

    first_s: float = 0.02
    interval_s: float = 0.05
    cap_s: float = 1.5
    busy_cap_s: float = 12.0


@dataclass(frozen=True)
class SettleResult:
    """Result of `settle()`.

    Args:
        screen: The last capture.
        still: Whether the screen was stable before the limit.
        seconds: Time spent.
        frames: Number of captures.
    """

    screen: Screen
    still: bool
    seconds: float
    frames: int


@dataclass(frozen=True)
class ChangedRegion:
    """The smallest box around all changed pixels.

    Args:
        left: Its first column.
        top: Its first row.
        right: The column after its last one.
        bottom: The row after its last one.
        share: Changed pixels as a fraction of all pixels of the screen.
    """

    left: int
    top: int
    right: int
    bottom: int
    share: float


def settle(
    capture: Callable[[], Screen],
    options: SettleOptions | None = None,
    busy: Callable[[], bool] | None = None,
) -> SettleResult:
    """Capture until two consecutive screens are equal and the surface is not busy, or until the limit."""
    options = options or SettleOptions()
    start = idle_since = time.monotonic()
    time.sleep(options.first_s)
    captured_at = time.monotonic()
    screen, frames = capture(), 1
    while True:
        is_busy = busy is not None and busy()
        now = time.monotonic()
        idle_since = now if is_busy else idle_since  # what was awaited may show only in the next captures
        if now - idle_since >= options.cap_s or now - start >= max(options.busy_cap_s, options.cap_s):
            return SettleResult(screen, False, now - start, frames)
        time.sleep(max(0.0, captured_at + options.interval_s - time.monotonic()))
        captured_at = time.monotonic()
        previous, screen, frames = screen, capture(), frames + 1
        if not is_busy and is_equal(previous, screen) and not (busy is not None and busy()):
            return SettleResult(screen, True, time.monotonic() - start, frames)


def is_equal(before: Screen, after: Screen) -> bool:
    """Return whether two screens have the same pixels."""
    if before.pixels is after.pixels:
        return True
    return before.pixels.shape == after.pixels.shape and bool(np.array_equal(before.pixels, after.pixels))


def find_change(before: Screen, after: Screen) -> ChangedRegion | None:
    """Return what differs, None if nothing does. Screens of different sizes differ everywhere."""
    if before.pixels.shape != after.pixels.shape:
        return ChangedRegion(0, 0, after.width, after.height, 1.0)
    differs = (before.pixels != after.pixels).any(axis=2)  # [H, W] bool
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if rows.size == 0:
        return None
    return ChangedRegion(
        left=int(columns[0]),
        top=int(rows[0]),
        right=int(columns[-1]) + 1,
        bottom=int(rows[-1]) + 1,
        share=float(differs.mean()),
    )
