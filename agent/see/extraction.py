"""Read the values of a schema from an image, each confirmed by a second look at its own box."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from actions import Screen, UsageError
from agent.extraction.extractor import Extractor
from agent.extraction.output import Output
from agent.extraction.output_schema import OutputSchema, load_output_schema, output_schema_of
from agent.policies.base import Policy
from agent.see.questions import require_answers

GOAL = "read the values from the image"


def extract(screen: Screen, schema: OutputSchema | type[BaseModel], policy: Policy) -> Output:
    """Read the values of a schema from an image.

    Args:
        screen: The image.
        schema: What to read: a schema, or a pydantic model.
        policy: A policy whose model answers questions and points.

    Returns:
        The values; `fields` has the box of each. A value that a second look at its box does not confirm is None where
        the schema permits null, with the reason in its field; else `is_confirmed` is False.

    Raises:
        UsageError: The model answers no questions, or answers cannot be held to the schema.
        InvalidOutputError: The answer does not fit the schema, in two attempts.
        SurfaceError: The server is unreachable.
    """
    target = schema if isinstance(schema, OutputSchema) else output_schema_of(schema)
    answering = require_answers(policy, "extract values")
    return Extractor(target, answering).extract(GOAL, "", (screen,), _discard)


def load_schema(name: str) -> OutputSchema:
    """Return the schema that --schema names.

    Args:
        name: A file with a JSON schema, or a pydantic model as MODULE:CLASS; modules of the current folder count.

    Raises:
        UsageError: It cannot be loaded, or answers cannot be held to it.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon or Path(name).is_file() or not class_name.isidentifier():
        return load_output_schema(name, flag="--schema")
    sys.path.insert(0, str(Path.cwd()))
    try:
        model = getattr(import_module(module_name), class_name)
    except Exception as error:  # importing a user's module can raise anything
        raise UsageError(
            f"--schema {name} cannot be imported ({type(error).__name__}: {error}); give a file with a JSON schema, "
            "or a pydantic model as MODULE:CLASS"
        ) from None
    finally:
        sys.path.remove(str(Path.cwd()))
    return output_schema_of(model)


def _discard(event: str, **facts: object) -> None:
    """Drop an event: there is no trace."""
