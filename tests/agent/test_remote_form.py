"""Tests of structured output: the request fields for each backend, and the grammars in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.server_fakes import FakeServer, serve_fake

import model
from actions import ACTION_TYPES, Click, Screen, UsageError, plugins
from agent.policies.remote import structured_output
from agent.policies.remote.factory import load_remote_policy
from model.dialects import holo, qwen25
from model.processing.image import ImageLimits

pytestmark = pytest.mark.usefixtures("fast_retries")
ALL = frozenset(ACTION_TYPES)
SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))
TOKENS = Path(model.__file__).parent / "embedded" / "tokenizer.json"
ARGUMENTS = '{{"action": "left_click", "coordinate": [{}, {}]}}'
CALL = '<tool_call>\n{{"name": "computer_use", "arguments": ' + ARGUMENTS + "}}\n</tool_call>"


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with serve_fake(FakeServer(owner="vllm")) as server:
        yield server


def is_accepted(grammar: str, text: str) -> bool:
    """Return whether a grammar accepts a text as a complete reply."""
    llguidance = pytest.importorskip("llguidance", reason="the package llguidance is missing")
    tokens = llguidance.LLTokenizer(TOKENS.read_text(encoding="utf-8"))
    matcher = llguidance.LLMatcher(tokens, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher.consume_tokens(tokens.tokenize_str(text, parse_special=True)) and matcher.is_accepting()


def test_sent_grammar_accepts_only_valid_calls() -> None:
    form = qwen25.Dialect(ImageLimits()).grammar(ALL, SCREEN)
    assert form is not None
    grammar = structured_output.to_lark(form)
    assert is_accepted(grammar, CALL.format(279, 363))
    assert is_accepted(grammar, "I click it.\n" + CALL.format(0, 0))
    for invalid in (CALL.format(280, 0), CALL.format(5, '"5"'), CALL.format(5, 5).replace("left_click", "clik"), "No."):
        assert not is_accepted(grammar, invalid), invalid


def test_request_fields_match_each_backend() -> None:
    dialect = qwen25.Dialect(ImageLimits())
    fields = {
        backend: structured_output.request_fields(backend, dialect, ALL, SCREEN)
        for backend in structured_output.BACKENDS
        if backend != "auto"
    }
    assert fields["off"] == fields["schema"] == {}  # its replies are not plain JSON
    assert fields["vllm"]["structured_outputs"]["grammar"].startswith("start: thought <tool_call> call </tool_call>\n")
    assert fields["sglang"]["ebnf"] == fields["llama.cpp"]["grammar"]
    assert fields["sglang"]["ebnf"].startswith("%llguidance {}\nstart: ")
    assert set(fields["pixelhand"][structured_output.PIXELHAND_FIELD]) >= {"open", "close", "body", "samples"}
    json.dumps(fields)


@pytest.mark.parametrize("tool", ["navigate", "click_absolute"])
def test_json_dialects_send_a_schema(tool: str) -> None:
    llguidance = pytest.importorskip("llguidance", reason="the package llguidance is missing")
    dialect = holo.Dialect(ImageLimits(), tool)
    for backend in ("schema", "vllm", "sglang"):
        (key,) = constraint = structured_output.request_fields(backend, dialect, ALL, SCREEN)
        assert key == "response_format"
        assert constraint[key]["type"] == "json_schema"
    schema = constraint["response_format"]["json_schema"]["schema"]
    matcher = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
    assert not llguidance.LLMatcher.validate_grammar(matcher)
    x = schema["properties"].get("x") or schema["properties"]["action"]["anyOf"][0]["properties"]["x"]
    assert x["maximum"] == dialect.size(SCREEN)[0] - 1
    assert structured_output.request_fields("schema", holo.Dialect(ImageLimits(), "click"), ALL, SCREEN) == {}


def test_schema_contains_supported_verbs_only() -> None:
    schema = holo.Dialect(ImageLimits(), "navigate").reply_schema(frozenset({"click"}), SCREEN)
    names = [entry["properties"]["action"]["const"] for entry in schema["properties"]["action"]["anyOf"]]
    assert names == ["click_element", "answer"]


def sent_request(fake: FakeServer, options: str = "", **keywords: Any) -> dict[str, Any]:
    """Return the request of one step."""
    policy = load_remote_policy(f"{fake.base}?dialect=qwen25{options}#tiny", **keywords)
    policy.decide("go", (), SCREEN, ALL)
    policy.close()
    return fake.requests[-1]


def test_vllm_is_detected_and_grammar_optional(fake: FakeServer) -> None:
    assert "coordinate" in sent_request(fake)["structured_outputs"]["grammar"]
    assert ["structured_outputs" in body for body in fake.requests] == [
        True,
        False,
        False,
        *[True] * 5,
    ]  # the color questions are unconstrained
    fake.requests.clear()
    assert "structured_outputs" not in sent_request(fake, grammar=False)
    assert not [body for body in fake.requests if "structured_outputs" in body]
    fake.owner = "another"
    assert "structured_outputs" not in sent_request(fake)
    assert sent_request(fake, "&structured=llama.cpp")["grammar"].startswith("%llguidance")


def test_rejected_structured_output_is_switched_off(fake: FakeServer) -> None:
    fake.rejected_fields = ("structured_outputs",)
    messages: list[str] = []
    assert "structured_outputs" not in sent_request(fake, on_status=messages.append)
    assert any("structured output is off" in text and "unknown field structured_outputs" in text for text in messages)
    with pytest.raises(UsageError, match="unknown field structured_outputs"):
        sent_request(fake, "&structured=vllm")


def test_metadata_names_structured_output_backend(fake: FakeServer) -> None:
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#tiny").metadata["structured"] == "vllm"
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#tiny", grammar=False).metadata["structured"] == "off"


def test_each_dialect_grammar_accepts_its_click() -> None:
    """The embedded tokenizer has no box tokens, so they are plain text here."""
    for module, tool in (("ui_tars", ""), ("opencua", ""), ("ui_venus", "mobile_use"), ("autoglm", ""), ("fara", "")):
        dialect = plugins.load_plugin("model.dialects", module).Dialect(ImageLimits(), tool)
        form = dialect.grammar(ALL, SCREEN)
        assert form is not None
        fields = dialect.format_action(Click(x=5, y=6), SCREEN)
        grammar = structured_output.to_lark(form)
        for mark in ("<|box_start|>", "<|box_end|>"):
            grammar = grammar.replace(mark, json.dumps(mark))
        assert is_accepted(grammar, fields), fields
