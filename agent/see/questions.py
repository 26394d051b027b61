"""Ask a model for a list of items about an image, and validate its reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from actions import Error, InvalidActionError, Reply, Screen, UsageError
from agent.extraction.extractor import RETRY_PROMPT
from agent.extraction.output_schema import schema_problem
from agent.policies.base import HasDialect, Policy, SupportsAnswers
from agent.policies.local import LocalPolicy
from agent.see.coordinates import AnswerSpace, answer_space
from agent.see.results import Item, Perceived
from model.dialects.parts.dialect import BaseDialect
from model.dialects.parts.point import PointDialect
from model.engine.json_grammar import ANSWER_ROOM
from model.json_file import JsonObject

ANSWERING_MODELS = "Qwen/Qwen2.5-VL-7B-Instruct or Qwen/Qwen3-VL-8B-Instruct"
MAX_ATTEMPTS = 2
MAX_ITEMS = 500
MAX_LABEL_CHARS = 200
LIST_PROMPT = """\
{question}
Reply with a JSON list and nothing else; the list is empty if the image shows none. Each item is an object like \
{form}, with coordinates {unit}."""
_FENCE = re.compile(r"\A\s*```\w*\s*\n(.*?)(?:\n```.*)?\Z", re.DOTALL)


class InvalidAnswerError(Error):
    """A model's reply that is not a list of items."""


@runtime_checkable
class ImageAnswerPolicy(Policy, SupportsAnswers, HasDialect, Protocol):
    """A policy that answers questions in the coordinate space of its dialect."""


@dataclass(frozen=True)
class AnswerItems:
    """The items of a reply.

    Args:
        items: Objects, in their order.
        is_complete: Whether the list ended.
        rejected: Why items were left out.
    """

    items: tuple[JsonObject, ...]
    is_complete: bool = True
    rejected: tuple[str, ...] = ()


def can_answer(policy: Policy) -> bool:
    """Return whether a policy's model answers questions, and does not only act or point."""
    if not isinstance(policy, ImageAnswerPolicy) or _is_pointing_only(policy.dialect):
        return False
    return not isinstance(policy, LocalPolicy) or policy.chat.settings.answers_questions


def require_answers(policy: Policy, purpose: str) -> ImageAnswerPolicy:
    """Return a policy that answers questions.

    Args:
        policy: The policy.
        purpose: What it is needed for, such as "list elements".

    Raises:
        UsageError: Its model answers no questions.
    """
    if can_answer(policy):
        return cast(ImageAnswerPolicy, policy)
    raise UsageError(
        f"{policy.metadata.get('model', 'the model')} cannot {purpose}: it was trained to act and to point alone; "
        f"use a model such as {ANSWERING_MODELS}"
    )


def ask_items(
    policy: ImageAnswerPolicy,
    screen: Screen,
    question: str,
    properties: Callable[[AnswerSpace], Mapping[str, JsonObject]],
    convert: Callable[[AnswerSpace, JsonObject], Item],
) -> Perceived[Item]:
    """Return what a model found in an image.

    Args:
        policy: The policy that is asked.
        screen: The image.
        question: What to list.
        properties: Returns the JSON schemas of an item's keys, all of them required.
        convert: Returns the result for an item that fits them, or raises InvalidActionError.

    Raises:
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        UsageError: The server rejects the request.
        SurfaceError: The server is unreachable.
    """
    dialect = policy.dialect
    assert isinstance(dialect, BaseDialect)  # as can_answer has checked
    space = answer_space(dialect, screen)
    item_schema = _object_schema(properties(space))
    form = {key: _example(value) for key, value in item_schema["properties"].items()}
    prompt = LIST_PROMPT.format(question=question, form=json.dumps(form), unit=space.unit)
    schema = {"type": "array", "items": item_schema, "maxItems": MAX_ITEMS}
    reply, answer = _ask(policy, screen, prompt, schema)
    results: list[Item] = []
    rejected = list(answer.rejected)
    for number, item in enumerate(answer.items[:MAX_ITEMS], 1):
        try:
            if problem := schema_problem(item, _text_schema(item_schema)):
                raise InvalidActionError(problem)
            results.append(convert(space, item))
        except InvalidActionError as error:
            rejected.append(f"item {number}: {error}")
    is_cut = isinstance(policy, LocalPolicy) and reply.reply_tokens >= ANSWER_ROOM
    return Perceived(
        tuple(results),
        (screen.width, screen.height),
        str(policy.metadata["model"]),
        answer.is_complete and not is_cut and len(answer.items) <= MAX_ITEMS,
        tuple(rejected),
    )


def parse_items(text: str) -> AnswerItems:
    """Return the objects of a reply: a JSON list, with or without a fence, whole or cut off.

    Raises:
        InvalidAnswerError: The reply is no list of objects.
    """
    match = _FENCE.match(text)
    body = (match[1] if match else text).strip()
    try:
        value, is_complete = json.loads(body), True
    except (ValueError, RecursionError) as error:
        value, is_complete = _leading_items(body), False
        if not value:
            raise InvalidAnswerError(f"the answer is not JSON: {str(error)[:200]}") from None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and all(isinstance(i, dict) for i in item)]
        value = lists[0] if len(value) == len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise InvalidAnswerError(f"the answer is not a list: {body[:80]!r}")
    items = tuple(item for item in value if isinstance(item, dict))
    if value and not items:
        raise InvalidAnswerError("the answer is a list without objects")
    others = len(value) - len(items)
    return AnswerItems(items, is_complete, (f"{others} items are no objects",) if others else ())


def clean_text(text: object) -> str:
    """Return a text of a reply in valid Unicode, with white space collapsed."""
    return " ".join(str(text).encode("utf-8", "replace").decode("utf-8").split())


def label_schema() -> JsonObject:
    """Return the JSON schema of a label."""
    return {"type": "string", "maxLength": MAX_LABEL_CHARS}


def _ask(
    policy: ImageAnswerPolicy, screen: Screen, prompt: str, schema: Mapping[str, object]
) -> tuple[Reply, AnswerItems]:
    problem = ""
    for _ in range(MAX_ATTEMPTS):
        question = prompt + (RETRY_PROMPT.format(problem=problem) if problem else "")
        reply = policy.answer(question, (screen,), schema)
        try:
            return reply, parse_items(reply.text)
        except InvalidAnswerError as error:
            problem = str(error)
    raise InvalidAnswerError(f"the model gave no list in {MAX_ATTEMPTS} attempts: {problem}")


def _leading_items(text: str) -> list[object]:
    """Return the complete objects at the start of a list that is cut off."""
    decoder, items = json.JSONDecoder(), list[object]()
    at = text.find("[") + 1
    while at and (match := re.compile(r"[\s,]*(?=\{)").match(text, at)):
        try:
            item, at = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            break
        items.append(item)
    return items


def _object_schema(properties: Mapping[str, JsonObject]) -> JsonObject:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _text_schema(item_schema: JsonObject) -> JsonObject:
    """Return the schema that an item of a reply must fit before its coordinates are read; longer texts are kept."""
    properties: Iterable[tuple[str, JsonObject]] = item_schema["properties"].items()
    texts = {
        key: {name: part for name, part in value.items() if name != "maxLength"}
        for key, value in properties
        if value["type"] == "string"
    }
    return {**_object_schema(texts), "additionalProperties": True}


def _example(schema: JsonObject) -> object:
    """Return a value that shows the form of a key."""
    if schema["type"] == "array":
        return [f"{axis}{corner}" for corner in (1, 2)[: len(schema["prefixItems"]) // 2] for axis in "xy"]
    return " | ".join(schema["enum"]) if "enum" in schema else "..."


def _is_pointing_only(dialect: object) -> bool:
    if isinstance(dialect, PointDialect):
        return dialect.tool == dialect.POINT_TOOL
    return not isinstance(dialect, BaseDialect)
