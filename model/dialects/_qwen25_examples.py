"""Replies of Qwen2.5-VL and what each means, for qwen25.py: documentation that is replayed. With the official limits.

1080x2400 is shown as 1092x2408, 1920x1080 as 1932x1092, 1280x720 as 1288x728, 720x1280 as 728x1288, 1288x728 as it is.
"""

from __future__ import annotations

from actions import (
    Answer,
    Back,
    Click,
    Done,
    Drag,
    Home,
    LongPress,
    Move,
    Open,
    Point,
    PressKeys,
    Scroll,
    TypeText,
    Wait,
)
from model.dialects.base import Example

PHONE, SMALL_PHONE, DESKTOP, LAPTOP, SAME = (1080, 2400), (720, 1280), (1920, 1080), (1280, 720), (1288, 728)


def _computer(arguments: str) -> str:
    return f'<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


def _mobile(arguments: str) -> str:
    return f'<tool_call>\n{{"name": "mobile_use", "arguments": {arguments}}}\n</tool_call>'


COMPUTER_EXAMPLES = [
    # every action
    Example(_computer('{"action": "key", "keys": ["ctrl", "c"]}'), SAME, PressKeys(keys=("ctrl", "c"))),
    Example(_computer('{"action": "key", "keys": ["Return"]}'), SAME, PressKeys(keys=("enter",))),
    Example(_computer('{"action": "key", "keys": "ctrl+shift+t"}'), SAME, PressKeys(keys=("ctrl", "shift", "t"))),
    Example(_computer('{"action": "type", "text": "Zürich \\u6771\\u4eac\\n"}'), SAME, TypeText(text="Zürich 東京\n")),
    Example(_computer('{"action": "mouse_move", "coordinate": [0, 0]}'), DESKTOP, Move(x=0, y=0)),
    Example(_computer('{"action": "left_click", "coordinate": [935, 406]}'), SAME, Click(x=935, y=406)),
    Example(_computer('{"action": "left_click", "coordinate": [935, 406]}'), DESKTOP, Click(x=929, y=402)),
    Example(_computer('{"action": "left_click", "coordinate": [1931, 1091]}'), DESKTOP, Click(x=1919, y=1079)),
    Example(_computer('{"action": "left_click", "coordinate": [644.0, 364.0]}'), LAPTOP, Click(x=640, y=360)),
    Example(_computer('{"action": "left_click_drag", "coordinate": [100, 50]}'), SAME, Drag(path=(Point(100, 50),))),
    Example(
        _computer('{"action": "right_click", "coordinate": [966, 546]}'), DESKTOP, Click(x=960, y=540, button="right")
    ),
    Example(_computer('{"action": "middle_click", "coordinate": [7, 9]}'), SAME, Click(x=7, y=9, button="middle")),
    Example(_computer('{"action": "double_click", "coordinate": [7, 9]}'), SAME, Click(x=7, y=9, count=2)),
    Example(_computer('{"action": "scroll", "pixels": -500}'), SAME, Scroll(down=5)),
    Example(_computer('{"action": "scroll", "coordinate": [5, 6], "pixels": 10}'), SAME, Scroll(x=5, y=6, down=-1)),
    Example(_computer('{"action": "wait", "time": 2.5}'), SAME, Wait(seconds=2.5)),
    Example(_computer('{"action": "wait"}'), SAME, Wait()),
    Example(_computer('{"action": "terminate", "status": "success"}'), SAME, Done(status="success")),
    Example(_computer('{"action": "terminate", "status": "failure"}'), SAME, Done(status="failure")),
    # of the Qwen3-VL era
    Example(_computer('{"action": "triple_click", "coordinate": [7, 9]}'), SAME, Click(x=7, y=9, count=3)),
    Example(_computer('{"action": "hscroll", "pixels": 250}'), SAME, Scroll(right=2)),
    Example(_computer('{"action": "answer", "text": "42 euros"}'), SAME, Answer(text="42 euros")),
    # words and fences around the call
    Example(
        "The menu is at the top left.\n"
        + _computer('{"action": "left_click", "coordinate": [8, 9]}')
        + "\nThen I look.",
        SAME,
        Click(x=8, y=9),
    ),
    Example(
        '```json\n{"name": "computer_use", "arguments": {"action": "wait", "time": 1}}\n```', SAME, Wait(seconds=1.0)
    ),
    Example(
        '<tool_call>\n```json\n{"name": "computer_use", "arguments": {"action": "wait", "time": 3}}\n```\n</tool_call>',
        SAME,
        Wait(seconds=3.0),
    ),
    # nearly right
    Example(
        '<tool_call>\n{"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [8, 9]}}',
        SAME,
        Click(x=8, y=9),
    ),
    Example(
        '<tool_call>\n{"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [8, 9]}\n'
        "</tool_call>",
        SAME,
        Click(x=8, y=9),
    ),
    Example(_computer('{"action": "left_click", "coordinate": [8, 9]}}'), SAME, Click(x=8, y=9)),
    Example(_computer("{'action': 'type', 'text': 'say \"hi\"',}"), SAME, TypeText(text='say "hi"')),
    Example(_computer('{"action": "left_click", "coordinate": [8, 9,],}'), SAME, Click(x=8, y=9)),
    Example(_computer('{"action": "type", "text": "two\nlines"}'), SAME, TypeText(text="two\nlines")),
    Example('{"action": "left_click", "coordinate": [8, 9]}', SAME, Click(x=8, y=9)),
    Example(
        '<tool_call>{"name": "computer_use", "arguments": "{\\"action\\": \\"left_click\\", \\"coordinate\\": [8, 9]}"}'
        "</tool_call>",
        SAME,
        Click(x=8, y=9),
    ),
    # several calls: the first
    Example(
        _computer('{"action": "left_click", "coordinate": [8, 9]}')
        + "\n"
        + _computer('{"action": "type", "text": "a"}'),
        SAME,
        Click(x=8, y=9),
    ),
]

MOBILE_EXAMPLES = [
    Example(_mobile('{"action": "click", "coordinate": [935, 406]}'), PHONE, Click(x=925, y=405)),
    Example(_mobile('{"action": "click", "coordinate": [1091, 2407]}'), PHONE, Click(x=1079, y=2399)),
    Example(_mobile('{"action": "click", "coordinate": [364, 644]}'), SMALL_PHONE, Click(x=360, y=640)),
    Example(_mobile('{"action": "long_press", "coordinate": [8, 9]}'), SAME, LongPress(x=8, y=9)),
    Example(
        _mobile('{"action": "long_press", "coordinate": [8, 9], "time": 2}'), SAME, LongPress(x=8, y=9, seconds=2.0)
    ),
    Example(
        _mobile('{"action": "swipe", "coordinate": [546, 1800], "coordinate2": [546, 600]}'),
        PHONE,
        Drag(path=(Point(540, 1794), Point(540, 598))),
    ),
    Example(_mobile('{"action": "type", "text": "hello"}'), PHONE, TypeText(text="hello")),
    Example(_mobile('{"action": "system_button", "button": "Back"}'), PHONE, Back()),
    Example(_mobile('{"action": "system_button", "button": "Home"}'), PHONE, Home()),
    Example(_mobile('{"action": "system_button", "button": "Menu"}'), PHONE, PressKeys(keys=("menu",))),
    Example(_mobile('{"action": "system_button", "button": "Enter"}'), PHONE, PressKeys(keys=("enter",))),
    Example(_mobile('{"action": "open", "text": "Settings"}'), PHONE, Open(target="Settings")),
    Example(_mobile('{"action": "key", "text": "volume_up"}'), PHONE, PressKeys(keys=("volume_up",))),
    Example(_mobile('{"action": "key", "text": "KEYCODE_DEL"}'), PHONE, PressKeys(keys=("backspace",))),
    Example(_mobile('{"action": "key", "text": "home"}'), PHONE, Home()),
    Example(_mobile('{"action": "wait", "time": 2}'), PHONE, Wait(seconds=2.0)),
    Example(_mobile('{"action": "terminate", "status": "success"}'), PHONE, Done()),
    Example(_mobile('{"action": "answer", "text": "7:30"}'), PHONE, Answer(text="7:30")),
]
