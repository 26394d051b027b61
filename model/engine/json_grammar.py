"""Compile a JSON schema into a grammar, so that every complete answer validates against the schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import llguidance

from actions import UsageError
from model.engine.call_grammar import CallGrammar
from model.engine.json_schema import expand_schema
from model.engine.number_regex import number_range_regex
from model.json_file import JsonObject

ANSWER_ROOM = 1024  # tokens of an answer before it is closed
MARGIN = 16  # as in model.engine.grammar, which imports torch
CLOSING_STRINGS = ('"', "]", "}", ",", "\n", "n")  # the last one begins null


def json_grammar(schema: Mapping[str, object]) -> CallGrammar:
    """Return the grammar of a reply that is one JSON value, followed by a line break.

    Args:
        schema: A JSON schema; see `model.engine.json_schema.expand_schema` for its limits.

    Raises:
        UsageError: The schema is invalid or unsatisfiable, or cannot be enforced.
    """
    expanded = expand_schema(schema)
    body = _LarkRules().render(expanded)
    matcher = llguidance.LLMatcher
    if problem := matcher.validate_grammar(matcher.grammar_from_lark(f'start: call "\\n"\n{body}')):
        reason = " ".join(problem.rpartition("JSON schema: ")[2].partition("1 | ")[0].split())
        raise UsageError(f"the schema cannot be enforced: {reason[:200]}")
    return CallGrammar(
        open="",
        close="\n",
        body=body,
        longest_calls=("0," * math.ceil(closing_length(expanded) / 2),),  # no tokenizer joins a digit and a comma
        closing_strings=CLOSING_STRINGS,
        open_when_short=True,
    )


def answer_tokens(schema: Mapping[str, object]) -> int:
    """Return a token limit within which every answer can be completed, with room for its texts and lists."""
    return closing_length(expand_schema(schema)) + MARGIN + ANSWER_ROOM


def closing_length(expanded: JsonObject) -> int:
    """Return the characters that suffice to complete an answer from any place in it, texts empty and lists short.

    Args:
        expanded: A schema as `expand_schema` returns it.
    """
    return _minimal_length(expanded) + max((closing_length(child) for child in _children(expanded)), default=0)


class _LarkRules:
    """The Lark rules of one expanded schema; equal schemas have one rule."""

    def __init__(self) -> None:
        self._rules: list[str] = []
        self._names: dict[str, str] = {}  # by schema

    def render(self, expanded: JsonObject) -> str:
        """Return the rules, the first of which is named `call`."""
        root = self._value(expanded)
        return "\n".join([f"call: {root}", *self._rules])

    def _value(self, expanded: JsonObject) -> str:
        """Return the name of the rule for the values of a schema."""
        key = json.dumps(expanded)
        if key not in self._names:
            self._names[key] = self._add(self._body(expanded))
        return self._names[key]

    def _add(self, body: str) -> str:
        name = f"v{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name

    def _body(self, expanded: JsonObject) -> str:
        options = expanded.get("anyOf")
        if options:
            return " | ".join(self._value(option) for option in options)
        kind = expanded.get("type")
        if kind == "object":
            return self._object(expanded)
        if kind == "array":
            return self._array(expanded)
        if kind in ("integer", "number"):
            return f"/{number_range_regex(expanded['minimum'], expanded['maximum'], expanded['x-places'])}/"
        if kind == "boolean":
            return '"true" | "false"'
        if "enum" in expanded:
            return " | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in expanded["enum"])
        return '"null"' if kind == "null" else f"%json {json.dumps(expanded)}"

    def _object(self, expanded: JsonObject) -> str:
        others = expanded["additionalProperties"]
        if others:
            pair = self._add(f'{self._value({"type": "string"})} ": " {self._value(others)}')
            return f'"{{" ({pair} (", " {pair})*)? "}}"'
        following, leading = '"}"', '"}"'  # what may come behind a property, and in place of the first one
        for name, value in reversed(expanded["properties"].items()):
            pair = f"{_literal(json.dumps(name, ensure_ascii=False) + ': ')} {self._value(value)}"
            first, later = f"{pair} {following}", f'", " {pair} {following}'
            if name not in expanded["required"]:
                first, later = f"{first} | {leading}", f"{later} | {following}"
            leading, following = self._add(first), self._add(later)
        return f'"{{" {leading}'

    def _array(self, expanded: JsonObject) -> str:
        if "prefixItems" in expanded:
            return '"[" ' + ' ", " '.join(self._value(item) for item in expanded["prefixItems"]) + ' "]"'
        item, least, most = self._value(expanded["items"]), expanded["minItems"], expanded["maxItems"]
        more = f'{item} (", " {item}){{{max(0, least - 1)},{most - 1}}}' if most > 1 else item
        return f'"[" {more} "]"' if least else f'"[" ({more})? "]"'


def _literal(text: str) -> str:
    """Return a text as Lark writes it."""
    return json.dumps(text, ensure_ascii=False)


def _children(expanded: JsonObject) -> list[JsonObject]:
    children: list[JsonObject] = [*expanded.get("properties", {}).values(), *expanded.get("anyOf", ())]
    children += expanded.get("prefixItems", ())
    return children + [expanded[key] for key in ("items", "additionalProperties") if expanded.get(key)]


def _minimal_length(expanded: JsonObject) -> int:
    """Return the characters of a value whose texts and lists are closed at the first opportunity."""
    options = expanded.get("anyOf")
    if options:
        return max(_minimal_length(option) for option in options)
    if "enum" in expanded:
        return max(len(json.dumps(value).encode()) for value in expanded["enum"])
    kind = expanded["type"]
    if kind == "object":
        pairs = expanded["properties"].items()
        length = 2 + sum(len(json.dumps(name)) + 4 + _minimal_length(value) for name, value in pairs)
        others = expanded["additionalProperties"]
        return length + (8 + _minimal_length(others) if others else 0)
    if kind == "array":
        fixed = expanded.get("prefixItems")
        if fixed is not None:
            return 2 + sum(2 + _minimal_length(item) for item in fixed)
        return 2 + max(1, expanded["minItems"]) * (2 + _minimal_length(expanded["items"]))
    if kind == "string":
        return 2 + int(expanded["maxLength"] if "pattern" in expanded else expanded["minLength"])
    if kind in ("integer", "number"):
        return 2 + expanded["x-places"] + max(len(str(int(expanded["minimum"]))), len(str(int(expanded["maximum"]))))
    return len("false")
