"""The openai package against the server with the embedded model."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from actions import Screen

openai = pytest.importorskip("openai", reason="the package openai is missing (a development dependency)")

BODY: dict[str, Any] = {"model": "embedded", "messages": [{"role": "user", "content": "Click the button."}]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "color": {"enum": ["red", "green"]},
        "place": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 2},
        "say": {"type": "string", "maxLength": 8},
    },
    "required": ["color", "place", "say"],
    "additionalProperties": False,
}
LONG = {"type": "json_schema", "json_schema": {"name": "long", "schema": {"type": "string", "minLength": 20}}}
PAINT = {
    "type": "function",
    "function": {
        "name": "paint",
        "description": "Paint something.",
        "parameters": {
            "type": "object",
            "properties": {"color": {"enum": ["red", "green"]}},
            "required": ["color"],
            "additionalProperties": False,
        },
    },
}


def button_page(x: int, y: int) -> Image.Image:
    """Return an image like a practice page: a yellow header, and a gray button around a point."""
    image = Image.new("RGB", (280, 364), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 279, 86), fill=(255, 255, 0))
    draw.text((6, 6), "Click the button.", fill="black")
    draw.rounded_rectangle((x - 35, y - 18, x + 35, y + 18), 4, fill=(239, 239, 239), outline=(118, 118, 118), width=2)
    return image


def image_body(image: Image.Image, text: str = "Click the button.") -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return {"model": "embedded", "messages": [{"role": "user", "content": parts}]}


def test_models_are_listed(embedded: Any) -> None:
    client = embedded.openai()
    (model,) = client.models.list().data
    assert model.id == "embedded"
    assert client.models.retrieve("embedded").id == "embedded"
    assert model.pixelhand["dialect"] == "qwen25"
    assert model.pixelhand["limits"]["min_pixels"] == 101136
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/model")


def test_reply_equals_in_process_reply(embedded: Any) -> None:
    # one token less than the complete reply, so that it is cut off
    max_tokens = embedded.chat.reply(BODY["messages"], max_new_tokens=6).reply_tokens - 1
    response = embedded.openai().chat.completions.create(**BODY, max_tokens=max_tokens)
    reply = embedded.chat.reply(BODY["messages"], max_new_tokens=max_tokens)
    assert max_tokens >= 2
    assert response.choices[0].message.content == reply.text
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (reply.prompt_tokens, reply.reply_tokens)
    assert response.choices[0].finish_reason == "length"


def test_call_points_at_button_in_image(embedded: Any) -> None:
    client = embedded.openai()
    points = []
    for x, y in ((84, 153), (202, 291)):
        response = client.chat.completions.create(
            **image_body(button_page(x, y)), max_tokens=40, tools=[computer_use_tool()]
        )
        (call,) = response.choices[0].message.tool_calls
        points.append(json.loads(call.function.arguments)["coordinate"])
        assert abs(points[-1][0] - x) <= 35, points
        assert abs(points[-1][1] - y) <= 18, points
        assert response.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "computer_use"
        assert response.usage.prompt_tokens > 130


def computer_use_tool() -> Any:
    from model.dialects.qwen25 import Dialect
    from model.processing.image import ImageLimits

    screen = Screen(np.zeros((364, 280, 3), np.uint8))
    return Dialect(ImageLimits()).conversation("go", [], screen, frozenset({"click"})).tools[0]


@pytest.mark.parametrize("fields", [{}, {"response_format": LONG}], ids=["free", "schema"])
def test_stream_equals_complete_reply(embedded: Any, fields: dict[str, Any]) -> None:
    client = embedded.openai()
    max_tokens = 12 if fields else embedded.chat.reply(BODY["messages"], max_new_tokens=6).reply_tokens - 1
    body = {**BODY, **fields, "max_tokens": max_tokens}
    chunks = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    complete = client.chat.completions.create(**body)
    assert "".join(deltas) == complete.choices[0].message.content
    assert len([delta for delta in deltas if delta]) >= 2
    assert chunks[-1].usage.completion_tokens == max_tokens
    assert chunks[-2].choices[0].finish_reason == "length"


def test_reply_fits_schema_at_any_temperature(embedded: Any) -> None:
    response_format = {"type": "json_schema", "json_schema": {"name": "look", "schema": SCHEMA, "strict": True}}
    client = embedded.openai()
    for seed, temperature in ((0, 0.0), (1, 1.0), (2, 1.5)):
        response = client.chat.completions.create(
            **BODY, max_tokens=120, response_format=response_format, seed=seed, temperature=temperature, top_p=0.95
        )
        data = json.loads(response.choices[0].message.content)
        assert response.choices[0].finish_reason == "stop"
        assert set(data) == {"color", "place", "say"}
        assert data["color"] in ("red", "green")
        assert len(data["say"]) <= 8
        assert len(data["place"]) <= 2
        assert all(0 <= value <= 99 for value in data["place"])


def test_stream_fits_schema(embedded: Any) -> None:
    response_format = {"type": "json_schema", "json_schema": {"name": "look", "schema": SCHEMA}}
    chunks = embedded.openai().chat.completions.create(
        **BODY, max_tokens=120, response_format=response_format, stream=True
    )
    assert set(json.loads("".join(chunk.choices[0].delta.content or "" for chunk in chunks))) == set(SCHEMA["required"])


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "paint"}}])
def test_required_tool_is_called(embedded: Any, choice: Any) -> None:
    response = embedded.openai().chat.completions.create(**BODY, max_tokens=60, tools=[PAINT], tool_choice=choice)
    (call,) = response.choices[0].message.tool_calls
    assert call.function.name == "paint"
    assert json.loads(call.function.arguments)["color"] in ("red", "green")
    assert response.choices[0].finish_reason == "tool_calls"
    assert response.choices[0].message.content is None


def test_streamed_call_is_one_delta(embedded: Any) -> None:
    chunks = list(
        embedded.openai().chat.completions.create(
            **BODY, max_tokens=60, tools=[PAINT], tool_choice="required", stream=True
        )
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in calls] == ["paint"]
    assert calls[0].id.startswith("call_")
    assert json.loads(calls[0].function.arguments)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


def test_tool_result_is_part_of_prompt(embedded: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "paint", "arguments": '{"color": "red"}'}}
    messages = [
        {"role": "user", "content": "Paint."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "painted"},
    ]
    client = embedded.openai().chat.completions
    response = client.create(model="embedded", messages=messages, tools=[PAINT], max_tokens=4)
    assert 0 < response.usage.completion_tokens <= 4
    without_result = client.create(model="embedded", messages=messages[:1], tools=[PAINT], max_tokens=4)
    assert response.usage.prompt_tokens > without_result.usage.prompt_tokens + len("painted")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "other"}, openai.NotFoundError, "serves 'embedded'"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, openai.BadRequestError, "role must be one of"),
        ({"n": 2}, openai.BadRequestError, "n:"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "together they must not exceed 8192"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, openai.BadRequestError, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}},
            openai.BadRequestError,
            "cannot be enforced",
        ),
    ],
)
def test_invalid_field_is_rejected(embedded: Any, change: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        embedded.openai().chat.completions.create(**{**BODY, "max_tokens": 4, **change})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/picture.png", "URLs are not fetched"),
        ("file:///etc/passwd", "data URI"),
        ("data:image/png;base64,bm8gcGljdHVyZQ==", "unknown format"),
        ("data:image/png,plain", "base64"),
    ],
)
def test_invalid_image_url_is_rejected(embedded: Any, url: str, message: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError, match=message):
        embedded.openai().chat.completions.create(model="embedded", messages=[{"role": "user", "content": parts}])


def test_concurrent_clients_get_their_own_replies(embedded: Any) -> None:
    def ask(n: int) -> tuple[str, str]:
        text = f"Click on the {n}."
        response = embedded.openai().chat.completions.create(
            model="embedded", messages=[{"role": "user", "content": text}], max_tokens=6
        )
        return text, response.choices[0].message.content

    max_waiting = 0
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, n) for n in range(8)]
        while not all(future.done() for future in futures):
            max_waiting = max(max_waiting, embedded.health()["waiting"])
            time.sleep(0.02)
    assert max_waiting >= 1  # they really were there at once
    for future in futures:
        text, reply_text = future.result()
        assert reply_text == embedded.chat.reply([{"role": "user", "content": text}], max_new_tokens=6).text


def test_closed_stream_frees_its_slot(embedded: Any) -> None:
    """The closed request was for thousands of tokens, so the next one would wait long."""
    stream = embedded.openai().chat.completions.create(**BODY, max_tokens=6000, stream=True, response_format=LONG)
    for n, _ in enumerate(stream):
        if n == 3:
            break
    assert embedded.health()["running"] == 1
    stream.close()
    embedded.wait_for_queue(running=0)
    assert embedded.openai().chat.completions.create(**BODY, max_tokens=2).usage.completion_tokens == 2


def test_timed_out_client_frees_its_slot(embedded: Any) -> None:
    def ask() -> None:
        client = embedded.openai().with_options(timeout=5.0)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**BODY, max_tokens=6000, response_format=LONG)

    thread = threading.Thread(target=ask)
    thread.start()
    embedded.wait_for_queue(running=1)
    thread.join(60)
    embedded.wait_for_queue(running=0)
