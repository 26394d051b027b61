"""JSON schemas that cannot be enforced are rejected with status 400."""

from __future__ import annotations

from typing import Any

import pytest


def nested_schema(depth: int) -> dict[str, Any]:
    """Return a schema of nested objects."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


SCHEMAS: dict[str, dict[str, Any]] = {
    "deep": nested_schema(64),
    "deeper than Python's recursion": nested_schema(300),
    "reference loop": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "reference to itself": {"$ref": "#"},
    "reference elsewhere": {"$ref": "http://127.0.0.1:1/schema"},
    "product of alternatives": {
        "allOf": [{"anyOf": [{"properties": {f"k{i}{j}": {"type": "string"}}} for i in range(8)]} for j in range(8)]
    },
    "division by zero": {"type": "integer", "multipleOf": 0},
}


def post_schema(embedded: Any, schema: dict[str, Any], **fields: Any) -> Any:
    """Send a request whose reply must fit a schema."""
    body = {
        "model": "embedded",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 4,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        **fields,
    }
    return embedded.request("POST", "/v1/chat/completions", json=body)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_that_cannot_be_enforced_returns_400(embedded: Any, name: str) -> None:
    response = post_schema(embedded, SCHEMAS[name])
    assert response.status_code == 400, response.text
    assert "cannot be enforced" in response.json()["error"]["message"]
    assert response.json()["error"]["code"] == "bad_schema"


@pytest.mark.parametrize("name", SCHEMAS)
def test_tool_parameters_beyond_limits_return_400(embedded: Any, name: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMAS[name]}}
    body = {
        "model": "embedded",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 4,
        "tools": [tool],
        "tool_choice": "required",
    }
    response = embedded.request("POST", "/v1/chat/completions", json=body)
    assert response.status_code in (200, 400), response.text


def test_wide_schema_is_enforced(embedded: Any) -> None:
    schema = {"anyOf": [{"const": f"value {index}"} for index in range(2000)]}
    response = post_schema(embedded, schema, max_tokens=20)
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"].startswith('"value ')
