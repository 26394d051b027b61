"""Details of single families, in their authors' own forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.model_families import DialectCase, actions_of, make_history, prompt_text, screen_of

from actions import (
    ACTION_TYPES,
    Answer,
    Ask,
    Click,
    Drag,
    InvalidActionError,
    Move,
    Point,
    Reply,
    Scroll,
    Step,
)
from model.dialects.base import HistoryStep
from model.dialects.parts.coordinates import NORMALIZED

ALL = frozenset(ACTION_TYPES)
AGENTNET = Path(__file__).parents[4] / "shared" / "data" / "agentnetbench"


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
    conversation = dialect.conversation("goal", [HistoryStep(step)], screen, ALL)
    assert conversation.messages[1]["content"][0]["text"] == "# Step 4:\n## Thought:\nSo.\n\n## Action:\nClick it.\n"


@pytest.mark.skipif(not AGENTNET.exists(), reason="the AgentNetBench sample is not here (../shared/data/agentnetbench)")
def test_opencua_parses_its_own_benchmark() -> None:
    """The data has fractions of the image where the models' replies have pixels; the calls are the same."""
    dialect = DialectCase("opencua", "").dialect()
    dialect.SPACE = NORMALIZED
    screen = screen_of(1920, 1080)
    count = 0
    for file in sorted(AGENTNET.glob("*.json")):
        for step in json.loads(file.read_text())["steps"]:
            actions = dialect.to_actions(dialect.parse(step["action"]), screen)
            assert len(actions) == step["action"].count("\n") + 1 - step["action"].count("moveTo"), step["action"]
            count += 1
    assert count > 20


# --- single families ----------------------------------------------------------------------------------------------


def test_ui_tars_prompt_lists_the_action_space() -> None:
    conversation = DialectCase("ui_tars", "").dialect().conversation("g", [], screen_of(1288, 728), ALL)
    prompt = prompt_text(conversation)
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
    (action,) = actions_of(DialectCase("ui_tars", "").dialect(), "Thought: Which seat?\nAction: call_user()")
    assert action == Ask(question="Which seat?")


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
    conversation = case.dialect().conversation("g", make_history(case), screen_of(1288, 728), ALL)
    assert (
        "Previous actions:\nStep 1: Did it\nStep 2: Not done: the reply has no action.\nStep 3: Did it"
        in prompt_text(conversation)
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
    conversation = DialectCase("gta1", "").dialect().conversation("the blue button", [], screen_of(1920, 1080), ALL)
    assert "1092 high and 1932 wide" in prompt_text(conversation)
    assert conversation.messages[-1]["content"][0]["type"] == "image"


def test_jedi_parses_glyph_in_place_of_tags() -> None:
    dialect = DialectCase("jedi", "").dialect()
    call = '{"name": "computer_use", "arguments": {"action": "mouse_move", "coordinate": [8, 9]}}'
    assert actions_of(dialect, f"⚗\n{call}\n⚗") == (Move(x=8, y=9),)
    assert actions_of(dialect, f"An alembic ⚗ <tool_call>{call}</tool_call> ⚗") == (Move(x=8, y=9),)


def test_holo_localizers_use_one_turn() -> None:
    for tool, form in (("click", "Click(x, y)"), ("click_absolute", '"click_absolute"')):
        conversation = (
            DialectCase("holo", tool).dialect().conversation("the blue button", [], screen_of(1288, 728), ALL)
        )
        assert len(conversation.messages) == 1
        assert form in prompt_text(conversation)
        assert prompt_text(conversation).endswith("the blue button")
    with pytest.raises(InvalidActionError, match="no action"):
        actions_of(DialectCase("holo", "navigate").dialect(), "Click(8, 9)")


def test_ui_venus_counts_steps_from_zero() -> None:
    case = DialectCase("ui_venus", "mobile_use")
    conversation = case.dialect().conversation("g", make_history(case), screen_of(1080, 2400), ALL)
    assert "Step 0: <think>I see (a) button.</think><action>Click(box=(935, 406))</action>\nStep 1: " in prompt_text(
        conversation
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
    reply = "<action>CallUser(content='Press \"Send\")?')</action> I point at \"it\"), and then 'that') too."
    assert actions_of(venus, reply) == (Answer(text='Press "Send")?'),)
    with pytest.raises(InvalidActionError, match="backslash"):
        venus.parse(reply.replace("</action>", ""))
