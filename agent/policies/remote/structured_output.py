"""Request fields by which each kind of server constrains a reply to the dialect's grammar.

`agent serve` takes the grammar itself and constrains the model as in process (model.engine.grammar). vLLM takes a Lark
grammar in `structured_outputs`, SGLang and llama.cpp in fields of their own; all three pass it to llguidance, where
they were built or started with it. Replies that are one JSON object need only a schema in `response_format`, which most
servers accept. Dialects with neither are unconstrained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from actions import Screen
from model.dialects.base import Dialect
from model.engine.call_grammar import CallGrammar, to_wire
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

RequestFields = dict[str, Any]  # JSON fields of a chat completions request
BACKENDS = ("auto", "off", "schema", "pixelhand", "vllm", "sglang", "llama.cpp")
LLGUIDANCE = "%llguidance {}\n"  # first line by which SGLang and llama.cpp recognize an llguidance grammar
PIXELHAND_FIELD = "pixelhand_form"
TOKENS = (CALL_OPEN, CALL_CLOSE, "<|box_start|>", "<|box_end|>")  # single tokens of the Qwen2.5 tokenizer


def detect_backend(entry: Mapping[str, object], description: object) -> str:
    """Return the backend that a server's list of models indicates; "schema" when it indicates none.

    Args:
        entry: The model's entry in the list.
        description: The entry's `pixelhand` field, if any.
    """
    if isinstance(description, Mapping):
        return "pixelhand" if description.get("grammar") else "off"
    return "vllm" if entry.get("owned_by") == "vllm" else "schema"


def request_fields(backend: str, dialect: Dialect, verbs: frozenset[str], screen: Screen) -> RequestFields:
    """Return the request fields that constrain a reply to the dialect's grammar; {} when there is none."""
    if backend == "off":
        return {}
    form = None if backend == "schema" else dialect.grammar(verbs, screen)
    if form is not None and backend == "pixelhand":
        return {PIXELHAND_FIELD: to_wire(form)}
    schema = dialect.reply_schema(verbs, screen)
    if schema is not None:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}}
    if form is None:
        return {}
    if backend == "vllm":
        return {"structured_outputs": {"grammar": to_lark(form)}}
    return {"ebnf" if backend == "sglang" else "grammar": LLGUIDANCE + to_lark(form)}


def schema_fields(backend: str, schema: Mapping[str, object]) -> RequestFields:
    """Return the request fields that hold a reply to a JSON schema; {} where structured output is off."""
    if backend == "off":
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}}


def to_lark(form: CallGrammar) -> str:
    """Return a Lark grammar for llguidance: free text, then a call. For the tokenizer of Qwen2.5 and its fine-tunes.

    The rules are those of model.engine.grammar, which refers to tokens by id; here they are referred to by name.
    """
    anything, call = r"(.|\n)*", f"call {_terminal(form.close)}".strip()
    rules = [re.sub(r"@\{(.*?)\}", lambda match: _terminal(match.group(1)), form.body)]
    if not form.ends_itself:
        call += " AFTER"
        rules.append(f"AFTER: /{anything}/")
    if not form.open:
        rules.insert(0, f"start: {call}")
    elif form.open in TOKENS:
        rules.insert(0, f"start: thought {form.open} {call}")
        rules += ["thought: THOUGHT", f"THOUGHT: /{form.before}*/ & ~/{anything}{form.open}{anything}/"]
    else:
        rules.insert(0, f"start: thought {call}")
        rules.append(f"thought[suffix={json.dumps(form.open)}]: /{form.before}*/")
    return "\n".join(rules)


def _terminal(tag: str) -> str:
    """Return a tag as a grammar terminal: a token's name, else a string literal; "" for no tag."""
    return tag if tag in TOKENS else json.dumps(tag) if tag else ""
