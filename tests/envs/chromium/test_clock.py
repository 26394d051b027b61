"""Events that the clock of a practice page awaits after an action from outside the browser."""

from __future__ import annotations

import pytest

from actions import Action, Click, Drag, LongPress, Move, Point, PressKeys, Scroll, TypeText
from envs.chromium import clock, page_scripts


@pytest.mark.parametrize(
    ("action", "events"),
    [
        (Click(x=1, y=2), ("pointerup", 1)),
        (Click(x=1, y=2, count=3), ("pointerup", 3)),
        (LongPress(x=1, y=2), ("pointerup", 1)),
        (Drag(path=(Point(1, 2), Point(30, 40))), ("pointerup", 1)),
        (Scroll(down=-3, right=2), ("wheel", 5)),
        (TypeText(text="Ab\n"), ("keyup", 3)),
        (PressKeys(keys=("ctrl", "shift", "t")), ("keyup", 1)),
        (PressKeys(keys=("ctrl",)), ("keyup", 0)),
        (Scroll(), ("", 0)),
        (Move(x=1, y=2), ("", 0)),
    ],
)
def test_last_events_of_action(action: Action, events: tuple[str, int]) -> None:
    assert clock.last_events(action) == events


def test_awaited_events_follow_those_received() -> None:
    js = clock.settle_after_js(Click(x=1, y=2, count=2), {"pointerup": 5, "keyup": 3})
    assert f"receive('pointerup', 7, {clock.INPUT_CAP_MS})" in js


@pytest.mark.parametrize("script", [page_scripts.browser_script(), page_scripts.steady_script()])
def test_scripts_leave_no_placeholder(script: str) -> None:
    for placeholder in ("CLOCK_INPUT_MS", "PRACTICE_PAGES", "NATIVE_REQUEST_BINDING"):
        assert placeholder not in script
