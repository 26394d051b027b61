"""Completions: stop sequences, finish reasons, stream filtering and tool calls in text."""

from __future__ import annotations

from typing import Any

import pytest

from model.chat_model import ChatModel
from model.serve.completion import StreamFilter, parse_calls

BODY: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
PATH = "/v1/chat/completions"


def test_stop_sequence_ends_reply_before_it(serve: Any, tiny_chat: ChatModel) -> None:
    with serve(tiny_chat, "tiny") as served:
        body = {**BODY, "max_tokens": 40}
        text = served.request("POST", PATH, json=body).json()["choices"][0]["message"]["content"]
        stop = text[6:8]
        choice = served.request("POST", PATH, json={**body, "stop": [stop]}).json()["choices"][0]
        assert choice["message"]["content"] == text[: text.find(stop)]
        assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_stop_id_at_max_tokens_finishes_with_stop(
    serve: Any, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch, temperature: float, top_p: float
) -> None:
    body = {**BODY, "max_tokens": 1, "temperature": temperature, "top_p": top_p}
    finish_reasons = []
    with serve(tiny_chat, "tiny") as served:
        for stop_ids in ((), tuple(range(tiny_chat.tokenizer.size))):
            monkeypatch.setattr(tiny_chat.tokenizer, "stop_ids", stop_ids)
            response = served.request("POST", PATH, json=body).json()
            assert response["usage"]["completion_tokens"] == 1
            finish_reasons.append(response["choices"][0]["finish_reason"])
    assert finish_reasons == ["length", "stop"]


def sent(texts: list[str], stream: StreamFilter) -> list[str]:
    """Return the deltas of a growing text, and the rest."""
    deltas = [stream.update(text) for text in texts]
    stream.finish(texts[-1])
    return [*deltas, stream.rest()]


def test_partial_character_is_not_sent() -> None:
    assert sent(["a", "a\ufffd", "aé"], StreamFilter()) == ["a", "", "é", ""]


def test_partial_stop_sequence_is_not_sent() -> None:
    texts = ["one #", "one ##", "one ##x"]
    assert sent(texts, StreamFilter(stop_sequences=["###"])) == ["one ", "", "##x", ""]
    stream = StreamFilter(stop_sequences=["###"])
    assert sent(["one ##", "one ### two"], stream) == ["one ", "", ""]
    assert stream.text == "one "
    assert stream.is_stopped


def test_tag_and_text_after_it_are_not_sent() -> None:
    assert sent(["so <tool", "so <tool_call>{"], StreamFilter(tags=["<tool_call>"]))[:2] == ["so ", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no call", None),
        ('so\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', ("so", [("f", "{}")])),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', (None, [("f", '{"a": 1}')])),
        (
            '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n'
            '<tool_call>{"name": "g", "arguments": {"b": 2}}',
            (None, [("f", '{"a": 1}'), ("g", '{"b": 2}')]),
        ),
        ("<tool_call>{'name': 'f', 'arguments': {'a': 1,}}</tool_call>", (None, [("f", '{"a": 1}')])),
        ("<tool_call>oops</tool_call>", None),
        ('<tool_call>{"arguments": {"a": 1}}</tool_call>', None),
    ],
)
def test_calls_are_parsed_from_text(text: str, expected: tuple[str | None, list[tuple[str, str]]] | None) -> None:
    parsed = parse_calls(text)
    calls = parsed and (parsed[0], [(call["name"], call["arguments"]) for call in parsed[1]])
    assert calls == expected


def test_xml_calls_have_values_of_the_schema() -> None:
    properties = {"x": {"type": "integer"}, "text": {"type": "string"}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}
    text = "<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n<parameter=text>\n2\n</parameter>\n</function>"
    assert parse_calls(text, [tool]) == (None, ({"name": "f", "arguments": '{"x": 1, "text": "2"}'},))
    assert parse_calls(text) == (None, ({"name": "f", "arguments": '{"x": "1", "text": "2"}'},))
    for parameters in (None, {"properties": []}, {"properties": {"x": True}}):
        untyped = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        assert parse_calls(text, [untyped]) == parse_calls(text)
