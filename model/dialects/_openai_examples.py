"""Items of OpenAI's computer tool and what each means, for openai.py; in the form of the openai package's types.

With the official limits: 1920x1080 is shown as 1932x1092, 1080x2400 as 1092x2408, 1288x728 as it is.
"""

from __future__ import annotations

import json
from typing import Any

from actions import Answer, Ask, Back, Click, Done, Drag, Move, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

DESKTOP, PHONE, SAME = (1920, 1080), (1080, 2400), (1288, 728)


def _item(action: str, checks: str = "[]") -> str:
    return (
        f'{{"type": "computer_call", "id": "cu_67cc", "call_id": "call_zw3", "action": {action}, '
        f'"pending_safety_checks": {checks}, "status": "completed"}}'
    )


def _message(part: str) -> str:
    return f'{{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{part}]}}'


REASONING = '{"type": "reasoning", "id": "rs_67cc", "summary": [{"type": "summary_text", "text": "Clicking {it}."}]}'
CHECK = '[{"id": "cu_sc_1", "code": "malicious_instructions", "message": "We found instructions on the page"}]'


def _response(*items: str) -> str:
    return f'{{"id": "resp_1", "object": "response", "output": [{", ".join(items)}]}}'


def _called(**arguments: Any) -> str:
    call = json.dumps({"name": "computer", "arguments": arguments})
    return f"I see it.\n<tool_call>\n{call}\n</tool_call>"


EXAMPLES = [
    Example(_item('{"type": "click", "button": "left", "x": 966, "y": 546}'), DESKTOP, Click(x=960, y=540)),
    Example(_item('{"type": "click", "button": "left", "x": 546, "y": 1204}'), PHONE, Click(x=540, y=1200)),
    Example(_item('{"type": "click", "button": "right", "x": 8, "y": 9}'), SAME, Click(x=8, y=9, button="right")),
    Example(_item('{"type": "click", "button": "wheel", "x": 8, "y": 9}'), SAME, Click(x=8, y=9, button="middle")),
    Example(_item('{"type": "click", "button": "back", "x": 0, "y": 0}'), SAME, Back()),
    Example(
        _item('{"type": "click", "button": "left", "x": 8, "y": 9, "keys": ["SHIFT"]}'),
        SAME,
        Click(x=8, y=9, modifiers=("shift",)),
    ),
    Example(_item('{"type": "click", "button": "left", "x": 8.0, "y": 9e0}'), SAME, Click(x=8, y=9)),
    Example(_item('{"type": "click", "button": "left", "x": [100, 200, 300, 400]}'), SAME, Click(x=200, y=300)),
    Example(_item('{"type": "double_click", "x": 1931, "y": 1091}'), DESKTOP, Click(x=1919, y=1079, count=2)),
    Example(
        _item('{"type": "drag", "path": [{"x": 8, "y": 9}, {"x": 80, "y": 90}, {"x": 81, "y": 91}]}'),
        SAME,
        Drag(path=(Point(8, 9), Point(80, 90), Point(81, 91))),
    ),
    Example(
        _item('{"type": "drag", "path": [[8, 9], [80, 90]], "keys": ["CTRL"]}'),
        SAME,
        Drag(path=(Point(8, 9), Point(80, 90)), modifiers=("ctrl",)),
    ),
    Example(_item('{"type": "keypress", "keys": ["CTRL", "L"]}'), SAME, PressKeys(keys=("ctrl", "L"))),
    Example(_item('{"type": "keypress", "keys": ["ARROWDOWN"]}'), SAME, PressKeys(keys=("down",))),
    Example(_item('{"type": "move", "x": 100, "y": 200}'), SAME, Move(x=100, y=200)),
    Example(_item('{"type": "screenshot"}'), SAME, Wait(seconds=0.0)),
    Example(
        _item('{"type": "scroll", "x": 644, "y": 364, "scroll_x": 0, "scroll_y": 500}'),
        SAME,
        Scroll(x=644, y=364, down=5),
    ),
    Example(
        _item('{"type": "scroll", "x": 644, "y": 364, "scrollX": -30, "scrollY": 0}'),
        SAME,
        Scroll(x=644, y=364, right=-1),
    ),
    Example(
        _item('{"type": "type", "text": "He said \\"{hi}\\", \'bye\'"}'), SAME, TypeText(text="He said \"{hi}\", 'bye'")
    ),
    Example(_item('{"type": "wait"}'), SAME, Wait(seconds=2.0)),
    Example(
        _item('{"type": "click", "button": "left", "x": 8, "y": 9}', CHECK),
        SAME,
        Ask(question="OpenAI asks for a person's word before this goes on: We found instructions on the page. May it?"),
    ),
    Example(
        _response(REASONING, _item('{"type": "click", "button": "left", "x": 156, "y": 50}')), SAME, Click(x=156, y=50)
    ),
    Example(_response(_message('{"type": "output_text", "text": "42", "annotations": []}')), SAME, Answer(text="42")),
    Example(
        _message('{"type": "refusal", "refusal": "I cannot help with that"}'),
        SAME,
        Done(status="failure", message="I cannot help with that"),
    ),
    Example(
        '{"type": "function_call", "call_id": "call_1", "name": "finish", '
        '"arguments": "{\\"status\\": \\"success\\", \\"message\\": \\"Booked.\\"}"}',
        SAME,
        Done(message="Booked."),
    ),
    Example(_called(type="click", button="left", x=8, y=9), SAME, Click(x=8, y=9)),
    Example('```json\n{"type": "click", "button": "left", "x": 8, "y": 9}\n```', SAME, Click(x=8, y=9)),
    Example("So:\n{'type': 'click', 'button': 'left', 'x': 8, 'y': 9,}", SAME, Click(x=8, y=9)),
]
