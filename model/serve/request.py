"""Parse the body of /v1/chat/completions into a request for the model.

A field that would change the reply is either applied or rejected with its name, never ignored.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from actions import Screen
from model.engine.call_grammar import CallGrammar, from_wire
from model.json_file import JsonObject
from model.processing.image import ImageLimits
from model.serve.errors import ApiError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN, RESPONSE_CLOSE, RESPONSE_OPEN

MAX_IMAGE_PIXELS = 50_000_000
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
ROLES = ("system", "developer", "user", "assistant", "tool")
RESIZE_KEYS = ("resized_height", "resized_width", "total_pixels", "nframes", "fps")  # of qwen-vl-utils


class StreamOptions(BaseModel):
    """The field stream_options."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class ChatTemplateSwitches(BaseModel):
    """The field chat_template_kwargs, as in vLLM and SGLang."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enable_thinking: bool | None = None


class ChatCompletionBody(BaseModel):
    """The body of /v1/chat/completions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    messages: Annotated[list[JsonObject], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: str | list[str] | None = None
    tools: list[JsonObject] | None = None
    tool_choice: str | JsonObject | None = None
    response_format: JsonObject | None = None
    chat_template_kwargs: ChatTemplateSwitches | None = None
    pixelhand_form: JsonObject | None = None  # extension: free text, then a call of this CallGrammar

    # accepted with their default only
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    # accepted; they do not change the reply
    parallel_tool_calls: bool | None = None
    user: str | None = None
    metadata: JsonObject | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


@dataclass(frozen=True)
class ChatRequest:
    """A parsed request."""

    messages: tuple[JsonObject, ...]  # as ChatModel.render takes them
    tools: tuple[JsonObject, ...] = ()
    calls: bool = False  # return <tool_call> in the reply as tool calls
    must_call: tuple[JsonObject, ...] = ()  # tools of which one must be called
    schema: JsonObject | None = None  # the reply is JSON of this schema
    form: CallGrammar | None = None  # the reply is a call of this grammar
    max_new_tokens: int | None = None  # None for the checkpoint's setting
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    usage: bool = False  # end the stream with the token counts
    thinking: bool | None = None  # enable_thinking of the chat template


def parse_json(body: bytes) -> object:
    """Return the JSON value of a body.

    Raises:
        ApiError: The body is not JSON, or a string has an unpaired surrogate, which cannot be tokenized (400).
    """
    try:
        data: object = json.loads(body)
        if b"\\ud" in body.lower():
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiError(400, "a string in the body has an unpaired surrogate") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON ({str(error)[:80]})") from None
    return data


def parse_request(data: object, name: str, limits: ImageLimits) -> ChatRequest:
    """Return the request in the JSON of a body; null counts as a missing field.

    Args:
        data: The JSON value.
        name: Name of the served model.
        limits: Pixel budget of the served model.

    Raises:
        ApiError: A field is unknown or invalid (400), or the model is another (404).
    """
    if isinstance(data, dict):
        known = ChatCompletionBody.model_fields
        data = {key: value for key, value in data.items() if value is not None or key in known}
    try:
        body = ChatCompletionBody.model_validate(data)
    except ValidationError as error:
        param, message = _first_problem(error)
        raise ApiError(400, f"{param or 'the body'}: {message}", param=param or None) from None
    if body.model != name:
        raise ApiError(
            404,
            f"no model {body.model[:80]!r}; this server serves '{name}'",
            param="model",
            code="model_not_found",
        )
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stop) > 4 or not all(stop):
        raise ApiError(400, "stop must have 1 to 4 strings, none of them empty", param="stop")
    tools = tuple(_tool(tool, index) for index, tool in enumerate(body.tools or ()))
    must_call, calls = _tool_choice(body.tool_choice, tools)
    schema = _schema(body.response_format)
    if schema is not None and must_call:
        raise ApiError(400, "response_format cannot be used with a forced tool_choice", param="tool_choice")
    form = _call_grammar(body.pixelhand_form)
    if form is not None and (schema is not None or must_call or body.top_p not in (None, 1)):
        raise ApiError(
            400,
            "pixelhand_form cannot be used with response_format, a forced tool_choice or top_p",
            param="pixelhand_form",
        )
    return ChatRequest(
        messages=parse_messages(body.messages, limits),
        tools=tools,
        calls=calls,
        must_call=must_call,
        schema=schema,
        form=form,
        max_new_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature or 0.0,
        top_p=body.top_p or 1.0,
        seed=None if body.seed is None else body.seed % 2**63,
        stop=stop,
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
        thinking=body.chat_template_kwargs.enable_thinking if body.chat_template_kwargs else None,
    )


def _first_problem(error: ValidationError, *prefix: str) -> tuple[str, str]:
    """Return the field and the message of a validation error's first problem."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(str(part) for part in (*prefix, *first["loc"]))[:80], first["msg"][:200]


def _tool(tool: JsonObject, index: int) -> JsonObject:
    function = tool.get("function")
    parameters = function.get("parameters") if isinstance(function, dict) else None
    is_valid = (
        tool.get("type") == "function"
        and isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and (parameters is None or isinstance(parameters, dict))
    )
    if not is_valid:
        raise ApiError(
            400,
            'a tool must be {"type": "function", "function": {"name": ..., "parameters": {...}}}',
            param=f"tools.{index}",
        )
    return tool


def _tool_choice(choice: str | JsonObject | None, tools: tuple[JsonObject, ...]) -> tuple[tuple[JsonObject, ...], bool]:
    """Return the tools of which one must be called, and whether calls are parsed from the reply."""
    if choice in (None, "auto") or (not tools and choice == "none"):
        return (), bool(tools)
    if choice == "none":
        return (), False
    if choice == "required" and tools:
        return tools, True
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        chosen = tuple(tool for tool in tools if tool["function"]["name"] == choice["function"].get("name"))
        if chosen:
            return chosen, True
    raise ApiError(400, "tool_choice must be auto, none, required, or name one of the tools", param="tool_choice")


def _schema(response_format: JsonObject | None) -> JsonObject | None:
    format_type = "text" if response_format is None else response_format.get("type")
    if response_format is None or format_type == "text":
        return None
    if format_type == "json_object":
        return {"type": "object"}
    json_schema = response_format.get("json_schema") if format_type == "json_schema" else None
    if isinstance(json_schema, dict) and isinstance(json_schema.get("schema"), dict):
        return dict(json_schema["schema"])
    raise ApiError(
        400,
        'response_format must be {"type": "text"}, {"type": "json_object"} or '
        '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}',
        param="response_format",
    )


def _call_grammar(data: JsonObject | None) -> CallGrammar | None:
    if data is None:
        return None
    fields_by_name = from_wire(data)  # the fields' names in CallGrammar are accepted too
    try:
        grammar = TypeAdapter(CallGrammar).validate_python(fields_by_name, strict=False)
    except ValidationError as error:
        param, message = _first_problem(error, "pixelhand_form")
        raise ApiError(400, f"{param}: {message}", param="pixelhand_form") from None
    unknown = sorted(set(fields_by_name) - {field.name for field in fields(CallGrammar)})
    if unknown or not grammar.longest_calls or not grammar.body:
        problem = f"has no {unknown[0][:40]!r}" if unknown else "needs a body and longest_calls"
        raise ApiError(400, f"pixelhand_form {problem}", param="pixelhand_form")
    return grammar


def parse_messages(messages: list[JsonObject], limits: ImageLimits) -> tuple[JsonObject, ...]:
    """Return OpenAI's messages as `ChatModel.render` takes them.

    Tool calls become <tool_call> text, and tool results become <tool_response> text in a user message.

    Raises:
        ApiError: A message is invalid (400).
    """
    parsed: list[JsonObject] = []
    last_has_results = False
    for index, message in enumerate(messages):
        role, param = message.get("role"), f"messages.{index}"
        if role not in ROLES:
            raise ApiError(400, f"role must be one of {', '.join(ROLES)}, not {role!r:.40}", param=f"{param}.role")
        parts = _parts(message.get("content"), param, limits if role in ("user", "tool") else None)
        if role == "tool":
            parts = [_text_part(f"{RESPONSE_OPEN}\n"), *parts, _text_part(f"\n{RESPONSE_CLOSE}")]
            if last_has_results:
                parsed[-1]["content"] += [_text_part("\n"), *parts]
                continue
            role = "user"
            last_has_results = True
        else:
            last_has_results = False
        if role == "assistant":
            tool_calls = message.get("tool_calls") or ()
            if not isinstance(tool_calls, list | tuple):
                raise ApiError(400, "tool_calls must be a list", param=f"{param}.tool_calls")
            for call in tool_calls:
                parts.append(_text_part(("\n" if parts else "") + _call_text(call, param)))
        if not parts:
            raise ApiError(400, "a message must have content", param=f"{param}.content")
        parsed.append({"role": "system" if role == "developer" else role, "content": parts})
    return tuple(parsed)


def _text_part(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _call_text(call: object, param: str) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    try:
        name, arguments = function["name"], json.loads(function["arguments"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ApiError(
            400, "a tool call must have a name, and arguments as a JSON string", param=f"{param}.tool_calls"
        ) from None
    text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{CALL_OPEN}\n{text}\n{CALL_CLOSE}"


def _parts(content: object, param: str, limits: ImageLimits | None) -> list[JsonObject]:
    """Return the parts of a message's content; limits: None where images are not allowed."""
    if content is None:
        return []
    if isinstance(content, str):
        return [_text_part(content)]
    if not isinstance(content, list):
        raise ApiError(400, "content must be a string or a list of parts", param=f"{param}.content")
    parts = []
    for index, part in enumerate(content):
        part_param = f"{param}.content.{index}"
        part_type = part.get("type") if isinstance(part, dict) else None
        if part_type == "text" and isinstance(part.get("text"), str):
            parts.append(_text_part(part["text"]))
        elif part_type == "image_url" and limits is not None:
            image_url = part.get("image_url")
            _check_resizing(part, limits, part_param)
            if isinstance(image_url, dict):
                _check_resizing(image_url, limits, part_param)
                image_url = image_url.get("url")
            parts.append({"type": "image", "image": parse_image(image_url, part_param)})
        else:
            allowed = "text" if limits is None else "text or image_url"
            raise ApiError(400, f"the type of a part must be {allowed}, not {part_type!r:.40}", param=part_param)
    return parts


def _check_resizing(part: Mapping[str, object], limits: ImageLimits, param: str) -> None:
    """Reject a pixel budget that is not the served model's: the coordinates of the reply would be of another size."""
    budget = {key: value for key, value in asdict(limits).items() if key in ("min_pixels", "max_pixels")}
    for key in (*budget, *RESIZE_KEYS):
        value = part.get(key)
        if value is not None and value != budget.get(key):
            raise ApiError(
                400,
                f"{key} cannot be set per image: this server resizes images to {limits.min_pixels} to "
                f"{limits.max_pixels} pixels; leave {key} out, and resize the image before sending it",
                param=f"{param}.{key}",
            )


def parse_image(url: object, param: str) -> Screen:
    """Return the image in a data URI, on white where it is transparent; other URLs are never fetched.

    Raises:
        ApiError: The URI or the image is invalid, or the image is too large (400).
    """
    if not isinstance(url, str) or not url.startswith("data:"):
        raise ApiError(
            400, "an image must be a data URI (data:image/png;base64,...); URLs are not fetched", param=param
        )
    head, _, encoded = url.partition(",")
    if not head.endswith(";base64"):
        raise ApiError(400, "the data URI of an image must be in base64", param=param)
    from PIL import Image, UnidentifiedImageError

    formats = ", ".join(IMAGE_FORMATS)
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ApiError(400, f"an image may have {MAX_IMAGE_PIXELS} pixels at most", param=param)
            if image.has_transparency_data:
                opaque = Image.new("RGBA", image.size, "white")
                opaque.alpha_composite(image.convert("RGBA"))
                return Screen(np.asarray(opaque.convert("RGB")))
            return Screen(np.asarray(image.convert("RGB")))
    except UnidentifiedImageError:
        raise ApiError(400, f"an image is of an unknown format; send {formats}", param=param) from None
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ApiError(400, f"an image cannot be read ({str(error)[:80]}); send {formats}", param=param) from None
