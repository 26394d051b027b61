"""A surface that reports what an action would touch: elements in boxes, a focus, a page and a window."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from actions import Action, Screen
from actions.facts import ActionFacts, ElementFacts

CANCEL = ElementFacts(role="button", label="Cancel", identity="e1")
PAY = ElementFacts(role="button", label="Pay now", identity="e2")
SEARCH = ElementFacts(role="searchbox", label="Search", field="search", identity="e3")
PASSWORD = ElementFacts(role="textbox", label="Password", field="password", identity="e4")
LINK = ElementFacts(role="link", label="News", target="https://shop.test/news", identity="e5")
Box = tuple[int, int, int, int]  # left, top, right, bottom


class FactsSurface:
    """A screen of 400 x 300 pixels; an element's label decides its pixels.

    Args:
        elements: The boxes and their elements; the last one that contains a point is on top.
        user_owned: Whether the screen is the user's own.
        name: The surface's name.
    """

    def __init__(
        self, elements: dict[Box, ElementFacts] | None = None, *, user_owned: bool = False, name: str = "browser"
    ) -> None:
        self.name, self.is_user_owned = name, user_owned
        self.elements: dict[Box, ElementFacts] = elements or {(100, 100, 200, 150): CANCEL}
        self.state = ActionFacts(url="https://shop.test/cart", document="d1", app="", window="Cart")
        self.size = (300, 400)
        self.performed: list[Action] = []
        self._captured: tuple[ActionFacts, dict[Box, ElementFacts], tuple[int, int]] | None = None

    def capture(self) -> Screen:
        self._captured = (self.state, dict(self.elements), self.size)
        pixels = np.full((*self.size, 3), 230, np.uint8)
        for (left, top, right, bottom), element in self.elements.items():
            digest = hashlib.sha256(element.label.encode()).digest()
            pixels[top:bottom, left:right] = tuple(digest[:3])
        return Screen(pixels)

    def facts(self, action: Action) -> ActionFacts:
        assert self._captured is not None
        captured, elements, size = self._captured
        touched = tuple(self._element(self.elements, point.x, point.y) for point in action.points())
        before = tuple(self._element(elements, point.x, point.y) for point in action.points())
        changes = []
        if (captured.document, captured.url) != (self.state.document, self.state.url):
            changes.append("another page is shown")
        if (captured.window, captured.app, captured.pid) != (self.state.window, self.state.app, self.state.pid):
            changes.append("another window is in front")
        if captured.focus != self.state.focus and not action.points():
            changes.append("the keyboard focus is elsewhere")
        if touched != before:
            changes.append("the element at this place is another one")
        if size != self.size:
            changes.append("the screen was rotated")
        return replace(self.state, elements=touched, changes=tuple(changes))

    def verbs(self) -> frozenset[str]:
        return frozenset({"click", "type", "press", "scroll", "drag", "open", "back", "wait"})

    def perform(self, action: Action) -> str:
        self.performed.append(action)
        return ""

    def close(self) -> None:
        pass

    @staticmethod
    def _element(elements: dict[Box, ElementFacts], x: int, y: int) -> ElementFacts:
        hits = [
            element
            for (left, top, right, bottom), element in elements.items()
            if left <= x < right and top <= y < bottom
        ]
        return hits[-1] if hits else ElementFacts(role="document", identity="root")


class PixelSurface(FactsSurface):
    """The same screen without facts."""

    facts = None  # type: ignore[assignment]
