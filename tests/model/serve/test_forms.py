"""A form of calls, asked of our server: the reply holds a whole call of that form, whatever the model wants to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actions import ACTION_TYPES, Screen
from model.dialects.qwen25 import Dialect
from model.engine.call_grammar import CallGrammar, from_wire, to_wire

ASK = {"model": "embedded", "messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 80}
SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))


def asked(embedded: Any, **more: Any) -> Any:
    return embedded.http("POST", "/v1/chat/completions", json={**ASK, **more})


@pytest.fixture(scope="module")
def form(embedded: Any) -> dict[str, Any]:
    made = Dialect(embedded.chat.limits).grammar(frozenset(ACTION_TYPES), SCREEN)
    assert made is not None
    return to_wire(made)


@pytest.mark.parametrize(("seed", "temperature"), [(0, 0.0), (1, 1.0), (2, 2.0)])
def test_a_reply_is_a_call_however_the_dice_fall(
    embedded: Any, form: dict[str, Any], seed: int, temperature: float
) -> None:
    answer = asked(embedded, pixelhand_form=form, seed=seed, temperature=temperature).json()
    text = answer["choices"][0]["message"]["content"]
    dialect = Dialect(embedded.chat.limits)
    dialect.to_action(dialect.parse(text), SCREEN)  # BadCall if it were malformed
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_it_is_the_form_that_does_it(embedded: Any) -> None:
    from actions import InvalidActionError

    text = asked(embedded, seed=2, temperature=2.0).json()["choices"][0]["message"]["content"]
    with pytest.raises(InvalidActionError):
        Dialect(embedded.chat.limits).parse(text)


def test_a_form_is_the_same_as_in_process(embedded: Any, form: dict[str, Any]) -> None:
    text = asked(embedded, pixelhand_form=form).json()["choices"][0]["message"]["content"]
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in from_wire(form).items()}
    own = CallGrammar(**fields)
    assert text == embedded.chat.reply(ASK["messages"], max_new_tokens=80, form=own).text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"body": "call: ]["}, "the form cannot be followed"),
        ({"samples": []}, "needs a body and samples"),
        ({"body": 5}, "pixelhand_form.body: Input should be a valid string"),
        ({"more": "x"}, "pixelhand_form has no 'more'"),
    ],
)
def test_what_is_no_form_is_refused(embedded: Any, form: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    answer = asked(embedded, pixelhand_form={**form, **change})
    assert answer.status_code == 400 and sentence in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "pixelhand_form"


def test_a_form_and_a_schema_exclude_each_other(embedded: Any, form: dict[str, Any]) -> None:
    answer = asked(embedded, pixelhand_form=form, response_format={"type": "json_object"})
    assert answer.status_code == 400 and "excludes" in answer.json()["error"]["message"]


def test_the_server_says_that_it_holds_to_forms(embedded: Any) -> None:
    (entry,) = embedded.http("GET", "/v1/models").json()["data"]
    assert entry["pixelhand"]["grammar"] is True
