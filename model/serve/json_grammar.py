"""Replies that must fit a grammar: a JSON schema, or a call of given functions. Knows token ids and llguidance.

The rule stands between the model and the choice of the next token: what may not follow gets the lowest of all numbers,
so sampling, stopping and everything else stay those of model.engine.decode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor

from model.serve.errors import ApiError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

TIGHT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def tokens_of(text: str, vocabulary: int, stop_ids: Sequence[int]) -> LLTokenizer:
    """The checkpoint's tokens, as tokenizer.json has them, as llguidance reads them: a second for 150,000; keep it."""
    return LLTokenizer(text, n_vocab=vocabulary, eos_token=list(stop_ids))


def json_grammar(schema: Mapping[str, Any], param: str = "response_format.json_schema.schema") -> str:
    """The grammar of one JSON value that fits the schema. Refused where llguidance does not know what it asks for."""
    return _valid(LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=TIGHT), param)


def call_grammar(tools: Sequence[Mapping[str, Any]], tokens: LLTokenizer) -> str:
    """The grammar of one <tool_call>, of any of these functions. Refused as json_grammar does."""
    marks = [_mark(mark, tokens) for mark in (CALL_OPEN, CALL_CLOSE)]
    any_of = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": tool["function"].get("parameters") or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    value = json.dumps({"anyOf": any_of, "x-guidance": TIGHT})
    lark = f'start: {marks[0]} "\\n" call "\\n" {marks[1]}\ncall: %json {value}'
    return _valid(LLMatcher.grammar_from_lark(lark), "tools")


def _mark(mark: str, tokens: LLTokenizer) -> str:
    """A tag in a grammar: by its bare name where it is a token of its own, which llguidance matches whole or not."""
    ids = tokens.tokenize_str(mark, parse_special=True)
    return mark if len(ids) == 1 and tokens.is_special_token(ids[0]) else json.dumps(mark)


def _valid(grammar: str, param: str) -> str:
    problem = LLMatcher.validate_grammar(grammar)
    if problem:
        raise ApiError(400, f"the schema cannot be enforced: {problem.strip()[:300]}", param=param, code="bad_schema")
    return grammar


class Ruled:
    """A model whose next tokens follow a grammar; for decode.stream in the model's place.

    took() must be told each id that was picked, before the next is asked for. Refused (500) when the rule broke.
    """

    def __init__(self, model: Any, tokens: LLTokenizer, grammar: str) -> None:
        self._model = model
        self._matcher = LLMatcher(tokens, grammar)
        self._require()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def logits(self, hidden: Tensor) -> Tensor:
        """[1, C] -> [1, V], the tokens that may not follow at the lowest finite number."""
        scores = self._model.logits(hidden)
        if not bool(scores.isfinite().all()):
            return scores  # decode says what this means
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        self._require()
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        known = min(len(bits), len(allowed))
        allowed[:known] = torch.from_numpy(bits[:known].astype(bool))
        return scores.masked_fill(~allowed.to(scores.device), torch.finfo(scores.dtype).min)

    def took(self, token: int) -> bool:
        """Note the id that was picked; true when nothing may follow it."""
        self._matcher.consume_token(token)
        self._require()
        return self._matcher.is_stopped()

    def _require(self) -> None:
        if self._matcher.is_error():
            raise ApiError(500, f"the grammar could not be followed: {self._matcher.get_error().strip()[:300]}")
