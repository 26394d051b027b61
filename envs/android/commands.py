"""The closed list of commands that may be run on a phone.

A command is a list of words, each checked against its place in SHAPES and quoted by itself when it is sent, so no text
can become a part of the shell's syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

INT, KEYCODE, WORD64 = r"-?\d+", r"KEYCODE_[A-Z0-9_]+", r"[\w+/]+=*"
COMPONENT, PACKAGE, PROPERTY = r"[\w.]+/[\w.$]+", r"[\w.]+", r"[\w.]+"
ADDRESS = r"((?i:https?)://\S+|about:blank)"
ANY = r"(?s:.+)"
LAUNCHABLE_WORDS = (
    *("cmd", "package", "query-activities", "--brief"),
    *("-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER"),
)
TEXT_EXTRAS = {  # the extra with the text, by broadcast action
    "ADB_INPUT_B64": "msg",
    "ADB_KEYBOARD_INPUT_TEXT": "text",
}

SHAPES: tuple[tuple[str, ...], ...] = (
    ("screencap", "-p"),
    ("screencap", "-p", "-d", r"\d+"),
    ("dumpsys", "(display|window|power|input_method)"),
    ("wm", "(size|density)"),
    ("getprop", PROPERTY),
    ("settings", "get", "secure", "default_input_method"),
    ("ime", "list", "-s"),
    ("ime", "list", "-a", "-s"),
    ("ime", "(enable|disable|set)", COMPONENT),
    (
        *("am", "broadcast", "-a", f"({'|'.join(TEXT_EXTRAS)})", "-p", PACKAGE),
        *("--es", f"({'|'.join(TEXT_EXTRAS.values())})", WORD64),
    ),
    ("am", "start", "-n", COMPONENT),
    ("am", "start", "-a", "android.intent.action.VIEW", "-d", ADDRESS),
    LAUNCHABLE_WORDS,
    ("uiautomator", "dump", "/dev/tty"),
    ("input", "text", ANY),
    ("input", "keyevent", KEYCODE),
    *(("input", "keycombination", *[KEYCODE] * keys) for keys in range(2, 9)),
    ("input", "tap", INT, INT),
    ("input", "(swipe|draganddrop)", *[INT] * 5),
    ("input", "motionevent", "(DOWN|MOVE|UP)", INT, INT),
)


@dataclass(frozen=True)
class Command:
    """A list of words from the closed list; ValueError for any other."""

    words: tuple[str, ...]
    duration_s: float = 0.0  # how long the command takes by itself

    def __post_init__(self) -> None:
        if not any(len(shape) == len(self.words) and all(map(re.fullmatch, shape, self.words)) for shape in SHAPES):
            raise ValueError(f"{self.words!r} is not in the closed list of commands for a phone")

    def __str__(self) -> str:
        return " ".join(self.words[:2])


def tap(x: int, y: int) -> Command:
    """Return a tap at a point."""
    return Command(("input", "tap", str(x), str(y)))


def swipe(start: tuple[int, int], end: tuple[int, int], seconds: float, *, long_press: bool = False) -> Command:
    """Return a swipe between two points; `long_press` first holds the start until the item there can be dragged."""
    numbers = (*start, *end, round(seconds * 1000))
    return Command(("input", "draganddrop" if long_press else "swipe", *map(str, numbers)), seconds + long_press)


def motion_event(kind: str, point: tuple[int, int]) -> Command:
    """Return a DOWN, MOVE or UP of a finger (Android 10 and newer)."""
    return Command(("input", "motionevent", kind, *map(str, point)))


def key_event(*names: str) -> Command:
    """Return a key press, or several keys pressed together (Android 12 and newer)."""
    return Command(("input", "keyevent" if len(names) == 1 else "keycombination", *names))


def input_text(words: str) -> Command:
    """Return the typing of ASCII text."""
    return Command(("input", "text", words))


def screencap(physical_display: str = "") -> Command:
    """Return a screenshot of a display, by its physical id; of the phone's default display without one."""
    return Command(("screencap", "-p", "-d", physical_display)) if physical_display else SCREENCAP


SCREENCAP = Command(("screencap", "-p"))
DISPLAY = Command(("dumpsys", "display"))
WINDOW = Command(("dumpsys", "window"))
POWER = Command(("dumpsys", "power"))
INPUT_METHOD = Command(("dumpsys", "input_method"))
UI_DUMP = Command(("uiautomator", "dump", "/dev/tty"), 10.0)  # waits so long for a still screen
SIZE = Command(("wm", "size"))
DENSITY = Command(("wm", "density"))
CURRENT_IME = Command(("settings", "get", "secure", "default_input_method"))
ENABLED_IMES = Command(("ime", "list", "-s"))
ALL_IMES = Command(("ime", "list", "-a", "-s"))
LAUNCHABLE = Command(LAUNCHABLE_WORDS)


def getprop(name: str) -> Command:
    """Return the reading of a system property."""
    return Command(("getprop", name))


def ime(verb: str, name: str) -> Command:
    """Return the enabling, disabling or setting of an input method."""
    return Command(("ime", verb, name))


def broadcast_text(action: str, package: str, base64_text: str) -> Command:
    """Return a broadcast to an input method's package: many phones do not deliver broadcasts without one."""
    return Command(("am", "broadcast", "-a", action, "-p", package, "--es", TEXT_EXTRAS[action], base64_text))


def start_app(component: str) -> Command:
    """Return the start of an app."""
    return Command(("am", "start", "-n", component))


def view_url(url: str) -> Command:
    """Return the opening of an address; ValueError unless it is http, https or about:blank and has no space."""
    return Command(("am", "start", "-a", "android.intent.action.VIEW", "-d", url))
