"""Replies of Qwen3-VL and what each means, for qwen3vl.py: places from 0 to 999, whatever the picture's size."""

from __future__ import annotations

from actions import Answer, Back, Click, Done, Drag, Home, LongPress, Move, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

PHONE, DESKTOP, LAPTOP = (1080, 2400), (1920, 1080), (1280, 720)


def _computer(arguments: str) -> str:
    return f'Action: Do it.\n<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


def _mobile(arguments: str) -> str:
    return "Thought: {a}\n" + _computer(arguments).replace("computer_use", "mobile_use")


EXAMPLES = [
    Example(_computer('{"action": "left_click", "coordinate": [500, 250]}'), DESKTOP, Click(x=960, y=270)),
    Example(_computer('{"action": "left_click", "coordinate": [500, 250]}'), LAPTOP, Click(x=640, y=180)),
    Example(_computer('{"action": "left_click", "coordinate": [0, 999]}'), DESKTOP, Click(x=0, y=1079)),
    Example(_computer('{"action": "left_click", "coordinate": [998, 1]}'), DESKTOP, Click(x=1918, y=1)),
    Example(_computer('{"action": "left_click", "coordinate": [400, 200, 600, 300]}'), DESKTOP, Click(x=960, y=270)),
    Example(_computer('{"action": "left_click", "coordinate": [5e2, 250.0]}'), DESKTOP, Click(x=960, y=270)),
    Example(
        _computer('{"action": "right_click", "coordinate": [333, 333]}'), LAPTOP, Click(x=426, y=240, button="right")
    ),
    Example(_computer('{"action": "triple_click", "coordinate": [333, 333]}'), LAPTOP, Click(x=426, y=240, count=3)),
    Example(_computer('{"action": "mouse_move", "coordinate": [333, 333]}'), LAPTOP, Move(x=426, y=240)),
    Example(
        _computer('{"action": "left_click_drag", "coordinate": [333, 333]}'), LAPTOP, Drag(path=(Point(426, 240),))
    ),
    Example(_computer('{"action": "key", "keys": ["ctrl", "c"]}'), LAPTOP, PressKeys(keys=("ctrl", "c"))),
    Example(_computer('{"action": "type", "text": "a {b}"}'), LAPTOP, TypeText(text="a {b}")),
    Example(_computer('{"action": "scroll", "pixels": -300}'), LAPTOP, Scroll(down=3)),
    Example(_computer('{"action": "hscroll", "pixels": 300}'), LAPTOP, Scroll(right=3)),
    Example(_computer('{"action": "wait", "time": 2}'), LAPTOP, Wait(seconds=2.0)),
    Example(_computer('{"action": "answer", "text": "42"}'), LAPTOP, Answer(text="42")),
    Example(_computer('{"action": "terminate", "status": "success"}'), LAPTOP, Done()),
]

MOBILE_EXAMPLES = [
    Example(_mobile('{"action": "click", "coordinate": [500, 500]}'), PHONE, Click(x=540, y=1201)),
    Example(_mobile('{"action": "click", "coordinate": [500, 500]}'), (720, 1280), Click(x=360, y=640)),
    Example(_mobile('{"action": "click", "coordinate": [999, 999]}'), PHONE, Click(x=1079, y=2399)),
    Example(
        _mobile('{"action": "long_press", "coordinate": [500, 500], "time": 2}'),
        PHONE,
        LongPress(x=540, y=1201, seconds=2.0),
    ),
    Example(
        _mobile('{"action": "swipe", "coordinate": [500, 800], "coordinate2": [500, 200]}'),
        PHONE,
        Drag(path=(Point(540, 1921), Point(540, 480))),
    ),
    Example(_mobile('{"action": "type", "text": "hello"}'), PHONE, TypeText(text="hello")),
    Example(_mobile('{"action": "answer", "text": "7:30"}'), PHONE, Answer(text="7:30")),
    Example(_mobile('{"action": "system_button", "button": "Back"}'), PHONE, Back()),
    Example(_mobile('{"action": "system_button", "button": "Home"}'), PHONE, Home()),
    Example(_mobile('{"action": "system_button", "button": "Menu"}'), PHONE, PressKeys(keys=("menu",))),
    Example(_mobile('{"action": "wait", "time": 2}'), PHONE, Wait(seconds=2.0)),
    Example(_mobile('{"action": "terminate", "status": "failure"}'), PHONE, Done(status="failure")),
]
