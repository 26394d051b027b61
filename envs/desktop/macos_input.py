"""Typing on macOS with CGEventKeyboardSetUnicodeString: key events that carry their characters.

Source: Apple's Quartz Event Services; an event holds at most 20 UTF-16 code units. Not tested on a real machine.
"""

from __future__ import annotations

import time
import unicodedata
from typing import Protocol

from actions import UsageError

MAX_UNITS = 20  # UTF-16 code units of one event
PAUSE_S = 0.005


class QuartzApi(Protocol):
    """The part of pyobjc's Quartz module that typing uses."""

    kCGHIDEventTap: int

    def CGEventCreateKeyboardEvent(self, source: None, keycode: int, down: bool) -> object:
        """Return a keyboard event."""
        ...

    def CGEventSetFlags(self, event: object, flags: int) -> None:
        """Set the modifier flags of an event."""
        ...

    def CGEventKeyboardSetUnicodeString(self, event: object, length: int, text: str) -> None:
        """Set the text of an event; `length` is in UTF-16 code units."""
        ...

    def CGEventPost(self, tap: int, event: object) -> None:
        """Post an event."""
        ...


def split_events(text: str, max_units: int = MAX_UNITS) -> list[str]:
    """Split a text into parts of at most `max_units` UTF-16 code units.

    Surrogate pairs are never split; combining marks and joined emoji only where one alone exceeds the limit.
    """
    parts: list[str] = []
    part, size = "", 0
    for cluster in _grapheme_clusters(text):
        for segment in [cluster] if _unit_count(cluster) <= max_units else list(cluster):
            if part and size + _unit_count(segment) > max_units:
                parts.append(part)
                part, size = "", 0
            part += segment
            size += _unit_count(segment)
    return [*parts, part] if part else parts


def type_text(text: str, quartz: QuartzApi | None = None, pause_s: float = PAUSE_S) -> None:
    """Type a text independently of the keyboard layout.

    Raises:
        UsageError: if pyobjc's Quartz is not installed.
    """
    api = _load_quartz() if quartz is None else quartz
    for part in split_events(text):
        for down in (True, False):
            event = api.CGEventCreateKeyboardEvent(None, 0, down)
            api.CGEventSetFlags(event, 0)
            api.CGEventKeyboardSetUnicodeString(event, _unit_count(part), part)
            api.CGEventPost(api.kCGHIDEventTap, event)
            time.sleep(pause_s)


def _unit_count(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _grapheme_clusters(text: str) -> list[str]:
    clusters: list[str] = []
    for character in text:
        is_joined = unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f"
        if clusters and (is_joined or clusters[-1].endswith("\u200d")):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def _load_quartz() -> QuartzApi:
    try:
        import Quartz
    except ImportError as error:
        raise UsageError(f"typing on macOS needs pyobjc-framework-Quartz ({error}); pip install it") from None
    api: QuartzApi = Quartz
    return api
