"""Parsing of request bodies."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from model.processing.image import ImageLimits
from model.serve.errors import ApiError
from model.serve.request import ChatRequest, parse_image, parse_json, parse_request

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LIMITS = ImageLimits(3136, 100_352)


def parse(body: dict[str, Any]) -> ChatRequest:
    """Parse a body for the model "m"."""
    return parse_request(body, "m", LIMITS)


@pytest.mark.parametrize("key", ["logit_bias", "top_logprobs", "audio", "modalities", "reasoning_effort", "prediction"])
def test_unsupported_field_is_rejected_unless_null(key: str) -> None:
    assert parse({**BODY, key: None}) == parse(BODY)
    with pytest.raises(ApiError, match=key):
        parse({**BODY, key: {"a": 1}})


def test_thinking_switch_is_applied_or_rejected() -> None:
    assert parse({**BODY, "chat_template_kwargs": {"enable_thinking": False}}).thinking is False
    assert parse(BODY).thinking is None
    with pytest.raises(ApiError, match=r"chat_template_kwargs\.thinking_budget"):
        parse({**BODY, "chat_template_kwargs": {"thinking_budget": 5}})


def test_null_model_is_rejected() -> None:
    with pytest.raises(ApiError, match="model"):
        parse({**BODY, "model": None})


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
def test_invalid_tool_calls_are_rejected(calls: object) -> None:
    with pytest.raises(ApiError, match=r"tool_calls must be a list|a tool call must have a name") as caught:
        parse({**BODY, "messages": [{"role": "assistant", "content": None, "tool_calls": calls}]})
    assert caught.value.status == 400
    assert caught.value.param == "messages.0.tool_calls"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a": "\\ud83d"}', "unpaired surrogate"),
        (b'{"\\uDC00": 1}', "unpaired surrogate"),
    ],
)
def test_invalid_json_is_rejected(body: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        parse_json(body)
    assert caught.value.status == 400


def test_surrogate_pair_is_one_character() -> None:
    assert parse_json(json.dumps({"a": "😀 \\ud"}).encode()) == {"a": "😀 \\ud"}


def data_uri(content: bytes) -> str:
    """Return a data URI that claims to be a PNG."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_unknown_image_format_is_rejected() -> None:
    with pytest.raises(ApiError, match=r"^an image is of an unknown format; send PNG, JPEG, WEBP$"):
        parse_image(data_uri(b"no image"), "messages.0.content.0")


def image_body(*, part: dict[str, Any] | None = None, image_url: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a body with an image, and more keys in its part or in image_url."""
    file = io.BytesIO()
    Image.new("RGB", (56, 56)).save(file, "PNG")
    content = [
        {"type": "image_url", "image_url": {"url": data_uri(file.getvalue()), **(image_url or {})}, **(part or {})}
    ]
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("key", ["min_pixels", "max_pixels", "resized_height"])
@pytest.mark.parametrize("place", ["part", "image_url"])
def test_image_budget_of_request_is_rejected(key: str, place: str) -> None:
    with pytest.raises(ApiError, match=f"{key} cannot be set per image.*3136 to 100352 pixels") as caught:
        parse(image_body(**{place: {key: 6272}}))
    assert caught.value.status == 400
    assert caught.value.param == f"messages.0.content.0.{key}"


def test_image_budget_of_model_is_accepted() -> None:
    body = image_body(part={"min_pixels": 3136, "max_pixels": 100_352}, image_url={"detail": "high"})
    assert parse(body).messages[0]["content"][0]["type"] == "image"


def test_messages_become_chat_turns() -> None:
    call = {"function": {"name": "f", "arguments": '{"a": "é"}'}}
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "assistant", "content": "so", "tool_calls": [call]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": [{"type": "text", "text": "2"}]},
        {"role": "user", "content": "go on"},
    ]
    request = parse({"model": "m", "messages": messages})
    turns = [(message["role"], "".join(part["text"] for part in message["content"])) for message in request.messages]
    call_text = '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'
    result = "<tool_response>\n{}\n</tool_response>"
    assert turns == [
        ("system", "be brief"),
        ("assistant", "so\n" + call_text),
        ("user", result.format(1) + "\n" + result.format(2)),
        ("user", "go on"),
    ]
