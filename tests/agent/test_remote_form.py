"""Replies that a server holds to their form: what it is asked for, in which words, and what that lets a model say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.server_fakes import Fake, serving

import model
from actions import ACTION_TYPES, Click, Screen, UsageError, plugins
from agent.policies.remote import structured_output
from agent.policies.remote.factory import load_remote_policy
from model.dialects import holo, qwen25
from model.engine.call_grammar import grammar_for
from model.processing.image import ImageLimits

pytestmark = pytest.mark.usefixtures("quick_wire")
ALL = frozenset(ACTION_TYPES)
SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))
TOKENS = Path(model.__file__).parent / "embedded" / "tokenizer.json"
ARGUMENTS = '{{"action": "left_click", "coordinate": [{}, {}]}}'
CALL = '<tool_call>\n{{"name": "computer_use", "arguments": ' + ARGUMENTS + "}}\n</tool_call>"


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake(owner="vllm")) as one:
        yield one


def allowed(grammar: str, text: str) -> bool:
    """Whether a grammar lets a model say all of a text, and end there."""
    llguidance = pytest.importorskip("llguidance", reason="the package llguidance is missing")
    tokens = llguidance.LLTokenizer(TOKENS.read_text(encoding="utf-8"))
    matcher = llguidance.LLMatcher(tokens, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher.consume_tokens(tokens.tokenize_str(text, parse_special=True)) and matcher.is_accepting()


def test_the_grammar_that_is_sent_lets_calls_through_and_nothing_malformed() -> None:
    form = grammar_for(qwen25.Dialect(ImageLimits()), ALL, SCREEN)
    assert form is not None
    grammar = structured_output.to_lark(form)
    assert allowed(grammar, CALL.format(279, 363)) and allowed(grammar, "I click it.\n" + CALL.format(0, 0))
    for wrong in (CALL.format(280, 0), CALL.format(5, '"5"'), CALL.format(5, 5).replace("left_click", "clik"), "No."):
        assert not allowed(grammar, wrong), wrong


def test_each_server_is_told_in_its_own_words() -> None:
    dialect = qwen25.Dialect(ImageLimits())
    said = {
        kind: structured_output.request_fields(kind, dialect, ALL, SCREEN)
        for kind in structured_output.BACKENDS
        if kind != "auto"
    }
    assert said["off"] == said["schema"] == {}  # its replies are no JSON by themselves
    assert said["vllm"]["structured_outputs"]["grammar"].startswith("start: thought <tool_call> call </tool_call>\n")
    assert said["sglang"]["ebnf"] == said["llama.cpp"]["grammar"]
    assert said["sglang"]["ebnf"].startswith("%llguidance {}\nstart: ")
    assert set(said["pixelhand"][structured_output.PIXELHAND_FIELD]) >= {"open", "close", "body", "samples"}
    json.dumps(said)


@pytest.mark.parametrize("tool", ["navigate", "click_absolute"])
def test_families_that_answer_in_json_send_a_schema_to_any_server(tool: str) -> None:
    llguidance = pytest.importorskip("llguidance", reason="the package llguidance is missing")
    dialect = holo.Dialect(ImageLimits(), tool)
    for kind in ("schema", "vllm", "sglang"):
        (key,) = held = structured_output.request_fields(kind, dialect, ALL, SCREEN)
        assert key == "response_format" and held[key]["type"] == "json_schema"
    schema = held["response_format"]["json_schema"]["schema"]
    matcher = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
    assert not llguidance.LLMatcher.validate_grammar(matcher)
    x = schema["properties"].get("x") or schema["properties"]["action"]["anyOf"][0]["properties"]["x"]
    assert x["maximum"] == dialect.size(SCREEN)[0] - 1
    assert structured_output.request_fields("schema", holo.Dialect(ImageLimits(), "click"), ALL, SCREEN) == {}


def test_a_schema_leaves_out_what_the_surface_cannot_do() -> None:
    schema = holo.Dialect(ImageLimits(), "navigate").reply_schema(frozenset({"click"}), SCREEN)
    names = [one["properties"]["action"]["const"] for one in schema["properties"]["action"]["anyOf"]]
    assert names == ["click_element", "answer"]


def decided(fake: Fake, more: str = "", **how: Any) -> dict[str, Any]:
    """What was sent for one step."""
    policy = load_remote_policy(f"{fake.base}?dialect=qwen25{more}#tiny", **how)
    policy.decide("go", (), SCREEN, ALL)
    policy.close()
    return fake.asked[-1]


def test_vllm_is_asked_for_it_by_itself_and_not_with_no_grammar(fake: Fake) -> None:
    assert "coordinate" in decided(fake)["structured_outputs"]["grammar"]
    assert ["structured_outputs" in body for body in fake.asked] == [True, False, False, *[True] * 5]  # not the colours
    fake.asked.clear()
    assert "structured_outputs" not in decided(fake, grammar=False)
    assert not [body for body in fake.asked if "structured_outputs" in body]
    fake.owner = "somebody"
    assert "structured_outputs" not in decided(fake)
    assert decided(fake, "&structured=llama.cpp")["grammar"].startswith("%llguidance")


def test_a_server_that_refuses_is_asked_freely_and_that_is_said(fake: Fake) -> None:
    fake.refuses = ("structured_outputs",)
    said: list[str] = []
    assert "structured_outputs" not in decided(fake, say=said.append)
    assert any("not held to their form" in one and "unknown field structured_outputs" in one for one in said)
    with pytest.raises(UsageError, match="unknown field structured_outputs"):
        decided(fake, "&structured=vllm")


def test_the_manifest_says_how_replies_were_held(fake: Fake) -> None:
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#tiny").metadata["structured"] == "vllm"
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#tiny", grammar=False).metadata["structured"] == "off"


def test_a_click_in_each_familys_words_gets_through_its_grammar() -> None:
    """As llguidance reads it; the embedded tokenizer has no box tokens, so there they are letters."""
    for module, tool in (("ui_tars", ""), ("opencua", ""), ("ui_venus", "mobile_use"), ("autoglm", ""), ("fara", "")):
        dialect = plugins.load_plugin("model.dialects", module).Dialect(ImageLimits(), tool)
        form = grammar_for(dialect, ALL, SCREEN)
        assert form is not None
        said = dialect.format_action(Click(x=5, y=6), SCREEN)
        grammar = structured_output.to_lark(form)
        for mark in ("<|box_start|>", "<|box_end|>"):
            grammar = grammar.replace(mark, json.dumps(mark))
        assert allowed(grammar, said), said
