"""Blocks of Anthropic's computer tool and what each means, for anthropic.py.

With the official limits: 1920x1080 is shown as 1932x1092, 1080x2400 as 1092x2408, 1288x728 as it is.
"""

from __future__ import annotations

from actions import Answer, Click, Done, Drag, Move, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

DESKTOP, PHONE, SAME = (1920, 1080), (1080, 2400), (1288, 728)


def _use(given: str, name: str = "computer") -> str:
    return f'{{"type": "tool_use", "id": "toolu_01A", "name": "{name}", "input": {given}}}'


def _message(blocks: str, stop: str = "tool_use") -> str:
    return (
        f'{{"id": "msg_01", "type": "message", "role": "assistant", "model": "claude", "content": [{blocks}], '
        f'"stop_reason": "{stop}", "stop_sequence": null}}'
    )


TEXT = '{"type": "text", "text": "I click {it}."}'
THINKING = '{"type": "thinking", "thinking": "The button is there.", "signature": "Eu=="}'

EXAMPLES = [
    Example(_use('{"action": "left_click", "coordinate": [966, 546]}'), DESKTOP, Click(x=960, y=540)),
    Example(_use('{"action": "left_click", "coordinate": [546, 1204]}'), PHONE, Click(x=540, y=1200)),
    Example(
        _use('{"action": "right_click", "coordinate": [1931, 1091]}'), DESKTOP, Click(x=1919, y=1079, button="right")
    ),
    Example(_use('{"action": "middle_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, button="middle")),
    Example(_use('{"action": "double_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, count=2)),
    Example(_use('{"action": "triple_click", "coordinate": [8, 9]}'), SAME, Click(x=8, y=9, count=3)),
    Example(
        _use('{"action": "left_click", "coordinate": [8, 9], "text": "ctrl+shift"}'),
        SAME,
        Click(x=8, y=9, modifiers=("ctrl", "shift")),
    ),
    Example(_use('{"action": "left_click", "coordinate": [100, 200, 300, 400]}'), SAME, Click(x=200, y=300)),
    Example(_use('{"action": "left_click", "coordinate": [8.0, 9e0]}'), SAME, Click(x=8, y=9)),
    Example(_use('{"action": "mouse_move", "coordinate": [100, 200]}'), SAME, Move(x=100, y=200)),
    Example(
        _use('{"action": "left_click_drag", "start_coordinate": [8, 9], "coordinate": [80, 90]}'),
        SAME,
        Drag(path=(Point(8, 9), Point(80, 90))),
    ),
    Example(_use('{"action": "left_click_drag", "coordinate": [80, 90]}'), SAME, Drag(path=(Point(80, 90),))),
    Example(_use('{"action": "key", "text": "ctrl+s"}'), SAME, PressKeys(keys=("ctrl", "s"))),
    Example(_use('{"action": "key", "text": "Return"}'), SAME, PressKeys(keys=("enter",))),
    Example(_use('{"action": "key", "text": "alt+Page_Down"}'), SAME, PressKeys(keys=("alt", "pagedown"))),
    Example(_use('{"action": "key", "text": "ctrl+plus"}'), SAME, PressKeys(keys=("ctrl", "+"))),
    Example(_use('{"action": "key", "text": "Super_L"}'), SAME, PressKeys(keys=("meta",))),
    Example(_use('{"action": "key", "text": "KP_0"}'), SAME, PressKeys(keys=("0",))),
    Example(
        _use('{"action": "type", "text": "He said \\"{hi}\\", \'bye\'\\n"}'),
        SAME,
        TypeText(text="He said \"{hi}\", 'bye'\n"),
    ),
    Example(
        _use('{"action": "scroll", "coordinate": [644, 364], "scroll_direction": "down", "scroll_amount": 3}'),
        SAME,
        Scroll(x=644, y=364, down=3),
    ),
    Example(_use('{"action": "scroll", "scroll_direction": "left", "scroll_amount": 10}'), SAME, Scroll(right=-10)),
    Example(_use('{"action": "wait", "duration": 2.5}'), SAME, Wait(seconds=2.5)),
    Example(_use('{"action": "screenshot"}'), SAME, Wait(seconds=0.0)),
    Example(
        _message(f"{THINKING}, {TEXT}, " + _use('{"action": "left_click", "coordinate": [156, 50]}')),
        SAME,
        Click(x=156, y=50),
    ),
    Example(_message('{"type": "text", "text": "It costs 42."}', "end_turn"), SAME, Answer(text="It costs 42.")),
    Example(
        _message('{"type": "text", "text": "I cannot."}', "refusal"), SAME, Done(status="failure", message="I cannot.")
    ),
    Example(_use('{"status": "success", "message": "Booked."}', "finish"), SAME, Done(message="Booked.")),
    Example(
        'I see.\n<tool_call>\n{"name": "computer", "arguments": {"action": "left_click", "coordinate": [8, 9]}}\n'
        "</tool_call>",
        SAME,
        Click(x=8, y=9),
    ),
    Example("```json\n{'action': 'left_click', 'coordinate': [8, 9]}\n```", SAME, Click(x=8, y=9)),
]
