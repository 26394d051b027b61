"""Calls written as XML: their texts, what they mean by type, and what has no single reading."""

from __future__ import annotations

import pytest

from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import tools_block
from model.wire.xml_call import decode_values

CALL = "<tool_call>\n<function=computer_use>\n{}</function>\n</tool_call>"
TOOL = {"type": "function", "function": {"name": "computer_use", "parameters": {"properties": {}}}}


def parameter(key: str, value: str) -> str:
    return f"<parameter={key}>\n{value}\n</parameter>\n"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (CALL.format(parameter("action", "wait")), {"action": "wait"}),
        ("<tool_call><function=f><parameter=a>x</parameter></function></tool_call>", {"a": "x"}),
        ("<function=f>\n<parameter=a>\nx\n</parameter>\n</function>", {"a": "x"}),
        (CALL.format(parameter("text", "\n two lines \n\n")), {"text": "\n two lines \n\n"}),
        (CALL.format(parameter("text", "a < b </b> <i>")), {"text": "a < b </b> <i>"}),
        (CALL.format(parameter("text", '{"name": "x"}')), {"text": '{"name": "x"}'}),
        ("<tool_call><function=f><parameter=a>\n1\n<parameter=b>\n2\n</function>", {"a": "1", "b": "2"}),
        ("<tool_call><function=f><parameter=a>\n1\n</tool_call>", {"a": "1"}),
        (CALL.format(parameter("a", "1") * 2), {"a": "1"}),
    ],
    ids=range(9),
)
def test_values_are_texts_between_tags(text: str, arguments: dict[str, str]) -> None:
    call = find_call(f"I think.\n</think>\n\n{text}")
    assert dict(call.arguments) == arguments
    assert (call.is_xml, call.thought, call.several) == (True, "I think.", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<tool_call><function=f></function></tool_call>", "no arguments"),
        ("<tool_call><function=f><parameter=a>1", "'a' is cut off"),
        (CALL.format(parameter("a", "1") + parameter("a", "2")), "given twice"),
        (CALL.format(parameter("a", "\ud800")), "half a character"),
        ("<tool_call>function=f", "no JSON object follows"),
    ],
)
def test_ambiguous_calls_are_refused(text: str, words: str) -> None:
    with pytest.raises(ToolCallError, match=words):
        find_call(text)


def test_first_call_of_either_syntax_is_read() -> None:
    json_call = '<tool_call>\n{"name": "f", "arguments": {"text": "<function=g>"}}\n</tool_call>'
    xml_call = CALL.format(parameter("text", "<tool_call>"))
    assert find_call(json_call).name == "f"
    assert find_call(f"{json_call}\n{xml_call}").several
    assert find_call(f"{xml_call}\n{json_call}").name == "computer_use"
    assert find_call(f'I write {{"name": "f"}}.\n{xml_call}').name == "computer_use"
    assert find_call('{"name": "f", "arguments": {"text": "<function=g>"}}').name == "f"


def test_values_are_decoded_by_their_types() -> None:
    types = {"text": "string", "time": "number", "at": "array", "keys": "array", "flag": "boolean"}
    texts = {"text": "[1]", "other": "2", "time": "2.5", "at": "[1, 2]", "keys": "ctrl+c", "flag": "true"}
    assert decode_values(texts, types) == {
        "text": "[1]", "other": "2", "time": 2.5, "at": [1, 2], "keys": "ctrl+c", "flag": True,
    }  # fmt: skip
    for text in ("NaN", "1e999", "[" * 5000, "1 2", ""):
        assert decode_values({"time": text}, types) == {"time": text}


def test_tools_block_names_the_syntax() -> None:
    assert "<function=NAME>\n<parameter=KEY>" in tools_block([TOOL], "xml")
    assert "<function=" not in tools_block([TOOL])
    assert tools_block([], "xml") == ""
