"""The ways in which the simulated phone misbehaves on demand. Knows counts and times; does none of it itself."""

from __future__ import annotations

import difflib
import math
import time
from dataclasses import dataclass

from actions import UsageError

KINDS = {
    "offline": (5.0, "seconds without a connection"),
    "silent": (5.0, "seconds in which nothing is answered, the connection standing"),
    "slow": (1.0, "seconds before each command's answer, until slow:0"),
    "black": (1, "pictures that are black; black:-1 until black:0"),
    "truncated": (1, "pictures that break off in the middle; -1 until 0"),
    "nocapture": (1, "screencaps that fail; -1 until 0"),
    "rotate": (1, "quarter turns to which the screen is rotated"),
    "asleep": (1, "1: the screen is off; 0: on"),
    "locked": (1, "1: the keyguard shows; 0: it does not"),
}


@dataclass
class Faults:
    """offline_until_s and silent_until_s: time.monotonic(). Counts of pictures run down; -1 does not."""

    offline_until_s: float = 0.0
    silent_until_s: float = 0.0
    slow_s: float = 0.0
    black: int = 0
    truncated: int = 0
    nocapture: int = 0

    @property
    def offline(self) -> bool:
        return time.monotonic() < self.offline_until_s

    def spend(self, kind: str) -> bool:
        """Whether this picture has the fault; one less is left."""
        left = getattr(self, kind)
        if left > 0:
            setattr(self, kind, left - 1)
        return bool(left != 0)


def read_fault(text: str) -> tuple[str, float]:
    """("offline", 5.0) of "offline:5", "offline 5" or "offline". UsageError for what is no fault."""
    kind, _, amount = text.strip().replace(" ", ":", 1).partition(":")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise UsageError(
            f"no fault {kind!r}; " + (f"did you mean '{near[0]}'?" if near else f"have {', '.join(KINDS)}")
        )
    try:
        number = float(amount) if amount.strip() else float(KINDS[kind][0])
        if not math.isfinite(number):
            raise ValueError
        return kind, number
    except ValueError:
        raise UsageError(f"the fault '{kind}' takes a number ({KINDS[kind][1]}), not {amount!r}") from None
