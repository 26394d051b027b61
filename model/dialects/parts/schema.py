"""JSON schemas of arguments, replies and functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]


def object_schema(properties: Schema, required: Iterable[str] | None = None, **others: object) -> Schema:
    """Return the JSON schema of an object; by default all of its properties are required."""
    names = list(properties if required is None else required)
    return {"properties": properties, "required": names, **others, "type": "object"}


def value_schema(description: str, kind: str = "string", **others: object) -> Schema:
    """Return the JSON schema of a value of some type."""
    return {"description": description, **others, "type": kind}


def function_schema(name: str, description: str, parameters: Schema) -> Schema:
    """Return the description of a function for a chat template or an API."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
