"""Requests with pixelhand_form: the reply has a complete call, whatever the model prefers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import httpx
import numpy as np
import pytest

from actions import ACTION_TYPES, InvalidActionError, Screen
from model.dialects.qwen25 import Dialect
from model.engine.call_grammar import WIRE_NAMES, CallGrammar

BODY: dict[str, Any] = {
    "model": "embedded",
    "messages": [{"role": "user", "content": "Tell me a story."}],
    "max_tokens": 80,
}
SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))


def post(embedded: Any, **fields: Any) -> httpx.Response:
    """Send a request with more fields."""
    response: httpx.Response = embedded.request("POST", "/v1/chat/completions", json={**BODY, **fields})
    return response


def reply_text(response: httpx.Response) -> str:
    """Return the text of a reply."""
    return str(response.json()["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def grammar(embedded: Any) -> dict[str, Any]:
    """Return the call grammar of the embedded model's dialect as JSON."""
    grammar = Dialect(embedded.chat.limits).grammar(frozenset(ACTION_TYPES), SCREEN)
    assert grammar is not None
    return asdict(grammar)


@pytest.mark.parametrize(("seed", "temperature"), [(0, 0.0), (1, 1.0), (2, 2.0)])
def test_reply_is_valid_call_at_any_temperature(
    embedded: Any, grammar: dict[str, Any], seed: int, temperature: float
) -> None:
    response = post(embedded, pixelhand_form=grammar, seed=seed, temperature=temperature)
    dialect = Dialect(embedded.chat.limits)
    dialect.to_action(dialect.parse(reply_text(response)), SCREEN)  # raises for a malformed call
    assert response.json()["choices"][0]["finish_reason"] == "stop"


def test_reply_without_grammar_is_no_call(embedded: Any) -> None:
    text = reply_text(post(embedded, seed=2, temperature=2.0))
    with pytest.raises(InvalidActionError):
        Dialect(embedded.chat.limits).parse(text)


def test_server_reply_equals_in_process_reply(embedded: Any, grammar: dict[str, Any]) -> None:
    text = reply_text(post(embedded, pixelhand_form=grammar))
    form = CallGrammar(**{**grammar, "longest_calls": tuple(grammar["longest_calls"])})
    assert text == embedded.chat.reply(BODY["messages"], max_new_tokens=80, form=form).text


def test_old_grammar_keys_are_accepted(embedded: Any, grammar: dict[str, Any]) -> None:
    old_form = {WIRE_NAMES.get(key, key): value for key, value in grammar.items()}
    assert {"samples", "closers", "roomy"} <= set(old_form)
    response = post(embedded, pixelhand_form=old_form)
    assert reply_text(response) == reply_text(post(embedded, pixelhand_form=grammar))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"body": "call: ]["}, "the grammar is not valid"),
        ({"longest_calls": []}, "needs a body and longest_calls"),
        ({"body": 5}, "pixelhand_form.body: Input should be a valid string"),
        ({"more": "x"}, "pixelhand_form has no 'more'"),
    ],
)
def test_invalid_grammar_is_rejected(
    embedded: Any, grammar: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    response = post(embedded, pixelhand_form={**grammar, **change})
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "pixelhand_form"


def test_grammar_with_schema_is_rejected(embedded: Any, grammar: dict[str, Any]) -> None:
    response = post(embedded, pixelhand_form=grammar, response_format={"type": "json_object"})
    assert response.status_code == 400
    assert "cannot be used with response_format" in response.json()["error"]["message"]


def test_model_profile_lists_grammar_support(embedded: Any) -> None:
    (entry,) = embedded.request("GET", "/v1/models").json()["data"]
    assert entry["pixelhand"]["grammar"] is True
