"""OutputSchema: what the answer of a run must look like, from a file or a pydantic model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from actions import Error, UsageError
from model.engine.json_grammar import json_grammar
from model.engine.json_schema import expand_schema
from model.json_file import JsonObject

MAX_FILE_BYTES = 1_000_000
CHECKED_FORMATS = ("date", "uuid")  # the others of the grammar need packages of their own to be checked


class InvalidOutputError(Error):
    """A model's answer that does not fit its schema."""


@dataclass(frozen=True)
class OutputSchema:
    """The schema of an answer.

    Args:
        schema: The JSON schema as the user wrote it.
        model: The pydantic model that it belongs to; None for the schema of a file.

    Raises:
        UsageError: Answers cannot be held to the schema.
    """

    schema: JsonObject
    model: type[BaseModel] | None = None

    def __post_init__(self) -> None:
        json_grammar(self.schema)

    @property
    def expanded(self) -> JsonObject:
        """The schema without references; see `model.engine.json_schema.expand_schema`."""
        return expand_schema(self.schema)

    def parse(self, text: str) -> JsonValue:
        """Return the JSON value in a reply.

        Raises:
            InvalidOutputError: The reply is not JSON, or does not fit the schema or the model.
        """
        try:
            value: JsonValue = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidOutputError(f"the answer is not JSON: {str(error)[:200]}") from None
        if problem := schema_problem(value, self.schema):
            raise InvalidOutputError(f"the answer does not fit the schema: {problem}")
        self.instance(value)
        return value

    def instance(self, value: JsonValue) -> BaseModel | JsonValue:
        """Return the instance of the model for a value, the value itself without a model.

        Raises:
            InvalidOutputError: The model does not accept the value.
        """
        if self.model is None:
            return value
        try:
            return self.model.model_validate_json(json.dumps(value))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "/".join(map(str, first["loc"]))
            raise InvalidOutputError(
                f"{self.model.__name__} does not accept the answer: {first['msg']} ({place})"
            ) from None


def schema_problem(value: JsonValue, schema: Mapping[str, object]) -> str:
    """Return why a value does not fit a JSON schema, "" if it does."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(dict(schema), format_checker=FormatChecker(CHECKED_FORMATS))
    error = best_match(validator.iter_errors(value))
    return "" if error is None else f"{error.message[:200]} (#/{'/'.join(map(str, error.path))})"


def load_output_schema(path: str, flag: str = "--output-schema") -> OutputSchema:
    """Return the schema in a file.

    Args:
        path: The file.
        flag: The option that named it, for messages.

    Raises:
        UsageError: The file cannot be read, or answers cannot be held to its schema.
    """
    try:
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{flag} {path} cannot be read ({error}); give a file with a JSON schema") from None
    if not isinstance(schema, dict):
        raise UsageError(f"{flag} {path} is not a JSON object; give a file with a JSON schema")
    try:
        return OutputSchema(schema)
    except UsageError as error:
        raise UsageError(f"{flag} {path} cannot be used: {error}") from None


def output_schema_of(model: type[BaseModel]) -> OutputSchema:
    """Return the schema of a pydantic model.

    Raises:
        UsageError: It is no such model, or answers cannot be held to its schema.
    """
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise UsageError(f"output_model must be a pydantic model, not {model!r}")
    try:
        return OutputSchema(model.model_json_schema(), model)
    except UsageError as error:
        raise UsageError(f"output_model={model.__name__} cannot be used: {error}") from None
