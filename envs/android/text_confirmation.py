"""Confirmation that a typed text arrived in the text field with the focus, read through uiautomator.

`input text` reports nothing, and some phones lose quotes or backslashes in it. A dump of the screen takes seconds on a
real phone, so it is asked for only where text is known to get lost.
"""

from __future__ import annotations

import html
import re

from envs.android import commands
from envs.android.adb import Phone

FRAGILE = re.compile(r"""["'\\`$&|;<>()]""")  # characters of a shell's syntax, which phones have been seen to lose
NODE = re.compile(r"<node\b[^>]*>")
MAX_READING = 80


def is_fragile(text: str) -> bool:
    """Return whether a phone may lose characters of a text that `input text` types."""
    return FRAGILE.search(text) is not None


def read_focused_text(phone: Phone) -> str | None:
    """Return the text of the field with the focus; None if the phone does not report it, as for a password."""
    dump = phone.query(commands.UI_DUMP).out.decode("utf-8", "replace")
    for node in NODE.findall(dump):
        if _attribute(node, "focused") == "true":
            return None if _attribute(node, "password") == "true" else _attribute(node, "text")
    return None


def mismatch(phone: Phone, text: str) -> str | None:
    """Return a notice if the field does not contain the text, "" if it does, None if it cannot be read.

    A text with a line break or a tab is not checked, since it may leave the field.
    """
    if re.search(r"[\n\t]", text):
        return None
    reading = read_focused_text(phone)
    if reading is None:
        return None
    if text in reading:
        return ""
    return f"the text field reads {reading[:MAX_READING]!r}, which does not contain the text that was typed; look again"


def _attribute(node: str, name: str) -> str:
    match = re.search(rf'\b{name}="([^"]*)"', node)
    return html.unescape(match[1]) if match else ""
