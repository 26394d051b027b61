"""Wait until a screen is still; say what changed between two screens. Knows pixels only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actions import Screen


@dataclass(frozen=True)
class SettleOptions:
    """How long a screen is given to come to rest.

    first_s: before the first look; interval_s: from the beginning of a look to that of the next, at least; cap_s: for
    a screen that never rests; busy_cap_s: for one whose machine says that more is to come.
    """

    first_s: float = 0.02
    interval_s: float = 0.05
    cap_s: float = 1.5
    busy_cap_s: float = 10.0


@dataclass(frozen=True)
class SettleResult:
    """The last screen, whether it was still, and the cost."""

    screen: Screen
    still: bool
    seconds: float
    frames: int


@dataclass(frozen=True)
class ChangedRegion:
    """The smallest box around every changed pixel, right and bottom outside of it, and their share of all pixels."""

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
    """Look until two screens in a row are equal and the machine is not busy, or until the cap."""
    options = options or SettleOptions()
    began = time.monotonic()
    time.sleep(options.first_s)
    looked = time.monotonic()
    screen, frames = capture(), 1
    while True:
        passed = time.monotonic() - began
        waiting = busy is not None and busy()
        if passed >= (options.busy_cap_s if waiting else options.cap_s):
            return SettleResult(screen, False, passed, frames)
        time.sleep(max(0.0, looked + options.interval_s - time.monotonic()))
        looked = time.monotonic()
        before, screen, frames = screen, capture(), frames + 1
        if not waiting and is_equal(before, screen) and not (busy is not None and busy()):
            return SettleResult(screen, True, time.monotonic() - began, frames)


def is_equal(before: Screen, after: Screen) -> bool:
    """Whether the two show the same pixels."""
    if before.pixels is after.pixels:
        return True
    return before.pixels.shape == after.pixels.shape and bool(np.array_equal(before.pixels, after.pixels))


def find_change(before: Screen, after: Screen) -> ChangedRegion | None:
    """What differs; None when nothing does. Screens of two sizes differ wholly, in the later one's size."""
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
