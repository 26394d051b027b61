"""Replies of Holo and what each means, for holo.py. With the official limits.

1920x1080 is shown as 1932x1092, 1280x720 as 1288x728; 1288x728 as it is.
"""

from __future__ import annotations

from actions import Answer, Back, Click, Home, Open, PressKeys, Scroll, Wait
from model.dialects.base import Example

DESKTOP, LAPTOP, SAME = (1920, 1080), (1280, 720), (1288, 728)


def _step(action: str) -> str:
    return f'{{"note": "", "thought": "I {{see}} it", "action": {action}}}'


_CLICK = _step('{"action": "click_element", "element": "the \\"Go\\" button", "x": 966, "y": 546}')
EXAMPLES = [
    Example(_CLICK, DESKTOP, Click(x=960, y=540)),
    Example(_CLICK, LAPTOP, Click(x=960, y=540)),
    Example(_CLICK, SAME, Click(x=966, y=546)),
    Example("```json\n" + _CLICK + "\n```", DESKTOP, Click(x=960, y=540)),
    Example("First I think.\n" + _CLICK + "\nDone.", DESKTOP, Click(x=960, y=540)),
    Example("{'thought': 'a', 'notes': '', 'action': {'action': 'go_back'}}", SAME, Back()),
    Example(_step('{"action": "click_element", "element": "", "x": 9.66e2, "y": 546.0}'), DESKTOP, Click(x=960, y=540)),
    Example(
        _step('{"action": "click_element", "element": "", "x": [960, 540, 972, 552]}'), DESKTOP, Click(x=960, y=540)
    ),
    Example(_step('{"action": "scroll", "direction": "down"}'), DESKTOP, Scroll(down=11)),
    Example(_step('{"action": "scroll", "direction": "up"}'), LAPTOP, Scroll(down=-7)),
    Example(_step('{"action": "scroll", "direction": "right"}'), LAPTOP, Scroll(right=13)),
    Example(_step('{"action": "go_back"}'), SAME, Back()),
    Example(_step('{"action": "refresh"}'), SAME, PressKeys(keys=("f5",))),
    Example(_step('{"action": "goto", "url": "https://example.org"}'), SAME, Open(target="https://example.org")),
    Example(_step('{"action": "wait"}'), SAME, Wait(seconds=2.0)),
    Example(_step('{"action": "wait", "seconds": 5}'), SAME, Wait(seconds=5.0)),
    Example(_step('{"action": "restart"}'), SAME, Home()),
    Example(_step('{"action": "answer", "content": "42 {euros}"}'), SAME, Answer(text="42 {euros}")),
]

LOCALISED = [
    Example("Click(150, 200)", SAME, Click(x=150, y=200)),
    Example("Click(50, 75)", SAME, Click(x=50, y=75)),
    Example("Click(966, 546)", DESKTOP, Click(x=960, y=540)),
    Example("Click(966, 546)", LAPTOP, Click(x=960, y=540)),
    Example("Click(8.0, 9.4)", SAME, Click(x=8, y=9)),
    Example("Click(x=8, y=9)", SAME, Click(x=8, y=9)),
    Example("Click((8, 9))", SAME, Click(x=8, y=9)),
    Example("Click（８，９）", SAME, Click(x=8, y=9)),
    Example("It is there: Click(8, 9).", SAME, Click(x=8, y=9)),
    Example("Click(100, 200, 300, 400)", SAME, Click(x=200, y=300)),
    Example('{"action": "click_absolute", "x": 966, "y": 546}', DESKTOP, Click(x=960, y=540)),
    Example('{"action": "click_absolute", "x": 966, "y": 546}', LAPTOP, Click(x=960, y=540)),
    Example('```json\n{"action": "click_absolute", "x": 8, "y": 9}\n```', SAME, Click(x=8, y=9)),
    Example("{'action': 'click_absolute', 'x': 8, 'y': 9}", SAME, Click(x=8, y=9)),
    Example('{"x": 8, "y": 9}', SAME, Click(x=8, y=9)),
]
