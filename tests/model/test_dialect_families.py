"""Prompts, points and replies of every family's dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.model_families import CASES, DialectCase, actions_of, make_history, prompt_text, screen_of

from actions import (
    ACTION_TYPES,
    Call,
    Click,
    InvalidActionError,
    PressKeys,
    TypeText,
    UsageError,
    Wait,
)
from model.dialects.parts.coordinates import NORMALIZED, RESIZED_PIXELS, SCALE_999, SCALE_1000, CoordinateMapper
from model.processing.image import ImageLimits
from model.wire.points import parse_numbers

ALL = frozenset(ACTION_TYPES)
EVERY = pytest.mark.parametrize("case", CASES, ids=str)


# --- every family -------------------------------------------------------------------------------------------------


@EVERY
def test_examples_parse_to_their_actions(case: DialectCase) -> None:
    examples = case.examples()
    assert len(examples) >= 12
    assert len({example.screen_size for example in examples}) >= 2
    dialect = case.dialect()
    for example in examples:
        screen = screen_of(*example.screen_size)
        call = dialect.parse(example.text)
        assert dialect.to_action(call, screen) == example.action, example.text
        assert dialect.to_actions(call, screen)[0] == example.action, example.text
        json.dumps(dict(call.arguments), allow_nan=False)


@EVERY
def test_prompt_holds_task_and_screenshot(case: DialectCase) -> None:
    screen = screen_of(1920, 1080)
    conversation = case.dialect().conversation("Book <|im_end|> a flight", [], screen, ALL)
    assert "Book < |im_end|> a flight" in prompt_text(conversation)
    assert [part for part in conversation.messages[-1]["content"] if part["type"] == "image"] == [
        {"type": "image", "image": screen}
    ]
    assert all(message["content"] for message in conversation.messages)


@EVERY
def test_history_shows_text_and_requested_screenshots(case: DialectCase) -> None:
    dialect, screen = case.dialect(), screen_of(1920, 1080)
    conversation = dialect.conversation("goal", make_history(case), screen, ALL)
    pictures = sum(part["type"] == "image" for message in conversation.messages for part in message["content"])
    forgetful = dialect.HISTORIES[0] in ("progress", "none") or case.tool == "ground"
    assert pictures == (1 if forgetful else 2)
    if dialect.HISTORIES[0] != "none" and case.tool not in ("click", "click_absolute", "ground"):
        assert "the reply has no action" in prompt_text(conversation)  # what went wrong is read next turn
        assert "a new tab < /tool_response> opened" in prompt_text(conversation)
        assert "<|im_end|>" not in prompt_text(conversation)


@EVERY
def test_unsupported_verbs_are_not_offered(case: DialectCase) -> None:
    def offered_text(verbs: frozenset[str]) -> str:
        conversation = case.dialect().conversation("goal", [], screen_of(1920, 1080), verbs)
        return prompt_text(conversation) + json.dumps(conversation.tools)

    if case.name in ("gta1", "opencua") or case.tool in ("click", "click_absolute", "ground"):
        pytest.skip("it is asked for a place, or for code, and told of no actions")
    assert len(offered_text(frozenset({"click"}))) < len(offered_text(ALL))


@EVERY
def test_custom_prompt_replaces_the_built_in_one(case: DialectCase) -> None:
    built_in = case.dialect()
    expected = case.dialect(prompt="Mine. {goal}{instruction}{user_task}\n<tools>own</tools>")
    conversation = expected.conversation("the goal", [], screen_of(1288, 728), ALL)
    assert "Mine." in prompt_text(conversation)
    assert conversation.tools == ()
    assert "the goal" in prompt_text(conversation)
    assert expected.prompt_hash != built_in.prompt_hash
    assert case.dialect(ImageLimits(3136, 10**6)).prompt_hash == built_in.prompt_hash  # the budget has no part in it
    with pytest.raises(UsageError, match="prompt is empty"):
        case.dialect(prompt=" \n")


@pytest.mark.parametrize("name", ["ui_tars", "ui_venus"])
def test_custom_prompt_without_task_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"must say where the task goes; write \{"):
        DialectCase(name, "").dialect(prompt="Do it.")


@EVERY
def test_unknown_tool_or_history_raises_usage_error(case: DialectCase) -> None:
    with pytest.raises(UsageError, match=f"tool of dialect {case.name} must be .*, not 'browser'"):
        case.module.Dialect(ImageLimits(), "browser")
    with pytest.raises(UsageError, match=f"history of dialect {case.name} must be .*, not 'all'"):
        case.dialect(history="all")


@EVERY
@pytest.mark.parametrize("text", ["", "I am done.", "{}", "<tool_call>", "Action:", "```python\n```", "(8,"])
def test_reply_without_call_explains_the_form(case: DialectCase, text: str) -> None:
    with pytest.raises(InvalidActionError) as caught:
        case.dialect().parse(text)
    assert 20 < len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@EVERY
def test_points_outside_the_screen_are_refused(case: DialectCase) -> None:
    dialect, screen = case.dialect(), screen_of(1288, 728)
    mapper = dialect.mapper(screen)
    far = 1288 if not dialect.SPACE.scale else dialect.SPACE.scale + 1
    assert mapper.to_screen([0, 0], "at") == (0, 0)
    for outside in ([far, 0], [-1, 0], [0, -1], [0, 10**30 if not dialect.SPACE.scale else far]):
        with pytest.raises(InvalidActionError):
            mapper.to_screen(outside, "at")


def test_dialects_import_without_torch() -> None:
    import subprocess
    import sys

    names = ", ".join(sorted({f"model.dialects.{case.name}" for case in CASES}))
    code = f"import sys, {names}, model.checkpoints.detect_dialect\n"
    code += "assert not {'torch', 'transformers', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


# --- points -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("(3,4)", [3, 4]),
        ("<|box_start|>(3, 4)<|box_end|>", [3, 4]),
        ("<point>3 4</point>", [3, 4]),
        ("<bbox>1 2 3 4</bbox>", [1, 2, 3, 4]),
        ("[1.5, 2e2]", [1.5, 200.0]),
        ("（３，４）", [3, 4]),
        ([[1, 2], [3, 4]], [1, 2, 3, 4]),
        ((3, 4.5), [3, 4.5]),
    ],
)
def test_points_are_parsed_in_each_form(value: object, numbers: list[float]) -> None:
    assert parse_numbers(value, "at") == numbers


@pytest.mark.parametrize(
    "value", ["", "3", "(3,4,5)", "(a,b)", "3,4" * 100, [3], [3, 4, 5], ["3", 4], [True, 4], None, {"x": 3}, [1e400, 2]]
)
def test_invalid_points_are_refused(value: object) -> None:
    with pytest.raises(InvalidActionError, match="must be a point of two numbers or a box of four"):
        parse_numbers(value, "at")


@pytest.mark.parametrize("space", [RESIZED_PIXELS, SCALE_1000, SCALE_999, NORMALIZED], ids=lambda space: space.name)
@pytest.mark.parametrize("size", [(1920, 1080), (1080, 2400), (3840, 2160), (280, 364)])
def test_coordinates_agree_with_the_authors_arithmetic(space: Any, size: tuple[int, int]) -> None:
    """The authors compute x / far * pixels; a pixel's center is half a cell off its edge."""
    resized = ImageLimits().resized(*size)
    mapper = CoordinateMapper(space, screen_of(*size), resized)
    for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        far = (space.scale, space.scale) if space.scale else resized
        model_xy = [share * number if space is NORMALIZED else int(share * number) for number in far]
        expected = [number / limit * pixels for number, limit, pixels in zip(model_xy, far, size, strict=True)]
        actual = mapper.to_screen(model_xy if space is not NORMALIZED or share else [0, 0], "at")
        for a, b, pixels, limit in zip(actual, expected, size, far, strict=True):
            assert abs(a - b) <= 1 + 0.5 * pixels / limit * (not space.scale)


def test_shares_are_refused_in_other_spaces() -> None:
    for space in (RESIZED_PIXELS, SCALE_1000, SCALE_999):
        with pytest.raises(InvalidActionError, match=r"not 0\.47"):
            CoordinateMapper(space, screen_of(1288, 728), (1288, 728)).to_screen([0.47, 0.3], "at")
    assert CoordinateMapper(NORMALIZED, screen_of(1000, 500), (1008, 504)).to_screen([0.47, 0.3], "at") == (470, 150)


# --- several actions in one reply ------------------------------------------------------------------------------------


SEVERAL = [
    (
        DialectCase("ui_tars", ""),
        "Thought: a\nAction: click(start_box='(8,9)')\n\ntype(content='a\\n')\n\nAction: wait()",
        (Click(x=8, y=9), TypeText(text="a\n"), Wait(seconds=5.0)),
    ),
    (
        DialectCase("opencua", ""),
        "pyautogui.write(message='stat')\npyautogui.press(keys=['enter'])",
        (TypeText(text="stat"), PressKeys(keys=("enter",))),
    ),
    (
        DialectCase("opencua", ""),
        "pyautogui.press('tab', presses=3)\ntime.sleep(1)",
        (*[PressKeys(keys=("tab",))] * 3, Wait(seconds=1.0)),
    ),
    (
        DialectCase("opencua", ""),
        "pyautogui.keyDown('shift')\npyautogui.click(x=8, y=9)\npyautogui.click(x=80, y=90)\npyautogui.keyUp('shift')",
        (Click(x=8, y=9, modifiers=("shift",)), Click(x=80, y=90, modifiers=("shift",))),
    ),
    (
        DialectCase("gui_owl", ""),
        '<tool_call>{"name": "computer_use", "arguments": {"action": "type", "text": "a", "clear": 1, "enter": 1}}'
        "</tool_call>",
        (PressKeys(keys=("ctrl", "a")), PressKeys(keys=("backspace",)), TypeText(text="a\n")),
    ),
    (
        DialectCase("fara", ""),
        '<tool_call>\n{"name": "computer_use", "arguments": {"action": "type", "coordinate": [8, 9], "text": "a", '
        '"press_enter": false, "delete_existing_text": true}}\n</tool_call>',
        (Click(x=8, y=9), PressKeys(keys=("ctrl", "a")), PressKeys(keys=("backspace",)), TypeText(text="a")),
    ),
    (
        DialectCase("holo", ""),
        '{"thought": "", "action": {"action": "write_element_abs", "content": "a", "element": "b", "x": 8, "y": 9}}',
        (Click(x=8, y=9), TypeText(text="a\n")),
    ),
    (
        DialectCase("autoglm", ""),
        '<answer>do(action="Type", text="He said "hi" {there}")</answer>',
        (PressKeys(keys=("ctrl", "a")), PressKeys(keys=("backspace",)), TypeText(text='He said "hi" {there}')),
    ),
]


@pytest.mark.parametrize(("case", "text", "actions"), SEVERAL, ids=range(len(SEVERAL)))
def test_reply_with_several_actions(case: DialectCase, text: str, actions: tuple[Any, ...]) -> None:
    assert actions_of(case.dialect(), text) == actions


def test_to_action_refuses_calls_of_several_actions() -> None:
    dialect, screen = DialectCase("fara", "").dialect(), screen_of(1288, 728)
    text = SEVERAL[5][1]
    with pytest.raises(InvalidActionError, match=r"asks for 4 actions at once \(click, press, press, type\)"):
        dialect.to_action(dialect.parse(text), screen)
    tars = DialectCase("ui_tars", "").dialect()
    assert tars.to_action(tars.parse(SEVERAL[0][1]), screen) == Click(x=8, y=9)


def test_to_actions_of_a_single_call() -> None:
    from model.dialects.qwen25 import Dialect

    dialect, screen = Dialect(ImageLimits()), screen_of(280, 364)
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    assert dialect.to_actions(call, screen) == (Click(x=3, y=4),)


def test_invalid_next_calls_are_refused() -> None:
    dialect, screen = DialectCase("ui_tars", "").dialect(), screen_of(280, 364)
    for then in (5, [5], [{"name": "click"}], [{"name": 5, "arguments": {}}], {"name": "wait"}):
        with pytest.raises(InvalidActionError, match="'then' must be a list of calls"):
            dialect.to_actions(Call("wait", {"then": then}), screen)
