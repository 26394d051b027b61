"""Oracles of the practice pages: for a page as it stands, many goals and the next right action towards each.

They read a page's document, which no agent does; only training may know them. Each is JavaScript in the files here:
a page that got them as its first script answers the expressions below.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Tasks with an oracle, and how many screens of one episode are drawn. The one-click pages end with the first click.
ORACLES: dict[str, int] = {
    "click-test": 1,
    "click-test-2": 1,
    "click-button": 1,
    "click-link": 1,
    "click-dialog": 1,
    "click-dialog-2": 1,
    "click-option": 3,
    "click-checkboxes": 7,
    "click-tab": 1,
    "click-tab-2-easy": 1,
    "click-widget": 1,
    "focus-text": 1,
    "focus-text-2": 1,
    "enter-text": 5,
    "enter-password": 7,
    "login-user": 8,
    "click-shape": 1,
    "click-color": 1,
    "use-autocomplete": 7,
    "enter-date": 5,
    "book-flight": 18,
}
_FILES = ("common.js", "clicks.js", "forms.js", "lists.js", "flights.js")


@cache
def script() -> str:
    """The script to run before the page's own."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in _FILES)


def questions_js(task: str, scale: float, seed: int) -> str:
    """An expression for [{goal, answer, box}, ...], at most one for each goal, the page's own first.

    answer: arguments of the dialect's function, coordinates in pixels of a picture of `scale` pixels per CSS px;
    box: [x, y, w, h] in these pixels of what is to be clicked, or null. seed: of the goals that are made up.
    """
    return f"__oracle.questions('{task}', {scale}, {seed})"


def stray_js(scale: float, seed: int) -> str:
    """An expression for a click somewhere, as an answer; null where the page has nothing to click."""
    return f"__oracle.stray({scale}, {seed})"


def characters_js(scale: float) -> str:
    """An expression for [[character, x, y, width], ...] of each visible character, x and y of its middle, in pixels."""
    return f"__oracle.characters({scale})"
