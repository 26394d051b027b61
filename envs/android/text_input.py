"""Text split into what adb can type: words for `input text`, keys, and text for an input method."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

MAX_WORD = 40  # characters of one `input text`: longer ones have arrived out of order on slow phones
MAX_COMMIT = 400  # characters of one broadcast: old phones limit a shell line to 4096 bytes
KEYS = {"\n": "KEYCODE_ENTER", "\t": "KEYCODE_TAB"}
WORDS = re.compile(r" *[^ ]+ *| +")


class TextChunk(NamedTuple):
    """A part of a text: "words" for `input text`, "key" for a key event, "commit" for an input method."""

    kind: Literal["words", "key", "commit"]
    text: str


def needs_keyboard(text: str) -> bool:
    """Return whether `input text` cannot type the text: Android's key map has ASCII only."""
    return any(not " " <= character <= "~" for character in text if character not in KEYS)


def split_text(text: str) -> list[TextChunk]:
    """Split a text in order; if any of it needs an input method, all but newlines and tabs goes through that."""
    uses_keyboard = needs_keyboard(text)
    chunks: list[TextChunk] = []
    for part in re.split(r"([\n\t])", text):
        if part in KEYS:
            chunks.append(TextChunk("key", KEYS[part]))
        elif part and uses_keyboard:
            chunks += [TextChunk("commit", piece) for piece in _split_length(part, MAX_COMMIT)]
        elif part:
            chunks += [TextChunk("words", piece) for piece in _split_words(part)]
    return chunks


def _split_words(text: str) -> list[str]:
    """Split a text into words; "%s" is split in the middle, since `input text` types it as a space."""
    words: list[str] = []
    for word in WORDS.findall(text):
        for part in re.split(r"(?<=%)(?=s)", word):
            words += _split_length(part, MAX_WORD)
    return words


def _split_length(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]
