"""The clock of practice pages, `clock.js`: its script, the expressions that advance it, and what it cannot reach.

A page has virtual time where the script ran before the page's own; in other pages the expressions do nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from actions import Action, Click, Drag, LongPress, PressKeys, Scroll, TypeText
from envs.miniwob import pages

INPUT_MS = 8  # of virtual time per event of input, where one action gives the same events in each run
INPUT_CAP_MS = 1000  # real time for the events of an action to reach the page
MODIFIERS = frozenset({"ctrl", "shift", "alt", "meta", "capslock"})
CLOCK_JS = "window[Symbol.for('pixelhand.clock')]"
HAS_CLOCK_JS = f"Boolean({CLOCK_JS})"
SETTLE_JS = f"{CLOCK_JS}?.settle()"
SETTLE_LATE_JS = f"{CLOCK_JS}?.settleLate()"
DRAW_JS = f"{CLOCK_JS}?.draw()"
RECEIVED_JS = f"{CLOCK_JS}?.received()"


def clock_script(input_ms: int = 0) -> str:
    """Return the script that gives practice pages virtual time.

    Args:
        input_ms: Milliseconds that pass at each event of input; 0 where the number of events depends on the machine, as
            that of pointer moves does on a desktop.
    """
    script = Path(__file__).with_suffix(".js").read_text().replace("CLOCK_INPUT_MS", str(input_ms))
    return name_practice_pages(script)


def name_practice_pages(script: str) -> str:
    """Return a script with the address of the practice pages' folder in place of PRACTICE_PAGES."""
    return script.replace("PRACTICE_PAGES", json.dumps(pages.folder_url()))


def clock_commands(is_practice: bool) -> tuple[tuple[str, dict[str, object]], ...]:
    """Return DevTools commands that stop or resume what the clock cannot reach: CSS animations and the time zone."""
    return (
        ("Animation.enable", {}),
        ("Animation.setPlaybackRate", {"playbackRate": 0 if is_practice else 1}),
        ("Emulation.setTimezoneOverride", {"timezoneId": "UTC" if is_practice else ""}),
    )


def wait_js(seconds: float) -> str:
    """Return an expression that advances the clock by `seconds`."""
    return f"{CLOCK_JS}?.wait({seconds * 1000})"


def settle_after_js(action: Action, received: dict[str, int]) -> str:
    """Return an expression that settles after the events of an action that is performed from outside the browser.

    Args:
        action: The action.
        received: Value of `RECEIVED_JS` before the action.
    """
    kind, count = last_events(action)
    return f"{receive_js(kind, received.get(kind, 0) + count)}.then(() => {SETTLE_JS})"


def receive_js(kind: str, count: int) -> str:
    """Return an expression that waits until a page has received `count` events of a type, at most INPUT_CAP_MS."""
    return f"{CLOCK_JS}?.receive({kind!r}, {count}, {INPUT_CAP_MS})"


def last_events(action: Action) -> tuple[str, int]:
    """Return the type of the events that end an action in a page, and their number; ("", 0) for none that is certain.

    A modifier key counts as no event, and each notch of the wheel as one.
    """
    match action:
        case Click():
            return "pointerup", action.count
        case LongPress() | Drag():
            return "pointerup", 1
        case Scroll() if action.down or action.right:
            return "wheel", abs(action.down) + abs(action.right)
        case TypeText():
            return "keyup", len(action.text)
        case PressKeys():
            return "keyup", len(set(action.keys) - MODIFIERS)
    return "", 0
