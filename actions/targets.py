"""The visible elements of a screen with their places, for programs that find a target again without a model."""

from __future__ import annotations

from dataclasses import dataclass

from actions.screen import Area


@dataclass(frozen=True)
class ScreenTarget:
    """One visible element that takes input or shows a text of its own.

    Args:
        role: Its role ("button", "link", "textbox"), "" for text and where it is unknown.
        label: The text that it shows, or its accessible name.
        field: Kind of a field as in `actions.facts.ElementFacts`, "" if it takes no input.
        value: What a field holds; "" for fields for secrets.
        area: Left, top, width and height in pixels of the last captured Screen.
    """

    role: str
    label: str
    field: str
    value: str
    area: Area

    def contains(self, x: int, y: int) -> bool:
        """Return whether a pixel lies within the element's area."""
        left, top, width, height = self.area
        return left <= x < left + width and top <= y < top + height
