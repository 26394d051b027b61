"""Extractor: ask a model for the output of a run, and look at each of its values a second time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from actions import InvalidActionError, Reply, Screen
from agent.extraction.output import Output, OutputField, OutputLeaf, leaves, pointer, replace_leaf
from agent.extraction.output_schema import InvalidOutputError, OutputSchema
from agent.extraction.text_region import enlarged_crop, text_region
from agent.policies.base import Policy, SupportsAnswers
from model.json_file import JsonObject

MAX_SCREENS = 3  # the last different ones of a run
MAX_ATTEMPTS = 2
VALUES_PROMPT = """\
The task was: {goal}
It is finished. The report was: {message}
Read the result from the screenshots, the last of which is the current screen. Reply with one JSON value that fits \
this JSON schema, and nothing else:
{schema}
Use only what the screenshots show. Where the schema permits null, use null for what they do not show."""
RETRY_PROMPT = "\nAn earlier reply was refused, because {problem}"
VALUE_PROMPT = """\
The image is a part of a screenshot. What is the {label} in it? Reply with a JSON object with the key "value" only; \
its value is null if the image does not show it."""
Record = Callable[..., None]  # record(event, **facts)


@runtime_checkable
class AnsweringPolicy(Policy, SupportsAnswers, Protocol):
    """A policy that points and answers questions."""


class Extractor:
    """Reads the output of a run from its last screenshots.

    Args:
        schema: What the output must look like.
        policy: Answers questions about screenshots, and points at what it read.
    """

    def __init__(self, schema: OutputSchema, policy: AnsweringPolicy) -> None:
        self.schema, self.policy = schema, policy

    def extract(self, goal: str, message: str, screens: Sequence[Screen], record: Record) -> Output:
        """Return the output of a run.

        A value that the second look does not confirm is replaced by null where the schema permits it.

        Args:
            goal: The task.
            message: The model's report at the end.
            screens: All screenshots of the run, oldest first.
            record: Records an `extract` event with each reply.

        Raises:
            InvalidOutputError: The answer does not fit the schema, in two attempts.
        """
        chosen = _last_different(screens, MAX_SCREENS)
        value = self._values(goal, message, chosen, record)
        fields = []
        for leaf in leaves(value, self.schema.expanded):
            field = self._look_again(leaf, chosen[::-1], record)
            if field.value is None and leaf.value is not None:
                value = replace_leaf(value, leaf.path, None)
            fields.append(field)
        return Output(value, tuple(fields), self.schema.instance(value))

    def _values(self, goal: str, message: str, screens: Sequence[Screen], record: Record) -> JsonValue:
        prompt = VALUES_PROMPT.format(goal=goal, message=message or "done", schema=json.dumps(self.schema.schema))
        problem = ""
        for _ in range(MAX_ATTEMPTS):
            question = prompt + (RETRY_PROMPT.format(problem=problem) if problem else "")
            reply = self.policy.answer(question, screens, self.schema.schema)
            record("extract", path="", screen=screens[-1], reply=reply)
            try:
                return self.schema.parse(reply.text)
            except InvalidOutputError as error:
                problem = str(error)
        raise InvalidOutputError(f"the output could not be extracted in {MAX_ATTEMPTS} attempts: {problem}")

    def _look_again(self, leaf: OutputLeaf, screens: Sequence[Screen], record: Record) -> OutputField:
        """Return a field whose value was read again in the box that the model points at.

        Args:
            leaf: The value that the model gave.
            screens: Where it may be, the likeliest first.
            record: Records the replies.
        """
        path = pointer(leaf.path)
        if leaf.value is None:
            return OutputField(path, None, None, "", False, "the model gave no value")
        reason, was_read = "", False
        for screen in screens:
            try:
                click = self.policy.locate(_description(leaf), screen)
            except InvalidActionError as error:
                reason = reason or f"the model could not point at it: {error}"
                continue
            box = text_region(screen, click.x, click.y)
            if box is None:
                reason = reason or f"there is no text at ({click.x}, {click.y}), where the model pointed"
                continue
            reply = self.policy.answer(
                VALUE_PROMPT.format(label=leaf.label), (enlarged_crop(screen, box),), _value_schema(leaf)
            )
            record("extract", path=path, screen=screen, box=list(box), reply=reply)
            was_read, second = True, _value_in(reply)
            if _is_same(leaf.value, second):
                return OutputField(path, leaf.value, box, screen.digest, True)
            reason = f"a second look at the box gave {json.dumps(second)} instead of {json.dumps(leaf.value)}"
        value = None if was_read and leaf.is_nullable else leaf.value
        return OutputField(path, value, None, "", False, reason)


def _last_different(screens: Sequence[Screen], count: int) -> list[Screen]:
    """Return the last different screenshots, oldest first."""
    by_digest = {screen.digest: screen for screen in reversed(screens)}
    return list(by_digest.values())[:count][::-1]


def _description(leaf: OutputLeaf) -> str:
    """Return the place of a value in words, for a model that points."""
    if isinstance(leaf.value, bool):
        return f"the place that shows: {leaf.label}"
    return f'the text "{leaf.value}", which is the {leaf.label}'


def _value_schema(leaf: OutputLeaf) -> JsonObject:
    nullable = leaf.schema if leaf.is_nullable else {"anyOf": [leaf.schema, {"type": "null"}]}
    return {"type": "object", "properties": {"value": nullable}, "required": ["value"], "additionalProperties": False}


def _value_in(reply: Reply) -> JsonValue:
    """Return the value of a second look, None where the reply has none."""
    try:
        data = json.loads(reply.text)
    except (ValueError, RecursionError):
        return None
    return data.get("value") if isinstance(data, dict) else None


def _is_same(first: JsonValue, second: JsonValue) -> bool:
    """Return whether two readings agree: texts regardless of case and white space, all else exactly."""
    if isinstance(first, str) and isinstance(second, str):
        return " ".join(first.split()).casefold() == " ".join(second.split()).casefold()
    return isinstance(first, bool) == isinstance(second, bool) and first == second
