"""A text as adb can type it: words, keys, what needs a keyboard of its own. Knows Android's `input`; asks nobody."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_WORD = 40  # characters of one `input text`: longer ones have come out of order on slow phones
MAX_COMMIT = 400  # characters of one broadcast: a shell's line may be no longer than 4096 bytes on old phones
KEYS = {"\n": "KEYCODE_ENTER", "\t": "KEYCODE_TAB"}
WORDS = re.compile(r" *[^ ]+ *| +")


class TextChunk(NamedTuple):
    """kind: "words" for `input text`, "key" for a key event, "commit" for a keyboard that takes text over adb."""

    kind: str
    text: str


def needs_keyboard(text: str) -> bool:
    """Whether `input text` cannot type it: Android's key map has ASCII only."""
    return any(not " " <= char <= "~" for char in text if char not in KEYS)


def split_text(text: str) -> list[TextChunk]:
    """The text in order. Where any of it needs a keyboard, all but new lines and tabs goes through that."""
    kind = "commit" if needs_keyboard(text) else "words"
    split: list[TextChunk] = []
    for part in re.split(r"([\n\t])", text):
        if part in KEYS:
            split.append(TextChunk("key", KEYS[part]))
        elif part:
            split += [TextChunk(kind, one) for one in (_words(part) if kind == "words" else _commits(part))]
    return split


def _words(text: str) -> list[str]:
    """Word by word. `input text` makes a space of "%s", and knows no way to escape it: it is split in the middle."""
    split: list[str] = []
    for word in WORDS.findall(text):
        for part in re.split(r"(?<=%)(?=s)", word):
            split += [part[at : at + MAX_WORD] for at in range(0, len(part), MAX_WORD)]
    return split


def _commits(text: str) -> list[str]:
    return [text[at : at + MAX_COMMIT] for at in range(0, len(text), MAX_COMMIT)]
