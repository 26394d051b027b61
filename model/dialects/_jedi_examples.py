"""Replies of Jedi and what each means, for jedi.py. With the official limits.

1920x1080 is shown as 1932x1092, 1280x720 as 1288x728; 1288x728 as it is.
"""

from __future__ import annotations

from actions import Click, Done, Drag, Move, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

DESKTOP, LAPTOP, SAME = (1920, 1080), (1280, 720), (1288, 728)


def _call(arguments: str) -> str:
    return f'Action: Find it.\n<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


_CLICK = _call('{"action": "left_click", "coordinate": [966, 546]}')
EXAMPLES = [
    Example(_CLICK, DESKTOP, Click(x=960, y=540)),
    Example(_CLICK, LAPTOP, Click(x=960, y=540)),
    Example(_CLICK, SAME, Click(x=966, y=546)),
    Example(_CLICK.replace("<tool_call>", "⚗").replace("</tool_call>", "⚗"), DESKTOP, Click(x=960, y=540)),
    Example(_CLICK.replace("<tool_call>", "⚗").replace("</tool_call>", ""), DESKTOP, Click(x=960, y=540)),
    Example(_CLICK.replace("<tool_call>", "⚗").replace("}\n</tool_call>", "⚗"), DESKTOP, Click(x=960, y=540)),
    Example(_call('{"action": "type", "text": "⚗ {a}"}'), SAME, TypeText(text="⚗ {a}")),
    Example(_call('{"action": "left_click", "coordinate": [960, 540, 972, 552]}'), DESKTOP, Click(x=960, y=540)),
    Example(_call('{"action": "left_click", "coordinate": [9.66e2, 546.0]}'), DESKTOP, Click(x=960, y=540)),
    Example(_call('{"action": "mouse_move", "coordinate": [197, 525]}'), DESKTOP, Move(x=196, y=519)),
    Example(_call('{"action": "right_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, button="right")),
    Example(_call('{"action": "double_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, count=2)),
    Example(_call('{"action": "left_click_drag", "coordinate": [8, 9]}'), SAME, Drag(path=(Point(8, 9),))),
    Example(_call('{"action": "key", "keys": ["ctrl", "c"]}'), SAME, PressKeys(keys=("ctrl", "c"))),
    Example(_call('{"action": "scroll", "coordinate": [8, 9], "pixels": -300}'), SAME, Scroll(x=8, y=9, down=3)),
    Example(_call('{"action": "wait", "time": 2}'), SAME, Wait(seconds=2.0)),
    Example(_call('{"action": "terminate", "status": "failure"}'), SAME, Done(status="failure")),
]
