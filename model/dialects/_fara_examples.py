"""Replies of Fara-7B and what each means, for fara.py. With the official limits.

1440x900, the authors' own window, is shown as 1428x896, 1920x1080 as 1932x1092; 1288x728 as it is.
"""

from __future__ import annotations

from actions import Back, Click, Done, Move, Open, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

WINDOW, DESKTOP, SAME = (1440, 900), (1920, 1080), (1288, 728)


def _call(arguments: str) -> str:
    return f'I look {{closely}}.\n<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


EXAMPLES = [
    Example(_call('{"action": "left_click", "coordinate": [714, 448]}'), WINDOW, Click(x=720, y=450)),
    Example(_call('{"action": "left_click", "coordinate": [1427, 895]}'), WINDOW, Click(x=1439, y=899)),
    Example(_call('{"action": "left_click", "coordinate": [966, 546]}'), DESKTOP, Click(x=960, y=540)),
    Example(_call('{"action": "left_click", "coordinate": [100, 200, 300, 400]}'), SAME, Click(x=200, y=300)),
    Example(_call('{"action": "left_click", "coordinate": [1.93e2, 300.0]}'), SAME, Click(x=193, y=300)),
    Example(_call('{"action": "click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9)),
    Example(_call('{"action": "mouse_move", "coordinate": [600, 400]}'), SAME, Move(x=600, y=400)),
    Example(_call('{"action": "key", "keys": ["Enter"]}'), SAME, PressKeys(keys=("enter",))),
    Example(_call('{"action": "key", "keys": ["Control", "a"]}'), SAME, PressKeys(keys=("ctrl", "a"))),
    Example(_call('{"action": "key", "keys": ["ArrowDown"]}'), SAME, PressKeys(keys=("down",))),
    Example(_call('{"action": "type", "text": "Zürich"}'), SAME, TypeText(text="Zürich\n")),
    Example(_call('{"action": "type", "text": "Zürich", "press_enter": false}'), SAME, TypeText(text="Zürich")),
    Example(_call('{"action": "scroll", "pixels": -500}'), WINDOW, Scroll(down=9)),
    Example(_call('{"action": "scroll", "pixels": 30}'), SAME, Scroll(down=-7)),
    Example(
        _call('{"action": "visit_url", "url": "https://example.org/a"}'), SAME, Open(target="https://example.org/a")
    ),
    Example(_call('{"action": "visit_url", "url": "example.org"}'), SAME, Open(target="https://example.org")),
    Example(
        _call('{"action": "web_search", "query": "cat & dog"}'),
        SAME,
        Open(target="https://www.bing.com/search?q=cat+%26+dog&FORM=QBLH"),
    ),
    Example(
        _call('{"action": "visit_url", "url": "cat dog"}'),
        SAME,
        Open(target="https://www.bing.com/search?q=cat+dog&FORM=QBLH"),
    ),
    Example(_call('{"action": "history_back"}'), SAME, Back()),
    Example(_call('{"action": "pause_and_memorize_fact", "fact": "It is $29.99"}'), SAME, Wait(seconds=0.0)),
    Example(_call('{"action": "wait", "time": 5}'), SAME, Wait(seconds=5.0)),
    Example(_call('{"action": "sleep", "duration": 2}'), SAME, Wait(seconds=2.0)),
    Example(_call('{"action": "refresh"}'), SAME, PressKeys(keys=("f5",))),
    Example(_call('{"action": "terminate", "status": "success"}'), SAME, Done(message="I look {closely}.")),
    Example(_call("{'action': 'left_click', 'coordinate': [8, 9]}"), SAME, Click(x=8, y=9)),
    Example('<tool_call>{"name": "computer_use", "arguments": {"action": "wait"}}', SAME, Wait()),
]
