"""A request's JSON -> what is asked of the model. Knows OpenAI's field names and chat messages; runs no model.

What cannot be done is refused by name; nothing that changes the answer is left out in silence.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from actions import Screen
from model.engine.call_grammar import CallGrammar, from_wire
from model.serve.errors import ApiError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN, RESPONSE_CLOSE, RESPONSE_OPEN

MOST_PICTURE_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
ROLES = ("system", "developer", "user", "assistant", "tool")


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StreamOptions(_Open):
    include_usage: bool = False


class Body(BaseModel):
    """A body of /v1/chat/completions. The last block is accepted and changes no answer of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    pixelhand_form: dict[str, Any] | None = None  # ours: words, then a call of this form (model.engine.forms.Form)

    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    parallel_tool_calls: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


@dataclass(frozen=True)
class ChatRequest:
    """What is asked. messages and tools as model.chat takes them; must_call, schema or form: what the reply must be.

    calls: whether <tool_call> in the reply is given back as tool calls; max_new_tokens None: as the checkpoint says.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    calls: bool = False
    must_call: tuple[dict[str, Any], ...] = ()
    schema: dict[str, Any] | None = None
    form: CallGrammar | None = None
    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    usage: bool = False


def parsed(body: bytes) -> Any:
    """A body's JSON. Refused where it is none, or has half a character in a text, which no tokenizer takes."""
    try:
        data = json.loads(body)
        if b"\\ud" in body.lower():
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiError(400, "a text of the body holds half a character (a lone surrogate)") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no JSON ({str(error)[:80]})") from None
    return data


def read(data: Any, name: str) -> ChatRequest:
    """The Talk in a body; Refused, naming the field. name: of the model that is served.

    null is what clients write for "not given", also of fields that would be refused.
    """
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if value is not None or key in Body.model_fields}
    try:
        body = Body.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise ApiError(400, f"{where or 'the body'}: {first['msg'][:200]}", param=where or None) from None
    if body.model != name:
        raise ApiError(
            404, f"no model {body.model[:80]!r} here; it serves '{name}'", param="model", code="model_not_found"
        )
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stop) > 4 or not all(stop):
        raise ApiError(400, "stop must be 1 to 4 texts, none empty", param="stop")
    tools = tuple(_tool(one, n) for n, one in enumerate(body.tools or ()))
    must_call, calls = _choice(body.tool_choice, tools)
    schema = _schema(body.response_format)
    if schema is not None and must_call:
        raise ApiError(400, "response_format and a forced tool_choice exclude each other", param="tool_choice")
    form = _form(body.pixelhand_form)
    if form is not None and (schema is not None or must_call or body.top_p not in (None, 1)):
        raise ApiError(
            400, "pixelhand_form excludes response_format, a forced tool_choice and top_p", param="pixelhand_form"
        )
    return ChatRequest(
        messages=read_messages(body.messages),
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
    )


def _tool(tool: dict[str, Any], n: int) -> dict[str, Any]:
    function = tool.get("function")
    parameters = function.get("parameters") if isinstance(function, dict) else None
    whole = (
        tool.get("type") == "function"
        and isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and (parameters is None or isinstance(parameters, dict))
    )
    if not whole:
        raise ApiError(
            400,
            'a tool must be {"type": "function", "function": {"name": ..., "parameters": {...}}}',
            param=f"tools.{n}",
        )
    return tool


def _choice(choice: Any, tools: tuple[dict[str, Any], ...]) -> tuple[tuple[dict[str, Any], ...], bool]:
    """The tools of which one must be called, and whether calls are read out of the reply."""
    if choice in (None, "auto") or (not tools and choice == "none"):
        return (), bool(tools)
    if choice == "none":
        return (), False
    if choice == "required" and tools:
        return tools, True
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        named = tuple(tool for tool in tools if tool["function"]["name"] == choice["function"].get("name"))
        if named:
            return named, True
    raise ApiError(400, "tool_choice must be auto, none, required, or name one of the tools", param="tool_choice")


def _schema(form: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = "text" if form is None else form.get("type")
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    inner = form.get("json_schema") if kind == "json_schema" else None
    if isinstance(inner, dict) and isinstance(inner.get("schema"), dict):
        return dict(inner["schema"])
    raise ApiError(
        400,
        'response_format must be {"type": "text"}, {"type": "json_object"} or '
        '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}',
        param="response_format",
    )


def _form(given: dict[str, Any] | None) -> CallGrammar | None:
    if given is None:
        return None
    given = from_wire(given)
    try:
        form = TypeAdapter(CallGrammar).validate_python(given, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("pixelhand_form", *first["loc"]))[:80]
        raise ApiError(400, f"{where}: {first['msg'][:200]}", param="pixelhand_form") from None
    unknown = sorted(set(given) - {field.name for field in fields(CallGrammar)})
    if unknown or not form.longest_calls or not form.body:
        what = f"has no {unknown[0][:40]!r}" if unknown else "needs a body and samples"
        raise ApiError(400, f"pixelhand_form {what}", param="pixelhand_form")
    return form


def read_messages(messages: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """OpenAI's messages as model.chat takes them: calls as <tool_call>, results as <tool_response> in a user turn."""
    found: list[dict[str, Any]] = []
    results = False  # whether the last turn is made of results
    for n, message in enumerate(messages):
        role, where = message.get("role"), f"messages.{n}"
        if role not in ROLES:
            raise ApiError(400, f"role must be one of {', '.join(ROLES)}, not {role!r:.40}", param=f"{where}.role")
        parts = _parts(message.get("content"), where, pictures=role in ("user", "tool"))
        if role == "tool":
            parts = [_text(f"{RESPONSE_OPEN}\n"), *parts, _text(f"\n{RESPONSE_CLOSE}")]
            if results:
                found[-1]["content"] += [_text("\n"), *parts]
                continue
            role = "user"
            results = True
        else:
            results = False
        if role == "assistant":
            called = message.get("tool_calls") or ()
            if not isinstance(called, list | tuple):
                raise ApiError(400, "tool_calls must be a list", param=f"{where}.tool_calls")
            for call in called:
                parts.append(_text(("\n" if parts else "") + _call_text(call, where)))
        if not parts:
            raise ApiError(400, "a message must have content", param=f"{where}.content")
        found.append({"role": "system" if role == "developer" else role, "content": parts})
    return tuple(found)


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _call_text(call: Any, where: str) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    try:
        name, arguments = function["name"], json.loads(function["arguments"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ApiError(
            400, "a tool call must have a name, and arguments as JSON", param=f"{where}.tool_calls"
        ) from None
    said = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{CALL_OPEN}\n{said}\n{CALL_CLOSE}"


def _parts(content: Any, where: str, *, pictures: bool) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [_text(content)]
    if not isinstance(content, list):
        raise ApiError(400, "content must be a text or a list of parts", param=f"{where}.content")
    found = []
    for n, part in enumerate(content):
        param = f"{where}.content.{n}"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            found.append(_text(part["text"]))
        elif kind == "image_url" and pictures:
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, dict) else url
            found.append({"type": "image", "image": picture(url, param)})
        else:
            known = "text and image_url" if pictures else "text"
            raise ApiError(400, f"a part here must be {known}, not {kind!r:.40}", param=param)
    return found


def picture(url: Any, param: str) -> Screen:
    """A data URI as a Screen; what is transparent is shown on white. No address is ever fetched."""
    if not isinstance(url, str) or not url.startswith("data:"):
        raise ApiError(
            400, "a picture must be a data URI (data:image/png;base64,...); addresses are not fetched", param=param
        )
    head, _, encoded = url.partition(",")
    if not head.endswith(";base64"):
        raise ApiError(400, "a picture's data URI must be in base64", param=param)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=FORMATS) as image:
            if image.width * image.height > MOST_PICTURE_PIXELS:
                raise ApiError(400, f"a picture may have {MOST_PICTURE_PIXELS} pixels at most", param=param)
            if image.has_transparency_data:
                shown = Image.new("RGBA", image.size, "white")
                shown.alpha_composite(image.convert("RGBA"))
                return Screen(np.asarray(shown.convert("RGB")))
            return Screen(np.asarray(image.convert("RGB")))
    except UnidentifiedImageError:
        raise ApiError(400, f"a picture cannot be read (it is none); send {', '.join(FORMATS)}", param=param) from None
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ApiError(
            400, f"a picture cannot be read ({str(error)[:80]}); send {', '.join(FORMATS)}", param=param
        ) from None
