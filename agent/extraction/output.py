"""The output of a run: a JSON value, and for each value in it where it was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from agent.extraction.output_schema import schema_problem
from model.json_file import JsonObject

Box = tuple[int, int, int, int]  # left, top, right, bottom in screen pixels; right and bottom are outside
ValuePath = tuple[str | int, ...]


@dataclass(frozen=True)
class OutputLeaf:
    """A value of an output that is not an object or an array.

    Args:
        path: Keys and indices that lead to it.
        value: The value.
        schema: The expanded schema at this place.
    """

    path: ValuePath
    value: str | float | bool | None
    schema: JsonObject

    @property
    def is_nullable(self) -> bool:
        """Whether the schema permits null in its place."""
        return not schema_problem(None, self.schema)

    @property
    def label(self) -> str:
        """The place in words, such as "price of items 2"."""
        names = [str(part + 1) if isinstance(part, int) else part.replace("_", " ") for part in self.path]
        if not names:
            return "value"
        groups = [names[0]]
        for part, name in zip(self.path[1:], names[1:], strict=True):
            if isinstance(part, int):
                groups[-1] += f" {name}"
            else:
                groups.append(name)
        return " of ".join(reversed(groups))


@dataclass(frozen=True)
class OutputField:
    """Where a value of an output was read.

    Args:
        path: Its place as a JSON pointer, "" for the whole output.
        value: The value as it is in the output.
        box: The part of the screenshot that shows it; None where it is unknown.
        screen: The digest of that screenshot, "" without a box.
        is_confirmed: A second look at the box alone gave the same value.
        reason: Why there is no value, no box or no confirmation; "" where there is.
    """

    path: str
    value: str | float | bool | None
    box: Box | None
    screen: str
    is_confirmed: bool
    reason: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the field as JSON data."""
        return {
            "path": self.path,
            "value": self.value,
            "box": None if self.box is None else list(self.box),
            "screen": self.screen,
            "confirmed": self.is_confirmed,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Output:
    """The output of a run.

    Args:
        value: The JSON value, which fits the schema.
        fields: One for each value in it that is not an object or an array.
        instance: The value as an instance of the caller's pydantic model; the value itself without one.
    """

    value: JsonValue
    fields: tuple[OutputField, ...]
    instance: BaseModel | JsonValue

    @property
    def is_confirmed(self) -> bool:
        """Whether a second look confirmed every value but null."""
        return all(field.is_confirmed for field in self.fields if field.value is not None)

    def as_dict(self) -> dict[str, object]:
        """Return the output as JSON data."""
        return {
            "value": self.value,
            "confirmed": self.is_confirmed,
            "fields": [field.as_dict() for field in self.fields],
        }


def pointer(path: ValuePath) -> str:
    """Return a path as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def leaves(value: JsonValue, expanded: JsonObject, path: ValuePath = ()) -> Iterator[OutputLeaf]:
    """Yield the leaves of a value in their order.

    Args:
        value: A value that fits the schema.
        expanded: Its expanded schema.
        path: Where the value is.
    """
    if not isinstance(value, dict | list):
        yield OutputLeaf(path, value, expanded)
        return
    options = expanded.get("anyOf", [expanded])
    schema: JsonObject = next((option for option in options if not schema_problem(value, option)), {})
    if isinstance(value, dict):
        for name, item in value.items():
            child = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or _fixed(item)
            yield from leaves(item, child, (*path, name))
        return
    for index, item in enumerate(value):
        fixed = schema.get("prefixItems", ())
        child = fixed[index] if index < len(fixed) else schema.get("items") or _fixed(item)
        yield from leaves(item, child, (*path, index))


def replace_leaf(value: JsonValue, path: Sequence[str | int], leaf: JsonValue) -> JsonValue:
    """Return a copy of a value with another one at a path."""
    if not path:
        return leaf
    if isinstance(value, dict):
        name = str(path[0])
        return {**value, name: replace_leaf(value[name], path[1:], leaf)}
    if isinstance(value, list):
        index = int(path[0])
        return [*value[:index], replace_leaf(value[index], path[1:], leaf), *value[index + 1 :]]
    raise KeyError(path)


def _fixed(value: JsonValue) -> JsonObject:
    """Return the schema of a value inside a constant."""
    return {"enum": [value]}
