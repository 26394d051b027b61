"""Replies of GUI-Owl and what each means, for gui_owl.py. With the official limits.

1920x1080 is shown as 1932x1092, 1280x720 as 1288x728, 1080x2400 as 1092x2408; 1288x728 as it is. The first reply has
the form of the one in the authors' notebook.
"""

from __future__ import annotations

from actions import Back, Click, Done, Drag, Home, LongPress, Move, Open, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

PHONE, SMALL_PHONE, DESKTOP, LAPTOP, SAME = (1080, 2400), (720, 1280), (1920, 1080), (1280, 720), (1288, 728)


def _computer(arguments: str) -> str:
    call = f'<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'
    return f"<thinking>\nObservation: {{a}} page.\n</thinking>\n{call}\n<conclusion>\nDid it\n</conclusion>"


def _mobile(arguments: str) -> str:
    return _computer(arguments).replace("computer_use", "mobile_use")


EXAMPLES = [
    Example(_computer('{"action": "type", "text": "mPLUG-Owl3"}'), LAPTOP, TypeText(text="mPLUG-Owl3")),
    Example(_computer('{"action": "type", "text": "a", "clear": 0, "enter": 1}'), LAPTOP, TypeText(text="a\n")),
    Example(_computer('{"action": "click", "coordinate": [966, 546]}'), DESKTOP, Click(x=960, y=540)),
    Example(_computer('{"action": "click", "coordinate": [966, 546]}'), LAPTOP, Click(x=960, y=540)),
    Example(_computer('{"action": "click", "coordinate": [197, 525]}'), DESKTOP, Click(x=196, y=519)),
    Example(_computer('{"action": "click", "coordinate": [1931, 1091]}'), DESKTOP, Click(x=1919, y=1079)),
    Example(_computer('{"action": "click", "coordinate": [100, 200, 300, 400]}'), SAME, Click(x=200, y=300)),
    Example(_computer('{"action": "click", "coordinate": [1.93e2, 300.0]}'), SAME, Click(x=193, y=300)),
    Example(_computer('{"action": "left_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9)),
    Example(_computer('{"action": "right_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, button="right")),
    Example(_computer('{"action": "middle_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, button="middle")),
    Example(_computer('{"action": "double_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, count=2)),
    Example(_computer('{"action": "mouse_move", "coordinate": [8, 9]}'), SAME, Move(x=8, y=9)),
    Example(
        _computer('{"action": "drag", "coordinate": [8, 9], "coordinate2": [966, 546]}'),
        DESKTOP,
        Drag(path=(Point(8, 9), Point(960, 540))),
    ),
    Example(_computer('{"action": "key", "keys": ["ctrl", "c"]}'), SAME, PressKeys(keys=("ctrl", "c"))),
    Example(_computer('{"action": "scroll", "pixels": -5}'), SAME, Scroll(down=5)),
    Example(_computer('{"action": "scroll", "pixels": 3}'), SAME, Scroll(down=-3)),
    Example(_computer('{"action": "wait", "time": 2}'), SAME, Wait(seconds=2.0)),
    Example(_computer('{"action": "wait"}'), SAME, Wait()),
    Example(_computer('{"action": "terminate", "status": "failure"}'), SAME, Done(status="failure")),
    Example('{"name": "computer_use", "arguments": {"action": "wait", "time": 1}}', SAME, Wait(seconds=1.0)),
    Example(
        '<thinking>Now</thinking><tool_call>{"name": "computer_use", "arguments": {"action": "click", '
        '"coordinate": [8, 9]}}<conclusion>',
        SAME,
        Click(x=8, y=9),
    ),
]

MOBILE_EXAMPLES = [
    Example(_mobile('{"action": "click", "coordinate": [935, 406]}'), PHONE, Click(x=925, y=405)),
    Example(_mobile('{"action": "click", "coordinate": [364, 644]}'), SMALL_PHONE, Click(x=360, y=640)),
    Example(
        _mobile('{"action": "long_press", "coordinate": [8, 9], "time": 2}'), SAME, LongPress(x=8, y=9, seconds=2.0)
    ),
    Example(
        _mobile('{"action": "swipe", "coordinate": [546, 1800], "coordinate2": [546, 600]}'),
        PHONE,
        Drag(path=(Point(540, 1794), Point(540, 598))),
    ),
    Example(_mobile('{"action": "type", "text": "三文鱼"}'), PHONE, TypeText(text="三文鱼")),
    Example(_mobile('{"action": "key", "text": "volume_up"}'), PHONE, PressKeys(keys=("volume_up",))),
    Example(_mobile('{"action": "system_button", "button": "Back"}'), PHONE, Back()),
    Example(_mobile('{"action": "system_button", "button": "Home"}'), PHONE, Home()),
    Example(_mobile('{"action": "system_button", "button": "Enter"}'), PHONE, PressKeys(keys=("enter",))),
    Example(_mobile('{"action": "open", "text": "大众点评"}'), PHONE, Open(target="大众点评")),
    Example(_mobile('{"action": "wait", "time": 3}'), PHONE, Wait(seconds=3.0)),
    Example(_mobile('{"action": "terminate", "status": "success"}'), PHONE, Done()),
]
