"""Find a secret in a text, in the forms in which pages, logs and protocols spell it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

MIN_CHUNK = 6  # characters of base64 and hexadecimal text: shorter ones are found everywhere
MIN_PART = 4  # characters of a secret that count as a part of it
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_ESCAPES = {"\\": r"\\", '"': r"\"", "'": r"\'", "/": r"\/"}


def secret_pattern(secret: str) -> re.Pattern[str]:
    """Return a pattern of the secret: plain, percent-encoded, JSON- or HTML-escaped, base64 and hexadecimal.

    Each character may have another form, as encoders differ in what they leave as it is.
    """
    forms = [*_byte_forms(secret), "".join(f"(?:{'|'.join(_character_forms(character))})" for character in secret)]
    return re.compile("|".join(sorted(forms, key=len, reverse=True)))


def has_part(secret: str, text: str) -> bool:
    """Return whether a text has a part of a secret, as a field does that cut it off."""
    size = min(MIN_PART, len(secret))
    return any(secret[start : start + size] in text for start in range(len(secret) - size + 1))


def _character_forms(character: str) -> Iterator[str]:
    data = character.encode("utf-8", "surrogatepass")
    yield re.escape(character)
    for sign in ("%", "%25"):
        yield "".join(f"{sign}{_hex(byte)}" for byte in data)
    if character == " ":
        yield r"\+"
    units = character.encode("utf-16-be", "surrogatepass")
    yield "".join(rf"\\{{1,2}}u{_hex(units[i])}{_hex(units[i + 1])}" for i in range(0, len(units), 2))
    if len(data) == 1:
        yield rf"\\x{_hex(data[0])}"
    if character in _ESCAPES:
        yield re.escape(_ESCAPES[character])
    if character in _ENTITIES:
        yield f"&{_ENTITIES[character]};"
    yield f"&#0*{ord(character)};"
    yield f"&#[xX]0*(?i:{ord(character):x});"


def _hex(byte: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{byte:02x}")


def _byte_forms(secret: str) -> Iterator[str]:
    """Yield the hexadecimal form, and base64 at each of the three places that it may have in a longer text."""
    data = secret.encode("utf-8", "surrogatepass")
    if 2 * len(data) >= MIN_CHUNK:
        yield r"[\s:]?".join(_hex(byte) for byte in data)
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode()
        first = -(-8 * offset // 6)  # characters that depend on the bytes before it, or after it
        last = len(encoded.rstrip("=")) - (1 if (offset + len(data)) % 3 else 0)
        core = encoded[first:last]
        if len(core) >= MIN_CHUNK:
            yield "".join({"+": r"(?:[+\-]|%2[bB])", "/": r"(?:[/_]|%2[fF]|\\/)"}.get(c, re.escape(c)) for c in core)
