"""Constrain replies of the server to a JSON schema, or to a call of given functions, with llguidance.

The logits are masked between the model and the sampling, so sampling and stopping stay those of model.engine.decode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor

from model.json_file import JsonObject
from model.nn.qwen25vl import Qwen25VL
from model.serve.errors import ApiError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

JSON_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
SCHEMA_PARAM = "response_format.json_schema.schema"


def make_tokenizer(text: str, vocabulary: int, stop_ids: Sequence[int]) -> LLTokenizer:
    """Return llguidance's tokenizer for a checkpoint, about a second's work for 150,000 tokens.

    Args:
        text: The tokenizer in the format of tokenizer.json.
        vocabulary: Number of ids.
        stop_ids: Ids that end a reply.
    """
    return LLTokenizer(text, n_vocab=vocabulary, eos_token=list(stop_ids))


def schema_grammar(schema: Mapping[str, object], tokens: LLTokenizer, param: str = SCHEMA_PARAM) -> str:
    """Return the grammar of one JSON value that fits a schema.

    Raises:
        ApiError: llguidance cannot enforce the schema (400).
    """
    try:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=JSON_STYLE)
    except (ValueError, RecursionError) as error:
        raise _schema_error(str(error), param) from None
    return _checked(grammar, tokens, param)


def call_grammar(tools: Sequence[JsonObject], tokens: LLTokenizer) -> str:
    """Return the grammar of one <tool_call> of any of the tools.

    Raises:
        ApiError: llguidance cannot enforce the parameters of a tool (400).
    """
    opening, closing = (_lark_tag(tag, tokens) for tag in (CALL_OPEN, CALL_CLOSE))
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
    try:
        schema = json.dumps({"anyOf": any_of, "x-guidance": JSON_STYLE})
        lark = f'start: {opening} "\\n" call "\\n" {closing}\ncall: %json {schema}'
        grammar = LLMatcher.grammar_from_lark(lark)
    except (ValueError, RecursionError) as error:
        raise _schema_error(str(error), "tools") from None
    return _checked(grammar, tokens, "tools")


def _lark_tag(tag: str, tokens: LLTokenizer) -> str:
    """Return a tag as Lark names it: a special token, or a string of characters."""
    ids = tokens.tokenize_str(tag, parse_special=True)
    return tag if len(ids) == 1 and tokens.is_special_token(ids[0]) else json.dumps(tag)


def _checked(grammar: str, tokens: LLTokenizer, param: str) -> str:
    """Return the grammar, or raise ApiError where it is invalid, too large, or allows no first token."""
    problem = LLMatcher.validate_grammar(grammar)
    if not problem:
        matcher = LLMatcher(tokens, grammar, log_level=0)
        if not matcher.is_error():
            matcher.compute_bitmask()
        problem = matcher.get_error() if matcher.is_error() else ""
    if problem:
        raise _schema_error(problem, param)
    return grammar


def _schema_error(problem: str, param: str) -> ApiError:
    reason = " ".join(problem.partition("<state>")[0].split())[:300]
    return ApiError(400, f"the schema cannot be enforced: {reason}", param=param, code="bad_schema")


class ConstrainedLogits:
    """A model whose logits are masked by a grammar, to be passed to `decode.stream_batch` in the model's place.

    Each id that is picked must be passed to `accept` before the next logits are requested.

    Raises:
        ApiError: The grammar cannot be followed, as it exceeds a limit of llguidance (400).
    """

    def __init__(self, model: Qwen25VL, tokens: LLTokenizer, grammar: str) -> None:
        self._model = model
        self._matcher = LLMatcher(tokens, grammar, log_level=0)
        self._check()

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [1, V] of a hidden state [1, C], with forbidden ids at the lowest finite number."""
        scores = self._model.logits(hidden)
        if not bool(scores.isfinite().all()):
            return scores  # stream_batch raises a UsageError
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        self._check()
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        size = min(len(bits), len(allowed))
        allowed[:size] = torch.from_numpy(bits[:size].astype(bool))
        return scores.masked_fill(~allowed.to(scores.device), torch.finfo(scores.dtype).min)

    def accept(self, token: int) -> bool:
        """Advance by an id; return whether the reply is complete."""
        self._matcher.consume_token(token)
        self._check()
        return self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _schema_error(self._matcher.get_error(), SCHEMA_PARAM)
