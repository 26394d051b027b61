"""Faults of the simulated phone that are switched on by name."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from actions import UsageError
from actions.suggest import suggest

KINDS = {  # default amount and meaning
    "offline": (5.0, "seconds without a connection"),
    "silent": (5.0, "seconds in which the connection stands but nothing is answered"),
    "slow": (1.0, "seconds of delay before each command, until slow:0"),
    "black": (1, "screenshots that are black; -1 for all until black:0"),
    "truncated": (1, "screenshots that are truncated; -1 for all until truncated:0"),
    "nocapture": (1, "screencap calls that fail; -1 for all until nocapture:0"),
    "rotate": (1, "quarter turns to which the screen is rotated"),
    "oldinput": (
        1,
        "1: `input` lacks keycombination, motionevent and draganddrop and exits with status 0; 0: it has them",
    ),
    "asleep": (1, "1: the screen is off; 0: it is on"),
    "locked": (1, "1: the phone is locked; 0: it is not"),
}


@dataclass
class Faults:
    """The active faults. Times are of time.monotonic(); counts of screenshots run down, except for -1."""

    offline_until_s: float = 0.0
    silent_until_s: float = 0.0
    slow_s: float = 0.0
    black: int = 0
    truncated: int = 0
    nocapture: int = 0
    oldinput: int = 0

    @property
    def offline(self) -> bool:
        """Whether the phone is offline now."""
        return time.monotonic() < self.offline_until_s

    def consume(self, kind: str) -> bool:
        """Return whether the present screenshot has the fault, and count it down."""
        count = int(getattr(self, kind))
        if count > 0:
            setattr(self, kind, count - 1)
        return count != 0


def parse_fault(text: str) -> tuple[str, float]:
    """Return the kind and amount of a fault: ("offline", 5.0) for "offline:5", "offline 5" or "offline".

    Raises:
        UsageError: for an unknown kind or an amount that is no finite number.
    """
    kind, _, amount = text.strip().replace(" ", ":", 1).partition(":")
    if kind not in KINDS:
        hint = suggest(kind, KINDS) or f" Available: {', '.join(KINDS)}"
        raise UsageError(f"unknown fault '{kind}'.{hint}")
    try:
        number = float(amount) if amount.strip() else float(KINDS[kind][0])
        if not math.isfinite(number):
            raise ValueError
        return kind, number
    except ValueError:
        raise UsageError(f"the fault '{kind}' takes a number ({KINDS[kind][1]}), not '{amount}'") from None
