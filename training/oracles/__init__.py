"""Oracles of MiniWoB++ pages: for the present state of a page, many goals and the next right action for each.

They read the page's DOM, which the agent never does, and are used in training only. The oracles are JavaScript: a page
with `script()` as its first script evaluates the expressions below.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Tasks with an oracle, and how many screens of an episode are rendered. Some pages end with the first click.
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
    """Return the script to run before the page's own."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in _FILES)


def questions_js(task: str, scale: float, seed: int) -> str:
    """Return an expression for [{goal, answer, box}, ...], at most one for each goal, the page's own first.

    answer: the arguments of the dialect's function, with coordinates in pixels. box: [x, y, w, h] of the target in
    pixels, or null.

    Args:
        task: Name of the task.
        scale: Pixels per CSS px.
        seed: Random seed of the generated goals.
    """
    return f"__oracle.questions('{task}', {scale}, {seed})"


def stray_js(scale: float, seed: int) -> str:
    """Return an expression for a random click, as an answer; null if the page has nothing to click."""
    return f"__oracle.stray({scale}, {seed})"


def characters_js(scale: float) -> str:
    """Return an expression for [[character, x, y, width], ...] of each visible character, its center in pixels."""
    return f"__oracle.characters({scale})"
