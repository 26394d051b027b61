"""Details of the dialects of 2026's checkpoints, in their authors' own forms."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers.model_families import DialectCase, actions_of, make_history, prompt_text, screen_of

from actions import ACTION_TYPES, Done, Drag, InvalidActionError, Reply, Screen, Step, TypeText, UsageError
from model.dialects.base import HistoryStep

ALL = frozenset(ACTION_TYPES)


def converse(name: str, tool: str = "", pictures: int = 1, **settings: Any) -> Any:
    case = DialectCase(name, tool)
    dialect = case.dialect(**settings)
    steps = make_history(DialectCase(name, dialect.tool), pictures)
    return dialect.conversation("g", steps, screen_of(1280, 720), ALL)


def layout(conversation: Any) -> list[str]:
    """Return each message as its role and the kinds of its parts."""
    return [
        f"{message['role']}: {' '.join(part['type'] for part in message['content'])}"
        for message in conversation.messages
    ]


def offered(name: str, tool: str = "") -> list[str]:
    (schema,) = DialectCase(name, tool).dialect().conversation("g", [], screen_of(1280, 720), ALL).tools
    names: list[str] = schema["function"]["parameters"]["properties"]["action"]["enum"]
    return names


# --- GUI-Owl-1.5, EvoCUA --------------------------------------------------------------------------------------------


def test_gui_owl15_schema_matches_the_authors() -> None:
    assert sorted(offered("gui_owl15")) == sorted(
        "key type mouse_move left_click left_click_drag right_click middle_click double_click triple_click scroll "  # noqa: SIM905
        "hscroll wait terminate answer interact".split()
    )
    assert sorted(offered("gui_owl15", "mobile_use")) == sorted(
        "key click long_press swipe type system_button open wait answer interact terminate".split()  # noqa: SIM905
    )
    assert "1000x1000" in json.dumps(converse("gui_owl15").tools)


def test_evocua_schema_has_fewer_actions() -> None:
    assert offered("evocua") == (
        "key type mouse_move left_click left_click_drag right_click middle_click double_click triple_click scroll "  # noqa: SIM905
        "wait terminate".split()
    )
    dialect = DialectCase("evocua", "").dialect()
    hold = '<tool_call>{"name": "computer_use", "arguments": {"action": "key_down", "keys": ["shift"]}}</tool_call>'
    with pytest.raises(InvalidActionError, match="key_down cannot be done here: press all keys"):
        actions_of(dialect, hold)


@pytest.mark.parametrize(("name", "first"), [("gui_owl15", "text image"), ("evocua", "image text")])
def test_window_lists_steps_without_screenshot(name: str, first: str) -> None:
    conversation = converse(name)
    assert layout(conversation)[1:] == [f"user: {first}", "assistant: text", f"user: {first}"]
    text = prompt_text(conversation)
    assert "Previous actions:\nStep 1: Click the save button.\nStep 2: no call < |im_end|> Not done: the reply" in text
    assert "a new tab < /tool_response> opened" in text
    assert "Previous actions:\nNone" in prompt_text(
        DialectCase(name, "").dialect().conversation("g", [], screen_of(9, 9), ALL)
    )


# --- MAI-UI ---------------------------------------------------------------------------------------------------------


def test_mai_ui_prompt_has_the_action_space() -> None:
    text = prompt_text(converse("mai_ui"))
    for line in (
        '{"action": "click", "coordinate": [x, y]}',
        '{"action": "swipe", "direction": "up or down or left or right", "coordinate": [x, y]}',
        '{"action": "drag", "start_coordinate": [x1, y1], "end_coordinate": [x2, y2]}',
        '{"action": "system_button", "button": "back or home or menu or enter"}',
        '{"action": "wait"}\n{"action": "terminate", "status": "success or fail"}',
    ):
        assert line in text
    assert "ask_user" not in text
    assert converse("mai_ui").tools == ()


def test_mai_ui_keeps_every_reply() -> None:
    assert layout(converse("mai_ui")) == [
        "system: text", "user: text", "assistant: text", "assistant: text", "user: text",
        "user: image", "assistant: text", "user: text", "user: image",
    ]  # fmt: skip


def test_mai_ui_swipe_ends_on_the_screen() -> None:
    dialect = DialectCase("mai_ui", "").dialect()
    call = '{"name": "mobile_use", "arguments": {"action": "swipe", "direction": "up", "coordinate": [500, 10]}}'
    (drag,) = actions_of(dialect, f"<tool_call>{call}</tool_call>", 1080, 2400)
    assert isinstance(drag, Drag)
    assert drag.path[-1] == (drag.path[0].x, 0)


def test_mai_ui_point_is_that_of_the_answer() -> None:
    dialect = DialectCase("mai_ui", "ground").dialect()
    with pytest.raises(InvalidActionError, match="-1"):
        actions_of(dialect, '<answer>{"coordinate": [-1, -1]}</answer>')
    with pytest.raises(UsageError, match="no words"):
        dialect.format_action(Done(), screen_of(9, 9))


# --- UI-Venus-1.5 ---------------------------------------------------------------------------------------------------


def test_ui_venus15_lists_calls_of_each_device() -> None:
    web, phone = (prompt_text(converse("ui_venus15", tool)) for tool in ("browser_use", "mobile_use"))
    for line in ("Scroll(direction='down or up')", "Hover(box=(x1, y1))", "Hotkey(keys=['ctrl', 'c'])"):
        assert line in web
        assert line not in phone
    assert "Scroll(start=(x1, y1), end=(x2, y2))" in phone
    assert "PressRecent()" in phone
    assert layout(converse("ui_venus15")) == ["user: text image"]
    assert layout(converse("ui_venus15", "ground")) == ["user: image text"]


def test_ui_venus15_enters_texts_on_the_web() -> None:
    reply = "<action>Type(content='a')</action>"
    assert actions_of(DialectCase("ui_venus15", "browser_use").dialect(), reply) == (TypeText(text="a\n"),)
    assert actions_of(DialectCase("ui_venus15", "mobile_use").dialect(), reply) == (TypeText(text="a"),)


# --- Fara1.5 --------------------------------------------------------------------------------------------------------


def test_fara15_prompt_holds_date_and_functions() -> None:
    conversation = converse("fara15")
    assert (conversation.tools, conversation.thinking) == ((), False)
    system = conversation.messages[0]["content"][0]["text"]
    assert "1000x1000" in system
    assert '{"name": <function-name>, "arguments": <args-json-object>}' in system
    schema = json.loads(system.partition("<tools>\n")[2].partition("\n</tools>")[0])
    assert sorted(schema["function"]["parameters"]["properties"]["action"]["enum"]) == sorted(
        "key type mouse_move left_click left_click_drag right_click double_click triple_click scroll hscroll visit_url "  # noqa: SIM905
        "history_back web_search pause_and_memorize_fact ask_user_question wait terminate".split()
    )
    screen = Screen(np.zeros((56, 56, 3), np.uint8), timestamp=1_780_000_000.0)
    dialect = DialectCase("fara15", "").dialect()
    assert "Today is May 28, 2026" in prompt_text(dialect.conversation("g", [], screen, ALL))
    assert dialect.prompt_hash == DialectCase("fara15", "").dialect().prompt_hash


def test_fara15_cannot_read_a_pages_text() -> None:
    call = '{"name": "computer_use", "arguments": {"action": "read_page_answer_question", "question": "Who?"}}'
    with pytest.raises(InvalidActionError, match="scroll, and read the page"):
        actions_of(DialectCase("fara15", "").dialect(), f"<tool_call>\n{call}\n</tool_call>")


def test_fara15_refuses_scrolls_of_no_or_many_pages() -> None:
    for pixels in (0, 10**6, -(10**30)):
        call = f'{{"name": "computer_use", "arguments": {{"action": "scroll", "pixels": {pixels}}}}}'
        with pytest.raises(InvalidActionError, match="'pixels' must be"):
            actions_of(DialectCase("fara15", "").dialect(), f"<tool_call>\n{call}\n</tool_call>")


# --- Holo3 ----------------------------------------------------------------------------------------------------------


def test_holo3_turns_match_the_authors_layout() -> None:
    conversation = converse("holo3")
    assert conversation.thinking
    assert layout(conversation) == [
        "system: text", *["user: text text text", "assistant: text", "user: text"] * 2,
        "user: text image text", "assistant: text", "user: text", "user: text image text",
    ]  # fmt: skip
    text = prompt_text(conversation)
    assert "<observation>\n\n(This screenshot is left out.)\n\n</observation>" in text
    assert '<tool_output tool="click">\nDone.\n</tool_output>' in text
    schema = json.loads(text.partition("```json\n")[2].partition("\n```")[0])
    calls = [choice["properties"]["tool_name"]["const"] for choice in schema["properties"]["tool_call"]["anyOf"]]
    assert calls[:3] == ["click", "write", "answer"]


def test_holo3_reasoning_stays_out_of_history() -> None:
    dialect, screen = DialectCase("holo3", "").dialect(), screen_of(1280, 720)
    answer = '{"note": null, "thought": "Go.", "tool_call": {"tool_name": "wait", "seconds": 1}}'
    text = f'I recall {{"x": 3}}.\n</think>\n\n{answer}'
    step = Step(1, screen, Reply(text), dialect.parse(text))
    conversation = dialect.conversation("g", [HistoryStep(step)], screen, ALL)
    assert conversation.messages[2]["content"][0]["text"].strip() == answer


def test_holo3_localizer_does_not_reason() -> None:
    conversation = converse("holo3", "ground")
    assert conversation.thinking is False
    assert '"maximum": 1000' in prompt_text(conversation)
    schema = DialectCase("holo3", "ground").dialect().reply_schema(ALL, screen_of(1280, 720))
    assert schema is not None
    assert schema["required"] == ["x", "y"]


def test_holo3_schema_bounds_all_coordinates() -> None:
    schema = json.dumps(DialectCase("holo3", "").dialect().reply_schema(ALL, screen_of(1280, 720)))
    assert schema.count('"maximum": 1000') == 2 * 6 + 4  # six calls at a place, and a drag
    assert '"type": ["string", "null"]' in schema


# --- Qwen3.5 --------------------------------------------------------------------------------------------------------


def test_qwen35_writes_xml_and_reads_both() -> None:
    dialect, screen = DialectCase("qwen35", "").dialect(), screen_of(1000, 1000)
    assert dialect.format_action(TypeText(text="a\n"), screen) == (
        "<tool_call>\n<function=computer_use>\n<parameter=action>\ntype\n</parameter>\n<parameter=text>\na\n\n"
        "</parameter>\n</function>\n</tool_call>"
    )
    with pytest.raises(UsageError, match="no words for a text with the tag"):
        dialect.format_action(TypeText(text="</parameter>"), screen)
    with pytest.raises(InvalidActionError, match="there is no function 'phone'"):
        actions_of(dialect, "<function=phone><parameter=action>wait</parameter></function>")
    assert converse("qwen35").syntax == "xml"


@pytest.mark.parametrize(
    ("name", "pictures"), [("gui_owl15", 4), ("evocua", 4), ("mai_ui", 2), ("fara15", 2), ("holo3", 2), ("qwen35", 3)]
)
def test_number_of_screenshots_is_the_authors(name: str, pictures: int) -> None:
    from model.checkpoints.detect_dialect import default_pictures

    assert default_pictures(name) == pictures
    assert default_pictures("") == default_pictures("qwen25") == 3


@pytest.mark.parametrize(
    "case",
    [
        DialectCase(name, tool)
        for name, tools in {
            "qwen35": ["computer_use", "mobile_use"],
            "gui_owl15": ["computer_use", "mobile_use"],
            "evocua": ["computer_use"],
            "mai_ui": ["mobile_use"],
            "ui_venus15": ["mobile_use", "browser_use"],
            "fara15": ["computer_use"],
            "holo3": ["navigate"],
        }.items()
        for tool in tools
    ],
    ids=str,
)
def test_examples_hold_every_offered_call(case: DialectCase) -> None:
    dialect = case.dialect()
    rows = {row.name for row in dialect.table.rows.values() if row.offered}
    names = set()
    for example in case.examples():
        call = dialect.parse(example.text)
        names.add(call.arguments.get("action", call.name) if case.name[:2] not in ("ho", "ui") else call.name)
    assert rows <= names


@pytest.mark.parametrize("name", ["qwen35", "gui_owl15", "evocua", "mai_ui", "ui_venus15", "fara15", "holo3"])
def test_contract_is_kept(name: str) -> None:
    from pixelhand.testing import check_dialect

    for tool in DialectCase(name, "").dialect().ACTIONS:
        assert check_dialect(DialectCase(name, tool).dialect()) == []
