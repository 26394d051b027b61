"""Expand a JSON schema, such as pydantic's `model_json_schema()` returns, into the form that a grammar enforces.

References are written out, and ranges and lengths are made finite. A keyword that could not be enforced is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from actions import UsageError
from model.engine.number_regex import decimal_places, has_number
from model.json_file import JsonObject

MAX_RECURSION = 4  # how often a reference may contain itself
MAX_NODES = 4000  # schemas inside the expanded schema
MAX_LENGTH = 1000  # characters of a string without maxLength
MAX_PATTERN_LENGTH = 100  # characters of a string with a pattern and without maxLength
MAX_ITEMS = 100  # items of an array without maxItems
LARGEST_NUMBER = 10**15  # bound of numbers without one: floats represent all integers up to here

ANNOTATIONS = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "default",
        "deprecated",
        "description",
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
        "x-places",
    }
)
KEYWORDS = {  # by type
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_YEAR = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = (
    r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"  # 0000 is no year of a calendar
)
_DAY = r"((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_DATE = rf"({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
FORMATS = {  # patterns of the formats that can be enforced exactly
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}
_TYPE_CHECKS: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def expand_schema(schema: Mapping[str, object]) -> JsonObject:
    """Return an equivalent or stricter schema without references, in the keywords that the grammar enforces.

    The result is a JSON schema again, in which "x-places" are the decimal places of a number. A reference may contain
    itself `MAX_RECURSION` times; strings, arrays and numbers without a limit get the limits of
    this module, and objects without `additionalProperties` have no others.

    Args:
        schema: A JSON schema.

    Raises:
        UsageError: The schema is invalid, unsatisfiable or too large, or has a keyword that is not supported.
    """
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise UsageError(f"the schema is not a JSON schema: {error.message[:200]} ({_place(error.path)})") from None
    try:
        expanded = _Expansion(schema).expand(schema, (), {})
    except RecursionError:
        raise UsageError("the schema is nested too deeply; flatten it") from None
    if expanded is None:
        raise UsageError("the schema fits no finite value: it requires a value that contains itself")
    return expanded


class _Expansion:
    """The expansion of one schema.

    Args:
        root: The whole schema, in which references are looked up.
    """

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._count = 0

    def expand(self, schema: object, path: tuple[str, ...], depths: Mapping[str, int]) -> dict[str, Any] | None:
        """Return a schema expanded; None where only a longer recursion could satisfy it.

        Args:
            schema: A schema inside the root.
            path: Its place in the expanded schema.
            depths: How often each reference contains the place.
        """
        self._count += 1
        if self._count > MAX_NODES:
            raise UsageError(f"the schema has more than {MAX_NODES} parts with its references written out; simplify it")
        if not isinstance(schema, Mapping):
            raise UsageError(f"{_place(path)} is {json.dumps(schema)}, which describes no value; give it a type")
        keys = schema.keys() - ANNOTATIONS - {"$defs", "definitions"}
        for combination, expand in (("$ref", self._reference), ("anyOf", self._union), ("oneOf", self._union)):
            if combination in keys:
                _refuse_others(keys, frozenset({combination}), f"beside {combination}", path)
                return expand(schema, path, depths)
        if "allOf" in keys:
            return self._intersection(schema, keys, path, depths)
        if "enum" in keys or "const" in keys:
            return _enumeration(schema, keys, path)
        kind = schema.get("type") or ("object" if "properties" in keys else "array" if "items" in keys else None)
        if kind is None:
            unknown = sorted(keys - frozenset().union(*KEYWORDS.values()))
            if unknown:
                raise _unsupported(unknown[0], "", path)
            raise UsageError(f"{_place(path)} has no type; give it one, so that its values can be held to it")
        if isinstance(kind, list):
            return self._types(schema, kind, keys, path, depths)
        _refuse_others(keys - {"type"}, KEYWORDS[kind], f"of type {kind}", path)
        if kind == "object":
            return self._object(schema, path, depths)
        if kind == "array":
            return self._array(schema, path, depths)
        if kind == "string":
            return _string(schema, path)
        return _number(schema, kind, path) if kind in ("integer", "number") else {"type": kind}

    def _reference(
        self, schema: Mapping[str, Any], path: tuple[str, ...], depths: Mapping[str, int]
    ) -> dict[str, Any] | None:
        name = str(schema["$ref"])
        if depths.get(name, 0) > MAX_RECURSION:
            return None
        target: object = self._root
        if name != "#":
            if not name.startswith("#/"):
                raise UsageError(f"'$ref' at {_place(path)} leaves the schema: {name}; write its target into $defs")
            for part in name[2:].split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, Mapping) or key not in target:
                    raise UsageError(f"'$ref' at {_place(path)} has no target: {name}")
                target = target[key]
        return self.expand(target, path, {**depths, name: depths.get(name, 0) + 1})

    def _union(
        self, schema: Mapping[str, Any], path: tuple[str, ...], depths: Mapping[str, int]
    ) -> dict[str, Any] | None:
        name = "anyOf" if "anyOf" in schema else "oneOf"
        expanded = [self.expand(option, (*path, name, str(n)), depths) for n, option in enumerate(schema[name])]
        possible = [option for option in expanded if option is not None]
        if name == "oneOf" and not all(_are_disjoint(*pair) for pair in combinations(possible, 2)):
            raise UsageError(
                f"'oneOf' at {_place(path)} is not supported, as a value could fit two of its schemas; "
                "require a property with another constant in each, or use anyOf"
            )
        return {"anyOf": possible} if len(possible) > 1 else possible[0] if possible else None

    def _intersection(
        self, schema: Mapping[str, Any], keys: set[str], path: tuple[str, ...], depths: Mapping[str, int]
    ) -> dict[str, Any] | None:
        _refuse_others(keys, frozenset({"allOf"}), "beside allOf", path)
        if len(schema["allOf"]) != 1:
            raise UsageError(f"'allOf' at {_place(path)} is not supported with several schemas; merge them into one")
        return self.expand(schema["allOf"][0], path, depths)

    def _types(
        self,
        schema: Mapping[str, Any],
        kinds: Sequence[str],
        keys: set[str],
        path: tuple[str, ...],
        depths: Mapping[str, int],
    ) -> dict[str, Any] | None:
        allowed = frozenset().union(*(KEYWORDS[kind] for kind in kinds))
        _refuse_others(keys - {"type"}, allowed, f"of type {', '.join(kinds)}", path)
        options = []
        for kind in kinds:
            if kind == "integer" and "number" in kinds:
                continue
            own = {key: schema[key] for key in keys & KEYWORDS[kind]}
            options.append(self.expand({"type": kind, **own}, path, depths))
        possible = [option for option in options if option is not None]
        return {"anyOf": possible} if len(possible) > 1 else possible[0] if possible else None

    def _object(
        self, schema: Mapping[str, Any], path: tuple[str, ...], depths: Mapping[str, int]
    ) -> dict[str, Any] | None:
        if not {"properties", "additionalProperties"} & schema.keys():
            raise UsageError(f"{_place(path)} is an object without properties; describe them, or additionalProperties")
        declared, required = schema.get("properties", {}), list(schema.get("required", ()))
        if missing := [name for name in required if name not in declared]:
            raise UsageError(f"'{missing[0]}' is required at {_place(path)} but not among the properties; describe it")
        properties: dict[str, Any] = {}
        for name, value in declared.items():
            expanded = self.expand(value, (*path, "properties", name), depths)
            if expanded is not None:
                properties[name] = expanded
            elif name in required:
                return None
        result: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        others = schema.get("additionalProperties", False)
        if others is True:
            raise UsageError(
                f"'additionalProperties' at {_place(path)} is true, so any value would fit; give it a schema, or false"
            )
        if declared and others:
            raise UsageError(
                f"'additionalProperties' at {_place(path)} is not supported beside 'properties': "
                "names could repeat; set it to false, or describe every property"
            )
        extra = self.expand(others, (*path, "additionalProperties"), depths) if others else None
        return {**result, "additionalProperties": False if extra is None else extra}

    def _array(
        self, schema: Mapping[str, Any], path: tuple[str, ...], depths: Mapping[str, int]
    ) -> dict[str, Any] | None:
        least, most = schema.get("minItems", 0), schema.get("maxItems", max(MAX_ITEMS, schema.get("minItems", 0)))
        if least > most:
            raise UsageError(f"'minItems' at {_place(path)} is larger than 'maxItems'")
        if "prefixItems" in schema:
            return self._tuple(schema, path, depths, least, schema.get("maxItems"))
        if "items" not in schema:
            raise UsageError(f"{_place(path)} has no items; describe them, so that they can be held to a schema")
        items = self.expand(schema["items"], (*path, "items"), depths) if most else None
        if items is None:
            return None if least else {"enum": [[]]}
        return {"type": "array", "items": items, "minItems": least, "maxItems": most}

    def _tuple(
        self,
        schema: Mapping[str, Any],
        path: tuple[str, ...],
        depths: Mapping[str, int],
        least: int,
        most: int | None,
    ) -> dict[str, Any] | None:
        size = len(schema["prefixItems"])
        if not least == most == size or schema.get("items", False) is not False:
            raise UsageError(
                f"'prefixItems' at {_place(path)} is supported for a fixed number of items only; "
                f"set minItems and maxItems to {size}"
            )
        items = [
            self.expand(item, (*path, "prefixItems", str(n)), depths) for n, item in enumerate(schema["prefixItems"])
        ]
        if None in items:
            return None
        return {"type": "array", "prefixItems": items, "items": False, "minItems": size, "maxItems": size}


def _are_disjoint(first: JsonObject, second: JsonObject) -> bool:
    """Return whether no value fits both of two expanded schemas; False where this is not obvious."""
    kinds = {first.get("type"), second.get("type")}
    if len(kinds) == 2 and None not in kinds:
        return kinds != {"integer", "number"}
    if kinds != {"object"}:
        return False
    for name in set(first["required"]) & set(second["required"]):
        options = [expanded["properties"][name].get("enum") for expanded in (first, second)]
        if None not in options and not any(value in options[1] for value in options[0]):
            return True
    return False


def _enumeration(schema: Mapping[str, Any], keys: set[str], path: tuple[str, ...]) -> dict[str, Any]:
    name = "const" if "const" in keys else "enum"
    _refuse_others(keys, frozenset({name, "type"}), f"beside {name}", path)
    values = [schema["const"]] if name == "const" else schema["enum"]
    kinds = schema.get("type", [])
    checks = [_TYPE_CHECKS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    fitting = [value for value in values if not checks or any(check(value) for check in checks)]
    if not fitting:
        raise UsageError(f"'{name}' at {_place(path)} has no value of type {kinds}")
    return {"enum": fitting}


def _string(schema: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    least, pattern = schema.get("minLength", 0), schema.get("pattern")
    if "format" in schema:
        name = schema["format"]
        if name not in FORMATS:
            raise UsageError(
                f"'format' at {_place(path)} is {name}, which is not supported; the formats are: {', '.join(FORMATS)}"
            )
        if pattern is not None:
            raise UsageError(f"'format' at {_place(path)} is not supported beside 'pattern'; remove one of them")
        pattern = FORMATS[name]
    most = schema.get("maxLength", max(MAX_LENGTH if pattern is None else MAX_PATTERN_LENGTH, least))
    if least > most:
        raise UsageError(f"'minLength' at {_place(path)} is larger than 'maxLength'")
    result = {"type": "string", "minLength": least, "maxLength": most}
    return result if pattern is None else {**result, "pattern": pattern}


def _number(schema: Mapping[str, Any], kind: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Return a number with inclusive bounds, between which a decimal is rounded to a float between them."""
    least: float = schema.get("minimum", -LARGEST_NUMBER)
    most: float = schema.get("maximum", LARGEST_NUMBER)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if kind == "integer":
        least, most = math.ceil(least), math.floor(most)
        least = least if above is None else max(least, math.floor(above) + 1)
        most = most if below is None else min(most, math.ceil(below) - 1)
    else:
        least = least if above is None else max(least, math.nextafter(above, math.inf))
        most = most if below is None else min(most, math.nextafter(below, -math.inf))
    bounds = [schema[key] for key in KEYWORDS[kind] & schema.keys()]
    places = 0 if kind == "integer" else schema.get("x-places", decimal_places(bounds))
    if not has_number(least, most, places):
        raise UsageError(
            f"no {kind} with at most {places} decimal places is within the bounds at {_place(path)} "
            f"(without a bound: {-LARGEST_NUMBER} to {LARGEST_NUMBER})"
        )
    return {"type": kind, "minimum": least, "maximum": most, "x-places": places}


def _refuse_others(keys: set[str], allowed: frozenset[str], context: str, path: tuple[str, ...]) -> None:
    """Raise UsageError for a keyword that is not allowed in its context."""
    if others := sorted(keys - allowed):
        raise _unsupported(others[0], context, path)


def _unsupported(keyword: str, context: str, path: tuple[str, ...]) -> UsageError:
    return UsageError(
        f"'{keyword}' at {_place(path)} is not supported{' ' if context else ''}{context}: "
        "answers could not be held to it; remove it"
    )


def _place(path: Sequence[object]) -> str:
    return "/".join(("#", *(str(part) for part in path)))
