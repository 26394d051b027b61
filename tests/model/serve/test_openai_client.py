"""The openai package, unchanged, against our server with the embedded model."""

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

openai = pytest.importorskip("openai", reason="the package openai is missing (a development dependency)")

ASK: dict[str, Any] = {"model": "embedded", "messages": [{"role": "user", "content": "Click the button."}]}
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green"]},
        "place": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 2},
        "say": {"type": "string", "maxLength": 8},
    },
    "required": ["colour", "place", "say"],
    "additionalProperties": False,
}
NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
LONG = {"type": "json_schema", "json_schema": {"name": "long", "schema": NUMBERS, "strict": True}}
PAINT = {
    "type": "function",
    "function": {
        "name": "paint",
        "description": "Paint something.",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        },
    },
}


def page(x: int, y: int) -> Image.Image:
    """A practice page's look: a yellow head, and a grey button around a point."""
    image = Image.new("RGB", (280, 364), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 279, 86), fill=(255, 255, 0))
    draw.text((6, 6), "Click the button.", fill="black")
    draw.rounded_rectangle((x - 35, y - 18, x + 35, y + 18), 4, fill=(239, 239, 239), outline=(118, 118, 118), width=2)
    return image


def looking(image: Image.Image, words: str = "Click the button.") -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": words}]
    return {"model": "embedded", "messages": [{"role": "user", "content": parts}]}


def test_models(embedded: Any) -> None:
    client = embedded.openai()
    (model,) = client.models.list().data
    assert model.id == "embedded" and client.models.retrieve("embedded").id == "embedded"
    assert model.pixelhand["dialect"] == "qwen25" and model.pixelhand["limits"]["min_pixels"] == 101136
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/model")


def test_chat_gives_what_the_chat_itself_says(embedded: Any) -> None:
    most = (
        embedded.chat.reply(ASK["messages"], max_new_tokens=6).reply_tokens - 1
    )  # whatever it says is cut before its end
    answer = embedded.openai().chat.completions.create(**ASK, max_tokens=most)
    said = embedded.chat.reply(ASK["messages"], max_new_tokens=most)
    assert most >= 2 and answer.choices[0].message.content == said.text
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (said.prompt_tokens, said.reply_tokens)
    assert answer.choices[0].finish_reason == "length"


def test_a_picture_is_seen(embedded: Any) -> None:
    client = embedded.openai()
    points = []
    for x, y in ((84, 153), (202, 291)):
        answer = client.chat.completions.create(**looking(page(x, y)), max_tokens=40, tools=[computer()])
        (call,) = answer.choices[0].message.tool_calls
        points.append(json.loads(call.function.arguments)["coordinate"])
        assert abs(points[-1][0] - x) <= 35 and abs(points[-1][1] - y) <= 18, points
        assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "computer_use"
        assert answer.usage.prompt_tokens > 130


def computer() -> Any:
    from model.dialects.qwen25 import Dialect
    from model.processing.image import ImageLimits

    screen = __import__("actions").Screen(np.zeros((364, 280, 3), np.uint8))
    return Dialect(ImageLimits()).conversation("go", [], screen, frozenset({"click"})).tools[0]


LONG = {"type": "json_schema", "json_schema": {"name": "long", "schema": {"type": "string", "minLength": 20}}}


@pytest.mark.parametrize("more", [{}, {"response_format": LONG}], ids=["as it likes", "held to a form"])
def test_a_stream_is_the_same_in_pieces(embedded: Any, more: dict[str, Any]) -> None:
    client = embedded.openai()
    most = 12 if more else embedded.chat.reply(ASK["messages"], max_new_tokens=6).reply_tokens - 1
    asked = {**ASK, **more, "max_tokens": most}
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    whole = client.chat.completions.create(**asked)
    assert "".join(pieces) == whole.choices[0].message.content and len([one for one in pieces if one]) >= 2
    assert chunks[-1].usage.completion_tokens == most and chunks[-2].choices[0].finish_reason == "length"


def test_a_schema_is_kept_whatever_the_model_wants_to_say(embedded: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "look", "schema": SCHEMA, "strict": True}}
    client = embedded.openai()
    for seed, temperature in ((0, 0.0), (1, 1.0), (2, 1.5)):
        answer = client.chat.completions.create(
            **ASK, max_tokens=120, response_format=form, seed=seed, temperature=temperature, top_p=0.95
        )
        data = json.loads(answer.choices[0].message.content)
        assert answer.choices[0].finish_reason == "stop" and set(data) == {"colour", "place", "say"}
        assert data["colour"] in ("red", "green") and len(data["say"]) <= 8
        assert len(data["place"]) <= 2 and all(0 <= one <= 99 for one in data["place"])


def test_a_stream_keeps_a_schema_too(embedded: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "look", "schema": SCHEMA}}
    chunks = embedded.openai().chat.completions.create(**ASK, max_tokens=120, response_format=form, stream=True)
    assert set(json.loads("".join(chunk.choices[0].delta.content or "" for chunk in chunks))) == set(SCHEMA["required"])


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "paint"}}])
def test_a_call_can_be_required(embedded: Any, choice: Any) -> None:
    answer = embedded.openai().chat.completions.create(**ASK, max_tokens=60, tools=[PAINT], tool_choice=choice)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "paint" and json.loads(call.function.arguments)["colour"] in ("red", "green")
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None


def test_a_streamed_call_comes_whole(embedded: Any) -> None:
    chunks = list(
        embedded.openai().chat.completions.create(
            **ASK, max_tokens=60, tools=[PAINT], tool_choice="required", stream=True
        )
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in calls] == ["paint"] and calls[0].id.startswith("call_")
    assert json.loads(calls[0].function.arguments) and chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


def test_the_result_of_a_call_can_be_told(embedded: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "paint", "arguments": '{"colour": "red"}'}}
    messages = [
        {"role": "user", "content": "Paint."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "painted"},
    ]
    client = embedded.openai().chat.completions
    answer = client.create(model="embedded", messages=messages, tools=[PAINT], max_tokens=4)
    assert 0 < answer.usage.completion_tokens <= 4  # it may have said all it wants to
    before = client.create(model="embedded", messages=messages[:1], tools=[PAINT], max_tokens=4)
    assert answer.usage.prompt_tokens > before.usage.prompt_tokens + len("painted")  # it was shown what came after


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "other"}, openai.NotFoundError, "it serves 'embedded'"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, openai.BadRequestError, "role must be one of"),
        ({"n": 2}, openai.BadRequestError, "n:"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "together they may be 8192"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, openai.BadRequestError, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}},
            openai.BadRequestError,
            "cannot be enforced",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(embedded: Any, change: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        embedded.openai().chat.completions.create(**{**ASK, "max_tokens": 4, **change})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/picture.png", "addresses are not fetched"),
        ("file:///etc/passwd", "data URI"),
        ("data:image/png;base64,bm8gcGljdHVyZQ==", "cannot be read"),
        ("data:image/png,plain", "base64"),
    ],
)
def test_a_picture_that_is_none_is_refused_and_no_address_is_fetched(embedded: Any, url: str, words: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError, match=words):
        embedded.openai().chat.completions.create(model="embedded", messages=[{"role": "user", "content": parts}])


def test_eight_clients_at_once_all_get_their_own_answer(embedded: Any) -> None:
    def ask(n: int) -> tuple[str, str]:
        words = f"Click on the {n}."
        answer = embedded.openai().chat.completions.create(
            model="embedded", messages=[{"role": "user", "content": words}], max_tokens=6
        )
        return words, answer.choices[0].message.content

    most = 0
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, n) for n in range(8)]
        while not all(one.done() for one in answers):
            most = max(most, embedded.health()["waiting"])
            time.sleep(0.02)
    assert most >= 1  # they really were there at once
    for one in answers:
        words, said = one.result()
        assert said == embedded.chat.reply([{"role": "user", "content": words}], max_new_tokens=6).text


def test_a_client_that_goes_away_frees_its_slot(embedded: Any) -> None:
    """It asked for thousands of tokens; another is served long before they could have been said."""
    stream = embedded.openai().chat.completions.create(**ASK, max_tokens=6000, stream=True, response_format=LONG)
    for n, _ in enumerate(stream):
        if n == 3:
            break
    assert embedded.health()["running"] == 1
    stream.close()
    embedded.until(lambda now: now["running"] == 0)
    assert embedded.openai().chat.completions.create(**ASK, max_tokens=2).usage.completion_tokens == 2


def test_one_that_waits_for_the_whole_and_goes_away_frees_it_too(embedded: Any) -> None:
    def ask() -> None:
        client = embedded.openai().with_options(timeout=1.0)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**ASK, max_tokens=6000, response_format=LONG)

    asking = threading.Thread(target=ask)
    asking.start()
    embedded.until(lambda now: now["running"] == 1)
    asking.join(20)
    embedded.until(lambda now: now["running"] == 0)
