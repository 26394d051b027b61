"""How a server is told that a reply must hold to its form, each in its own words. Knows wire fields; sends nothing.

Ours takes the form itself, and holds the model to it as in process (model.engine.grammar). vLLM takes a grammar in
`structured_outputs`, SGLang and llama.cpp in fields of their own; all three hand it to llguidance, whose Lark it is,
where they were built or started with it. Replies that are one JSON object need no grammar: a schema in
`response_format` is understood by most servers. Families that have neither a form nor a schema are asked freely.
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

BACKENDS = ("auto", "off", "schema", "pixelhand", "vllm", "sglang", "llama.cpp")
LLGUIDANCE = "%llguidance {}\n"  # tells SGLang and llama.cpp whose grammar it is
PIXELHAND_FIELD = "pixelhand_form"
TOKENS = (CALL_OPEN, CALL_CLOSE, "<|box_start|>", "<|box_end|>")  # of Qwen2.5's tokenizer, among those of our forms


def detect_backend(entry: Mapping[str, Any], told: Any) -> str:
    """What a server is seen to offer, by its entry in the list of models; "schema" where nothing is seen."""
    if isinstance(told, Mapping):
        return "pixelhand" if told.get("grammar") else "off"
    return "vllm" if entry.get("owned_by") == "vllm" else "schema"


def request_fields(kind: str, dialect: Dialect, verbs: frozenset[str], screen: Screen) -> dict[str, Any]:
    """The fields of a request that hold its reply to the dialect's form; {} where there is none."""
    if kind == "off":
        return {}
    form = None if kind == "schema" else dialect.grammar(verbs, screen)
    if form is not None and kind == "pixelhand":
        return {PIXELHAND_FIELD: to_wire(form)}
    schema = dialect.reply_schema(verbs, screen)
    if schema is not None:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}}
    if form is None:
        return {}
    if kind == "vllm":
        return {"structured_outputs": {"grammar": to_lark(form)}}
    return {"ebnf" if kind == "sglang" else "grammar": LLGUIDANCE + to_lark(form)}


def to_lark(form: CallGrammar) -> str:
    """Words, then a call of that form, as llguidance reads it, for the tokenizer of Qwen2.5 and its fine-tunes.

    The rules are those of model.engine.grammar, which knows the tokenizer; here its tokens are known by name.
    """
    anything, call = r"(.|\n)*", f"call {_tag(form.close)}".strip()
    rules = [re.sub(r"@\{(.*?)\}", lambda match: _tag(match.group(1)), form.body)]
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


def _tag(tag: str) -> str:
    """A tag as a grammar names it: a token of its own, or the letters; nothing for none."""
    return tag if tag in TOKENS else json.dumps(tag) if tag else ""
