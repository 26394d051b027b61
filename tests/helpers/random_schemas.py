"""Random JSON schemas of the supported keywords."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

PATTERNS = ["^[A-Z]{2}-[0-9]{3,5}$", "^(yes|no)+$", "[0-9]", r"^\d{1,3}(\.\d{2})?$", "^$|^x", "é|ü", r"^\w+ \w+$"]
NAMES = ["name", "price", "in stock", "größe", 'a "quoted" key', "a", "ab", "abc", "items", "next", "x/y", "ключ"]
CONSTANTS = ["open", "closed", "", 'say "hi"', "naïve", 0, -3, 2.5, True, None]


class SchemaGenerator:
    """Draws schemas.

    Args:
        seed: The random seed; equal seeds draw equal schemas.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kinds: list[Callable[[int], dict[str, Any]]] = [
            self._string,
            self._integer,
            self._number,
            lambda depth: {"type": "boolean"},
            lambda depth: {"type": "null"},
            lambda depth: {"enum": self._random.sample(CONSTANTS, self._random.randint(1, 4))},
            lambda depth: {"const": self._random.choice(CONSTANTS)},
            self._object,
            self._array,
            self._union,
            self._optional,
            self._mapping,
            self._reference,
        ]

    def draw(self) -> dict[str, Any]:
        """Return a schema with definitions, one of which refers to itself."""
        self._definitions = {"node": self._node(), "leaf": self._string(0), "pair": self._tuple(0)}
        root = self._random.choice([self._object, self._object, self._object, self._array, self._schema])(3)
        return {"$defs": self._definitions, "title": "Drawn", **root}

    def _schema(self, depth: int) -> dict[str, Any]:
        kinds = self._kinds if depth > 0 else self._kinds[:7]
        schema = self._random.choice(kinds)(depth - 1)
        return {**schema, "description": "drawn"} if "$ref" in schema or self._flip() else schema

    def _flip(self) -> bool:
        return self._random.random() < 0.5

    def _string(self, depth: int) -> dict[str, Any]:
        kind = self._random.randrange(4)
        if kind == 0:
            return {"type": "string", "format": self._random.choice(["date", "time", "date-time", "uuid"])}
        if kind == 1:
            return {"type": "string", "pattern": self._random.choice(PATTERNS)}
        least = self._random.randint(0, 5)
        lengths = {"minLength": least, "maxLength": least + self._random.randint(0, 20)}
        return {"type": "string", **{key: value for key, value in lengths.items() if self._flip()}}

    def _integer(self, depth: int) -> dict[str, Any]:
        least = self._random.randint(-2000, 2000)
        bounds = {
            self._random.choice(["minimum", "exclusiveMinimum"]): least,
            self._random.choice(["maximum", "exclusiveMaximum"]): least + self._random.choice([2, 7, 1000, 10**9]),
        }
        return {"type": "integer", **{key: value for key, value in bounds.items() if self._flip()}}

    def _number(self, depth: int) -> dict[str, Any]:
        least = self._random.choice([0, 0.1, -1.5, 1e-7, -1000, self._random.uniform(-10, 10)])
        bounds = {
            self._random.choice(["minimum", "exclusiveMinimum"]): least,
            self._random.choice(["maximum", "exclusiveMaximum"]): least + self._random.choice([1e-6, 0.9, 1, 1e6]),
        }
        return {"type": "number", **{key: value for key, value in bounds.items() if self._flip()}}

    def _object(self, depth: int) -> dict[str, Any]:
        names = self._random.sample(NAMES, self._random.randint(0, 5))
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: self._schema(depth) for name in names},
            "required": [name for name in names if self._flip()],
        }
        return {**schema, "additionalProperties": False} if self._flip() else schema

    def _mapping(self, depth: int) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self._schema(depth)}

    def _array(self, depth: int) -> dict[str, Any]:
        least = self._random.randint(0, 3)
        lengths = {"minItems": least, "maxItems": least + self._random.randint(0, 3)}
        chosen = {key: value for key, value in lengths.items() if self._flip()}
        return {"type": "array", "items": self._schema(depth), **chosen}

    def _tuple(self, depth: int) -> dict[str, Any]:
        items = [self._schema(depth) for _ in range(self._random.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _union(self, depth: int) -> dict[str, Any]:
        return {"anyOf": [self._schema(depth) for _ in range(self._random.randint(1, 3))]}

    def _optional(self, depth: int) -> dict[str, Any]:
        return {"anyOf": [self._schema(depth), {"type": "null"}]}

    def _reference(self, depth: int) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self._random.choice(['node', 'leaf', 'pair'])}"}

    def _node(self) -> dict[str, Any]:
        again = {"$ref": "#/$defs/node"}
        nested = self._random.choice([{"anyOf": [again, {"type": "null"}]}, {"type": "array", "items": again}])
        return {"type": "object", "properties": {"value": self._string(0), "next": nested}, "required": ["next"]}
