"""What a body may hold: everything is understood or refused in a sentence. No server, no model."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from model.serve.errors import ApiError
from model.serve.request import parsed, picture, read

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("key", ["logit_bias", "top_logprobs", "audio", "modalities", "reasoning_effort", "prediction"])
def test_null_is_not_given_and_a_value_is_refused_by_name(key: str) -> None:
    assert read({**ASKED, key: None}, "m") == read(ASKED, "m")
    with pytest.raises(ApiError, match=key):
        read({**ASKED, key: {"a": 1}}, "m")


def test_a_model_must_be_named_all_the_same() -> None:
    with pytest.raises(ApiError, match="model"):
        read({**ASKED, "model": None}, "m")


@pytest.mark.parametrize(
    "calls",
    [
        5,
        {"a": 1},
        "abc",
        [None],
        [{"function": {"name": "f", "arguments": "[" * 100_000}}],
        [{"function": {"name": "f", "arguments": "9" * 5000}}],
        [{"function": {"name": "f", "arguments": {}}}],
    ],
)
def test_calls_that_are_none_are_refused(calls: Any) -> None:
    with pytest.raises(ApiError, match=r"tool_calls must be a list|a tool call must have a name") as refused:
        read({**ASKED, "messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}, "m")
    assert refused.value.status == 400 and refused.value.param == "messages.0.tool_calls"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"a": "\\ud83d"}', "half a character"),
        (b'{"\\uDC00": 1}', "half a character"),
    ],
)
def test_a_body_that_no_model_can_be_asked_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        parsed(body)
    assert refused.value.status == 400


def test_a_whole_character_written_in_halves_is_one() -> None:
    assert parsed(json.dumps({"a": "😀 \\ud"}).encode()) == {"a": "😀 \\ud"}


def test_what_is_no_picture_is_said_without_the_programs_own_words() -> None:
    url = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    with pytest.raises(ApiError, match=r"^a picture cannot be read \(it is none\); send PNG, JPEG, WEBP$"):
        picture(url, "messages.0.content.0")
