"""Texts that an editor may change while they are typed, since it indents lines and closes brackets by itself."""

from __future__ import annotations

OPENERS = ("{", "[", "(", ":")
CODE_NOTICE = (
    "the text was typed key by key, and an editor that indents lines or closes brackets by itself may have changed it; "
    "compare it with the screen"
)


def is_changed_by_editors(text: str) -> bool:
    """Return whether a text has lines that follow an indented line or an open bracket, as program code has."""
    lines = text.split("\n")
    return any(line[:1] in (" ", "\t") or line.rstrip().endswith(OPENERS) for line in lines[:-1]) or any(
        line[:1] in (" ", "\t") for line in lines[1:]
    )
