"""The closed list of what may be asked of a phone, each command a list of words. Knows no connection.

There is no way from a text to a shell's line: a Command is made of words, each checked against its place in SHAPES,
and the words are quoted one by one when they are sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

INT, KEYCODE, COMPONENT, WORD64, PROPERTY = r"-?\d+", r"KEYCODE_[A-Z0-9_]+", r"[\w.]+/[\w.$]+", r"[\w+/]+=*", r"[\w.]+"
ADDRESS = r"((?i:https?)://\S+|about:blank)"
ANY = r"(?s:.+)"
LAUNCHABLE_WORDS = (
    *("cmd", "package", "query-activities", "--brief"),
    *("-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER"),
)
TAKES_IME = {"ADB_INPUT_B64": "msg", "ADB_KEYBOARD_INPUT_TEXT": "text"}

SHAPES: tuple[tuple[str, ...], ...] = (
    ("screencap", "-p"),
    ("dumpsys", "(display|window|power|input_method)"),
    ("wm", "(size|density)"),
    ("getprop", PROPERTY),
    ("settings", "get", "secure", "default_input_method"),
    ("ime", "list", "-s"),
    ("ime", "list", "-a", "-s"),
    ("ime", "(enable|disable|set)", COMPONENT),
    ("am", "broadcast", "-a", f"({'|'.join(TAKES_IME)})", "--es", f"({'|'.join(TAKES_IME.values())})", WORD64),
    ("am", "start", "-n", COMPONENT),
    ("am", "start", "-a", "android.intent.action.VIEW", "-d", ADDRESS),
    LAUNCHABLE_WORDS,
    ("input", "text", ANY),
    ("input", "keyevent", KEYCODE),
    *(("input", "keycombination", *[KEYCODE] * keys) for keys in range(2, 9)),
    ("input", "tap", INT, INT),
    ("input", "(swipe|draganddrop)", *[INT] * 5),
    ("input", "motionevent", "(DOWN|MOVE|UP)", INT, INT),
)


@dataclass(frozen=True)
class Command:
    """A list of words from the closed list; ValueError for any other. own_s: how long it takes by itself."""

    words: tuple[str, ...]
    own_s: float = 0.0

    def __post_init__(self) -> None:
        if not any(len(shape) == len(self.words) and all(map(re.fullmatch, shape, self.words)) for shape in SHAPES):
            raise ValueError(f"{self.words!r} is not in the closed list of commands for a phone")

    def __str__(self) -> str:
        return " ".join(self.words[:2])


def tap(x: int, y: int) -> Command:
    return Command(("input", "tap", str(x), str(y)))


def swipe(start: tuple[int, int], end: tuple[int, int], seconds: float, *, held: bool = False) -> Command:
    """From point to point; held: as a drag-and-drop, which waits at its start until what lies there is picked up."""
    numbers = (*start, *end, round(seconds * 1000))
    return Command(("input", "draganddrop" if held else "swipe", *map(str, numbers)), seconds + held)


def motion(kind: str, point: tuple[int, int]) -> Command:
    return Command(("input", "motionevent", kind, *map(str, point)))


def key(*names: str) -> Command:
    """One key, or several pressed together (Android 12 and newer)."""
    return Command(("input", "keyevent" if len(names) == 1 else "keycombination", *names))


def text(words: str) -> Command:
    return Command(("input", "text", words))


SCREENCAP = Command(("screencap", "-p"))
DISPLAY = Command(("dumpsys", "display"))
WINDOW = Command(("dumpsys", "window"))
POWER = Command(("dumpsys", "power"))
INPUT_METHOD = Command(("dumpsys", "input_method"))
SIZE = Command(("wm", "size"))
DENSITY = Command(("wm", "density"))
CURRENT_IME = Command(("settings", "get", "secure", "default_input_method"))
ENABLED_IMES = Command(("ime", "list", "-s"))
ALL_IMES = Command(("ime", "list", "-a", "-s"))
LAUNCHABLE = Command(LAUNCHABLE_WORDS)


def getprop(name: str) -> Command:
    return Command(("getprop", name))


def ime(verb: str, name: str) -> Command:
    return Command(("ime", verb, name))


def broadcast_text(action: str, base64_text: str) -> Command:
    return Command(("am", "broadcast", "-a", action, "--es", TAKES_IME[action], base64_text))


def start_app(component: str) -> Command:
    return Command(("am", "start", "-n", component))


def view(address: str) -> Command:
    """ValueError for what is neither http, https nor about:blank, or has a space in it."""
    return Command(("am", "start", "-a", "android.intent.action.VIEW", "-d", address))
