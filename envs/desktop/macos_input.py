"""macOS' CGEventKeyboardSetUnicodeString: text as key events that carry their characters. Pieces are testable anywhere.

Source: Apple's Quartz Event Services; an event holds at most 20 UTF-16 units. Untried on a real machine.
"""

from __future__ import annotations

import time
import unicodedata
from typing import Any

from actions import UsageError

UNITS = 20
PAUSE_S = 0.005


def pieces(text: str, units: int = UNITS) -> list[str]:
    """The text in parts of so many UTF-16 units at most; none tears a pair, a mark or a joined emoji if it can."""
    parts: list[str] = []
    part, size = "", 0
    for cluster in _clusters(text):
        for bit in [cluster] if _size(cluster) <= units else list(cluster):
            if part and size + _size(bit) > units:
                parts.append(part)
                part, size = "", 0
            part += bit
            size += _size(bit)
    return [*parts, part] if part else parts


def type_text(text: str, quartz: Any = None, pause_s: float = PAUSE_S) -> None:
    """Every character as itself, whatever the keyboard layout."""
    q = _quartz() if quartz is None else quartz
    for part in pieces(text):
        for down in (True, False):
            event = q.CGEventCreateKeyboardEvent(None, 0, down)
            q.CGEventSetFlags(event, 0)
            q.CGEventKeyboardSetUnicodeString(event, _size(part), part)
            q.CGEventPost(q.kCGHIDEventTap, event)
            time.sleep(pause_s)


def _size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _clusters(text: str) -> list[str]:
    found: list[str] = []
    for character in text:
        joins = unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f"
        if found and (joins or found[-1].endswith("\u200d")):
            found[-1] += character
        else:
            found.append(character)
    return found


def _quartz() -> Any:
    try:
        import Quartz
    except ImportError as error:
        raise UsageError(f"typing on macOS needs pyobjc-framework-Quartz ({error}); pip install it") from None
    return Quartz
