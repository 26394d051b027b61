"""OpenAI's and Anthropic's items: what is particular to them, and that what is written is what their clients take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.model_families import DialectCase, actions_of, load_examples, screen_of

from actions import Ask, Click, Done, Drag, InvalidActionError, Move, PressKeys, Scroll, TypeText, UsageError, Wait

OPENAI, CLAUDE = DialectCase("openai", "computer").dialect(), DialectCase("anthropic", "computer").dialect()
ACTIONS = [
    Click(x=8, y=9),
    Click(x=8, y=9, button="middle", modifiers=("ctrl", "shift")),
    Click(x=8, y=9, count=2),
    Move(x=100, y=200),
    Drag(path=((8, 9), (80, 90))),
    Scroll(x=8, y=9, down=3),
    TypeText(text='Zürich "{a}"\n\''),
    PressKeys(keys=("ctrl", "+")),
    Wait(seconds=2.0),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.verb)
def test_openai_items_validate_in_its_client(action: Any) -> None:
    responses = pytest.importorskip("openai.types.responses", reason="the package openai is not installed")
    text = json.loads(OPENAI.format_action(action, screen_of(1288, 728)))
    item = responses.ResponseComputerToolCall.model_validate(text)
    again = item.model_dump_json(exclude_none=True)
    assert actions_of(OPENAI, again) == (action,)


def test_openai_examples_validate_in_its_client() -> None:
    responses = pytest.importorskip("openai.types.responses", reason="the package openai is not installed")
    fits = 0
    for example in load_examples("openai", "computer"):
        if not example.text.startswith('{"type": "computer_call"'):
            continue
        text = json.loads(example.text)
        if "scrollX" in text["action"] or any(isinstance(value, (list, float)) for value in text["action"].values()):
            continue  # spellings beyond the types, which models and guides have
        responses.ResponseComputerToolCall.model_validate(text)
        fits += 1
    assert fits >= 12


def test_batches_keep_their_order() -> None:
    acts = [{"type": "click", "button": "left", "x": 8, "y": 9}, {"type": "type", "text": "penguin"},
            {"type": "keypress", "keys": ["ENTER"]}]  # fmt: skip
    item = {"type": "computer_call", "call_id": "c", "actions": acts, "pending_safety_checks": []}
    actions = (Click(x=8, y=9), TypeText(text="penguin"), PressKeys(keys=("enter",)))
    assert actions_of(OPENAI, json.dumps(item)) == actions
    assert actions_of(OPENAI, json.dumps([{**item, "actions": acts[:1]}, {**item, "actions": acts[1:]}])) == actions
    assert actions_of(OPENAI, json.dumps(acts)) == actions
    assert actions_of(OPENAI, "\n".join(json.dumps(act) for act in acts)) == actions
    call = json.dumps({"name": "computer", "arguments": {"actions": acts}})
    assert actions_of(OPENAI, f"<tool_call>\n{call}\n</tool_call>") == actions
    blocks = [
        {"type": "tool_use", "name": "computer", "input": {"action": "left_click", "coordinate": [8, 9]}},
        {"type": "tool_use", "name": "computer", "input": {"action": "type", "text": "penguin"}},
        {"type": "tool_use", "name": "computer", "input": {"action": "key", "text": "Return"}},
    ]
    assert actions_of(CLAUDE, json.dumps(blocks)) == actions


def test_safety_check_asks_the_person() -> None:
    item = {
        "type": "computer_call",
        "pending_safety_checks": [{"id": "sc", "code": "sensitive_domain", "message": None}],
        "actions": [{"type": "type", "text": "4111 1111"}, {"type": "keypress", "keys": ["ENTER"]}],
    }
    (actions,) = actions_of(OPENAI, json.dumps([{"type": "reasoning", "summary": []}, item]))
    assert isinstance(actions, Ask)
    assert "sensitive_domain" in actions.question


def test_xdotool_keys_may_be_several() -> None:
    text = {"type": "tool_use", "name": "computer", "input": {"action": "key", "text": "Down Down ctrl+Return"}}
    down = PressKeys(keys=("down",))
    assert actions_of(CLAUDE, json.dumps(text)) == (down, down, PressKeys(keys=("ctrl", "enter")))
    text["input"] = {"action": "key", "text": "Tab", "repeat": 3}
    assert actions_of(CLAUDE, json.dumps(text)) == (PressKeys(keys=("tab",)),) * 3
    text["input"] = {"action": "key", "text": "Tab", "repeat": 1000}
    with pytest.raises(InvalidActionError, match="'repeat' must be"):
        actions_of(CLAUDE, json.dumps(text))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"action": "hold_key", "text": "shift", "duration": 2}, "no hold_key here; press it with key"),
        ({"action": "left_mouse_down"}, "drag with left_click_drag"),
        ({"action": "cursor_position"}, "can be seen on the screen"),
        ({"action": "zoom", "region": [0, 0, 9, 9]}, "no zoom here"),
        ({"action": "left_click"}, "needs 'coordinate'"),
        ({"action": "left_click", "coordinate": [8, 9], "text": "a"}, "is held, and may be ctrl, shift, alt, meta"),
        ({"action": "left_click", "coordinate": [1288, 9]}, "outside the screenshot"),
        ({"action": "scroll", "scroll_direction": "down", "scroll_amount": 0}, "scroll_amount"),
        ({"action": "scroll", "scroll_direction": "down", "scroll_amount": 3, "text": "ctrl"}, "takes .* only"),
        ({"action": "clik"}, "there is no action 'clik'"),
    ],
    ids=range(10),
)
def test_anthropic_refuses_unsupported_input(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidActionError, match=words):
        actions_of(CLAUDE, json.dumps({"type": "tool_use", "name": "computer", "input": arguments}))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "computer_call", "status": "incomplete", "action": {"type": "wait"}}, "cut off"),
        ({"type": "computer_call", "action": {"type": "click", "button": "forward", "x": 8, "y": 9}}, "forward"),
        ({"type": "computer_call", "action": {"type": "move", "x": 8, "y": 9, "keys": ["CTRL"]}}, "not 'keys'"),
        ({"type": "computer_call", "action": {"type": "click", "x": 8, "y": 9, "keys": ["A"]}}, "are held"),
        ({"type": "computer_call", "action": {"type": "scroll", "x": 8, "y": 9}}, "are both 0"),
        ({"type": "computer_call", "action": {"type": "drag", "path": [{"x": 8, "y": 9}]}}, "two points or more"),
        ({"type": "computer_call"}, "must hold an action"),
        ({"type": "function_call", "name": "shell", "arguments": "{}"}, "there is no function 'shell'"),
        ({"type": "function_call", "name": "finish", "arguments": "{"}, "no JSON object"),
        ({"type": "web_search_call", "id": "ws"}, "there is no action 'web_search_call'"),
        ({"type": "reasoning", "summary": []}, "no call and no words"),
        ({"type": "computer_call", "action": {"type": "wait", "then": [1]}}, "takes no 'then'"),
    ],
    ids=range(12),
)
def test_openai_refuses_unsupported_items(item: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidActionError, match=words):
        actions_of(OPENAI, json.dumps(item))


def test_text_beside_a_call_is_its_thought() -> None:
    text = next(example.text for example in load_examples("anthropic", "computer") if "Eu==" in example.text)
    assert CLAUDE.parse(text).thought == "The button is there.\nI click {it}."
    text = next(example.text for example in load_examples("openai", "computer") if "rs_67cc" in example.text)
    assert OPENAI.parse(text).thought == "Clicking {it}."
    assert OPENAI.parse('So I wait.\n{"type": "wait"}\nThat is all.').thought == "So I wait.\nThat is all."


def test_finish_function_ends_the_task() -> None:
    for dialect in (OPENAI, CLAUDE):
        conversation = dialect.conversation("goal", [], screen_of(1288, 728), frozenset({"click"}))
        assert [tool["function"]["name"] for tool in conversation.tools] == ["computer", "finish"]
        text = '<tool_call>{"name": "finish", "arguments": {"status": "failure"}}</tool_call>'
        assert actions_of(dialect, text) == (Done(status="failure"),)


def test_unsupported_actions_are_not_written() -> None:
    screen = screen_of(1288, 728)
    for dialect, action in ((OPENAI, Click(x=8, y=9, count=3)), (OPENAI, Wait(seconds=1.0)), (OPENAI, Scroll(down=1)),
                            (CLAUDE, Drag(path=((1, 1), (2, 2), (3, 3))))):  # fmt: skip
        with pytest.raises(UsageError, match="has no words for"):
            dialect.format_action(action, screen)
