"""Faults of the simulated phone that are switched on by name."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

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
    "unauthorized": (1, "1: the phone has not authorized this computer; 0: it has"),
    "adbdrestart": (1, "commands that are executed, but whose answer is lost because adbd restarts"),
    "exitzero": (1, "1: every command exits with status 0; 0: with its own"),
    "noshellv2": (1, "1: the phone lacks shell_v2, so that there is no exit status; 0: it has it"),
    "crlf": (1, "1: each line break of an output becomes CR LF; 0: it stays"),
    "capturewarning": (1, "1: screencap writes a warning before the PNG; 0: it does not"),
    "slowcapture": (2.0, "seconds that each screencap takes, until slowcapture:0"),
    "turning": (1, "screenshots in whose middle the screen is turned by a quarter; -1 for all until turning:0"),
    "secure": (1, "1: every window is secure and black in screenshots; 0: only the bank's"),
    "foldable": (1, "1: the outer display is folded away, and the second one is shown; 0: there is one display"),
    "noinput": (1, "1: the phone forbids `input` from adb; 0: it allows it"),
    "dropquotes": (1, "1: `input text` loses quotes and backslashes; 0: it types them"),
    "noime": (1, "1: the phone refuses the command `ime`; 0: it accepts it"),
    "nokeyboard": (1, "1: no keyboard that takes text over adb is installed; 0: the installed ones are back"),
    "stickyime": (1, "1: the maker's keyboard stays selected although `ime set` succeeds; 0: it can be replaced"),
    "lostbroadcast": (1, "1: no broadcast is delivered; 0: they are"),
    "namedbroadcast": (1, "1: only broadcasts that name their package are delivered; 0: all are"),
    "nostart": (1, "1: `am start` prints an error with exit status 0; 0: it starts apps"),
    "workprofile": (1, "1: apps belong to a work profile, which adb may not start; 0: they do not"),
    "launchers": (1, "1: each app has a second launcher activity; 0: one"),
    "nolist": (1, "1: the list of apps cannot be read; 0: it can"),
}
SWITCHES = frozenset(  # kinds whose amount is 0 or 1 and that are read where they apply
    {"exitzero", "noshellv2", "crlf", "capturewarning", "secure", "foldable", "noinput", "dropquotes", "noime"}
    | {"nokeyboard", "stickyime", "lostbroadcast", "namedbroadcast", "nostart", "workprofile", "launchers", "nolist"}
    | {"unauthorized"}
)


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
    turning: int = 0
    adbdrestart: int = 0
    slowcapture_s: float = 0.0
    switches: set[str] = field(default_factory=set)  # of SWITCHES

    def has(self, kind: str) -> bool:
        """Return whether a switch is on."""
        return kind in self.switches

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
