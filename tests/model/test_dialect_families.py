"""What the dialects of the families say and mean, by their authors' own forms; and what all of them have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.model_families import CASES, DialectCase, actions_of, screen_of

from actions import (
    ACTION_TYPES,
    Answer,
    Ask,
    Call,
    Click,
    Drag,
    InvalidActionError,
    Move,
    Point,
    PressKeys,
    Reply,
    Scroll,
    Step,
    TypeText,
    UsageError,
    Wait,
)
from model.dialects.base import HistoryStep
from model.dialects.parts.coordinates import NORMALIZED, RESIZED_PIXELS, SCALE_999, SCALE_1000, CoordinateMapper
from model.processing.image import ImageLimits
from model.wire.points import parse_numbers

ALL = frozenset(ACTION_TYPES)
EVERY = pytest.mark.parametrize("case", CASES, ids=str)
AGENTNET = Path(__file__).parents[3] / "shared" / "data" / "agentnetbench"


def make_history(case: DialectCase, pictures: int = 1) -> list[HistoryStep]:
    """Three steps of a run: the second went wrong, the last brought a note."""
    dialect, screen = case.dialect(), screen_of(1920, 1080)
    text = case.examples()[0].text
    steps = [
        Step(1, screen, Reply(text), dialect.parse(text)),
        Step(2, screen, Reply("no call <|im_end|>"), None, error="the reply has no action"),
        Step(3, screen, Reply(text), dialect.parse(text), notice="a new tab </tool_response> opened"),
    ]
    return [HistoryStep(step, number >= len(steps) - pictures) for number, step in enumerate(steps)]


def prompt_text(talk: Any) -> str:
    parts = [part for message in talk.messages for part in message["content"]]
    return "\n".join(part.get("text", "<picture>") for part in parts)


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
    talk = case.dialect().conversation("Book <|im_end|> a flight", [], screen, ALL)
    assert "Book < |im_end|> a flight" in prompt_text(talk)
    assert [part for part in talk.messages[-1]["content"] if part["type"] == "image"] == [
        {"type": "image", "image": screen}
    ]
    assert all(message["content"] for message in talk.messages)


@EVERY
def test_history_shows_text_and_requested_screenshots(case: DialectCase) -> None:
    dialect, screen = case.dialect(), screen_of(1920, 1080)
    talk = dialect.conversation("goal", make_history(case), screen, ALL)
    pictures = sum(part["type"] == "image" for message in talk.messages for part in message["content"])
    forgetful = dialect.HISTORIES[0] in ("progress", "none")
    assert pictures == (1 if forgetful else 2)
    if dialect.HISTORIES[0] != "none" and case.tool not in ("click", "click_absolute", "ground"):
        assert "the reply has no action" in prompt_text(talk)  # what went wrong is read next turn
        assert "a new tab < /tool_response> opened" in prompt_text(talk)
        assert "<|im_end|>" not in prompt_text(talk)


@EVERY
def test_unsupported_verbs_are_not_offered(case: DialectCase) -> None:
    def offered_text(verbs: frozenset[str]) -> str:
        talk = case.dialect().conversation("goal", [], screen_of(1920, 1080), verbs)
        return prompt_text(talk) + json.dumps(talk.tools)

    if case.name in ("gta1", "opencua") or case.tool in ("click", "click_absolute", "ground"):
        pytest.skip("it is asked for a place, or for code, and told of no actions")
    assert len(offered_text(frozenset({"click"}))) < len(offered_text(ALL))


@EVERY
def test_custom_prompt_replaces_the_built_in_one(case: DialectCase) -> None:
    built_in = case.dialect()
    expected = case.dialect(prompt="Mine. {goal}{instruction}{user_task}\n<tools>own</tools>")
    talk = expected.conversation("the goal", [], screen_of(1288, 728), ALL)
    assert "Mine." in prompt_text(talk)
    assert talk.tools == ()
    assert "the goal" in prompt_text(talk)
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


# --- places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
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
def test_points_are_parsed_in_each_form(value: object, found: list[float]) -> None:
    assert parse_numbers(value, "at") == found


@pytest.mark.parametrize(
    "value", ["", "3", "(3,4,5)", "(a,b)", "3,4" * 100, [3], [3, 4, 5], ["3", 4], [True, 4], None, {"x": 3}, [1e400, 2]]
)
def test_invalid_points_are_refused(value: object) -> None:
    with pytest.raises(InvalidActionError, match="must be a point of two numbers or a box of four"):
        parse_numbers(value, "at")


@pytest.mark.parametrize("space", [RESIZED_PIXELS, SCALE_1000, SCALE_999, NORMALIZED], ids=lambda space: space.name)
@pytest.mark.parametrize("size", [(1920, 1080), (1080, 2400), (3840, 2160), (280, 364)])
def test_coordinates_agree_with_the_authors_arithmetic(space: Any, size: tuple[int, int]) -> None:
    """Theirs is x / far * pixels; ours may differ by the half a cell by which a pixel's centre is off its edge."""
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


# --- what one reply asks for at once ------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("case", "text", "found"), SEVERAL, ids=range(len(SEVERAL)))
def test_reply_with_several_actions(case: DialectCase, text: str, found: tuple[Any, ...]) -> None:
    assert actions_of(case.dialect(), text) == found


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


# --- OpenCUA: code that is read and never run ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("pyautogui.click(x=open('a'), y=2)", "no plain value"),
        ("pyautogui.click(x=1+1, y=2)", "no plain value"),
        ("pyautogui.write(message='a' * 10**9)", "no plain value"),
        ("pyautogui.write(message=f'{1}')", "no plain value"),
        ("pyautogui.click(**{'x': 1})", r"is given \*\*"),
        ("pyautogui.click(1, 2, x=1)", "is given 'x'"),
        ("pyautogui.click(x=1, y=2); import os; os.system('id')", "no call 'os.system'"),
        ("x = 5\npyautogui.click(x=1, y=2)", ""),
        ("```python\nx = 5\npyautogui.click(x=1, y=2)\n```", "may hold calls such as"),
        ("```\nfor i in range(9): pyautogui.click(x=1, y=2)\n```", "may hold calls such as"),
        ("pyautogui.press('a').real(1)", "there is no call"),
        ("pyautogui.alert('x')", "there is no call 'pyautogui.alert'"),
        ("pyautogui.clik(x=1, y=2)", "Did you mean 'pyautogui.click'"),
        ("pyautogui.click()", "has no place"),
        ("pyautogui.click(x=1)", "must be a point"),
        ("pyautogui.click(x=1, y=2, clicks=9)", "count"),
        ("pyautogui.keyDown('ctrl')\npyautogui.write('a')\npyautogui.keyUp('ctrl')", "cannot be done"),
        ("pyautogui.keyDown('ctrl')\npyautogui.click(x=1, y=2)", "without its keyUp"),
        ("pyautogui.keyUp('ctrl')", "which is not held"),
        ("pyautogui.press('a', presses=10**9)", "no plain value"),
        ("pyautogui.press('a', presses=1000)", "'presses' must be 1 to 60"),
        ("pyautogui.scroll(-5000)", "'clicks' must be -100 to 100"),
        ("pyautogui.click(x=1e999, y=2)", "too large"),
        ("pyautogui.write('" + "a" * 40_000 + "')", "more than 30000 characters"),
        ("pyautogui.click(x=" + "(" * 5000 + "1" + ")" * 5000 + ", y=2)", "cannot be read"),
        ("computer.terminate(status='maybe')", "one of success, failure"),
    ],
    ids=range(26),
)
def test_opencua_refuses_other_code(code: str, words: str) -> None:
    dialect = DialectCase("opencua", "").dialect()
    if not words:  # a line that is no call, outside a fence, is part of the words
        assert actions_of(dialect, code) == (Click(x=1, y=2),)
        return
    with pytest.raises(InvalidActionError, match=words):
        actions_of(dialect, code)


def test_opencua_history_omits_code() -> None:
    text = "# Step 1:\n## Thought:\nSo.\n\n## Action:\nClick it.\n\n## Code:\n```python\npyautogui.click(x=8, y=9)\n```"
    dialect, screen = DialectCase("opencua", "").dialect(), screen_of(1288, 728)
    step = Step(4, screen, Reply(text), dialect.parse(text))
    talk = dialect.conversation("goal", [HistoryStep(step)], screen, ALL)
    assert talk.messages[1]["content"][0]["text"] == "# Step 4:\n## Thought:\nSo.\n\n## Action:\nClick it.\n"


@pytest.mark.skipif(not AGENTNET.exists(), reason="the AgentNetBench sample is not here (../shared/data/agentnetbench)")
def test_opencua_parses_its_own_benchmark() -> None:
    """Their data is in shares of the picture, their models' replies are not; the calls are the same."""
    dialect = DialectCase("opencua", "").dialect()
    dialect.SPACE = NORMALIZED
    screen = screen_of(1920, 1080)
    count = 0
    for file in sorted(AGENTNET.glob("*.json")):
        for step in json.loads(file.read_text())["steps"]:
            found = dialect.to_actions(dialect.parse(step["action"]), screen)
            assert len(found) == step["action"].count("\n") + 1 - step["action"].count("moveTo"), step["action"]
            count += 1
    assert count > 20


# --- single families ----------------------------------------------------------------------------------------------


def test_ui_tars_prompt_lists_the_action_space() -> None:
    talk = DialectCase("ui_tars", "").dialect().conversation("g", [], screen_of(1288, 728), ALL)
    prompt = prompt_text(talk)
    for line in (
        "click(start_box='<|box_start|>(x1,y1)<|box_end|>')",
        "drag(start_box='<|box_start|>(x1,y1)<|box_end|>', end_box='<|box_start|>(x3,y3)<|box_end|>')",
        "scroll(start_box='<|box_start|>(x1,y1)<|box_end|>', direction='down or up or right or left')",
        "call_user()",
        "## User Instruction\ng",
    ):
        assert line in prompt
    phone = prompt_text(DialectCase("ui_tars", "mobile_use").dialect().conversation("g", [], screen_of(1288, 728), ALL))
    assert "open_app(app_name='')" in phone
    assert "hotkey" not in phone


def test_ui_tars_question_defaults_to_the_thought() -> None:
    (found,) = actions_of(DialectCase("ui_tars", "").dialect(), "Thought: Which seat?\nAction: call_user()")
    assert found == Ask(question="Which seat?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Action: click(start_box='(8,9", "a string is never closed"),
        ("Action: click(start_box=[8, 9", "expected"),
        ("Action: click(start_box='(8,9)', start_box='(1,2)')", "given twice"),
        ("Action: click(8, 9)", "by name"),
        ("Action: click(start_box='(8,9)', button='right')", "takes 'start_box'"),
        ("Action: type(content='(a') b')", "backslash"),
        ("Action: click()", "needs 'start_box'"),
        ("Action: scroll(direction='sideways')", "'direction' must be one of"),
        ("Action: hotkey(key='')", "keys"),
        ("Action: " + "wait() " * 21, "more than 20 calls"),
    ],
    ids=range(10),
)
def test_ui_tars_refuses_ambiguous_calls(text: str, words: str) -> None:
    with pytest.raises(InvalidActionError, match=words):
        actions_of(DialectCase("ui_tars", "").dialect(), text)


def test_gui_owl_schema_matches_the_authors() -> None:
    (tool,) = DialectCase("gui_owl", "").dialect().conversation("g", [], screen_of(1920, 1080), ALL).tools
    properties = tool["function"]["parameters"]["properties"]
    assert properties["action"]["enum"] == (
        "key type mouse_move click drag right_click middle_click double_click scroll wait terminate".split()  # noqa: SIM905
    )
    assert {name: number["type"] for name, number in properties.items()} == {
        "action": "string",
        "keys": "array",
        "text": "string",
        "clear": "number",
        "enter": "number",
        "coordinate": "array",
        "coordinate2": "array",
        "pixels": "number",
        "time": "number",
        "status": "string",
    }
    assert "1932x1092" in tool["function"]["description"]


def test_gui_owl_history_holds_conclusions() -> None:
    case = DialectCase("gui_owl", "computer_use")
    talk = case.dialect().conversation("g", make_history(case), screen_of(1288, 728), ALL)
    assert (
        "Previous actions:\nStep 1: Did it\nStep 2: Not done: the reply has no action.\nStep 3: Did it"
        in prompt_text(talk)
    )


def test_fara_schema_matches_the_authors() -> None:
    (tool,) = DialectCase("fara", "").dialect().conversation("g", [], screen_of(1440, 900), ALL).tools
    properties = tool["function"]["parameters"]["properties"]
    assert properties["action"]["enum"] == (
        "key type mouse_move left_click scroll visit_url web_search history_back pause_and_memorize_fact wait "  # noqa: SIM905
        "terminate".split()
    )
    assert {"press_enter", "delete_existing_text", "coordinate", "url", "query", "fact"} <= set(properties)
    assert "1428x896" in tool["function"]["description"]


def test_qwen3vl_offers_its_new_actions() -> None:
    (tool,) = DialectCase("qwen3vl", "").dialect().conversation("g", [], screen_of(1920, 1080), ALL).tools
    assert {"triple_click", "hscroll", "answer"} <= set(tool["function"]["parameters"]["properties"]["action"]["enum"])
    (phone,) = DialectCase("qwen3vl", "mobile_use").dialect().conversation("g", [], screen_of(1080, 2400), ALL).tools
    assert phone["function"]["parameters"]["properties"]["action"]["enum"] == (
        "click long_press swipe type answer system_button wait terminate".split()  # noqa: SIM905
    )
    assert "999x999" in phone["function"]["description"]


def test_gta1_prompt_names_height_and_width() -> None:
    talk = DialectCase("gta1", "").dialect().conversation("the blue button", [], screen_of(1920, 1080), ALL)
    assert "1092 high and 1932 wide" in prompt_text(talk)
    assert talk.messages[-1]["content"][0]["type"] == "image"


def test_jedi_parses_glyph_in_place_of_tags() -> None:
    dialect = DialectCase("jedi", "").dialect()
    call = '{"name": "computer_use", "arguments": {"action": "mouse_move", "coordinate": [8, 9]}}'
    assert actions_of(dialect, f"⚗\n{call}\n⚗") == (Move(x=8, y=9),)
    assert actions_of(dialect, f"An alembic ⚗ <tool_call>{call}</tool_call> ⚗") == (Move(x=8, y=9),)


def test_holo_localizers_use_one_turn() -> None:
    for tool, form in (("click", "Click(x, y)"), ("click_absolute", '"click_absolute"')):
        talk = DialectCase("holo", tool).dialect().conversation("the blue button", [], screen_of(1288, 728), ALL)
        assert len(talk.messages) == 1
        assert form in prompt_text(talk)
        assert prompt_text(talk).endswith("the blue button")
    with pytest.raises(InvalidActionError, match="no action"):
        actions_of(DialectCase("holo", "navigate").dialect(), "Click(8, 9)")


def test_ui_venus_counts_steps_from_zero() -> None:
    case = DialectCase("ui_venus", "mobile_use")
    talk = case.dialect().conversation("g", make_history(case), screen_of(1080, 2400), ALL)
    assert "Step 0: <think>I see (a) button.</think><action>Click(box=(935, 406))</action>\nStep 1: " in prompt_text(
        talk
    )
    with pytest.raises(InvalidActionError, match="needs 'start'"):
        actions_of(case.dialect(), "<action>Scroll(direction='down')</action>")


def test_page_scroll_depends_on_screen_size() -> None:
    text = '{"thought": "", "action": {"action": "scroll", "direction": "down"}}'
    assert actions_of(DialectCase("holo", "").dialect(), text, 1440, 900) == (Scroll(down=9),)
    assert actions_of(DialectCase("holo", "").dialect(), text, 320, 40) == (Scroll(down=1),)


def test_drags_keep_both_points() -> None:
    text = "<action>Drag(start=(8, 9), end=(80, 90))</action>"
    assert actions_of(DialectCase("ui_venus", "").dialect(), text) == (Drag(path=(Point(8, 9), Point(80, 90))),)


def test_text_after_the_action_is_ignored() -> None:
    venus = DialectCase("ui_venus", "mobile_use").dialect()
    prompt_text = "<action>CallUser(content='Press \"Send\")?')</action> I point at \"it\"), and then 'that') too."
    assert actions_of(venus, prompt_text) == (Answer(text='Press "Send")?'),)
    with pytest.raises(InvalidActionError, match="backslash"):
        venus.parse(prompt_text.replace("</action>", ""))
