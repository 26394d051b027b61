"""Constrained decoding: which ids a grammar allows next, and which it forces.

Free text may come before a call. From the opening tag on only the grammar's continuations are allowed, and ids without
an alternative are not sampled at all. The matching is llguidance's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import llguidance
import numpy as np
import torch
from torch import Tensor

from actions import UsageError
from model.engine.call_grammar import CallGrammar
from model.json_file import read_text

MARGIN = 16  # spare tokens to finish an open key name, escape or 4-byte character when max_new_tokens is near


class GrammarCompiler:
    """Compiles grammars for one tokenizer.

    Args:
        file: File of the tokenizer, read where `text` is "" and named in errors.
        stop_ids: Ids that end a reply.
        text: The tokenizer in the format of tokenizer.json.

    Raises:
        UsageError: The tokenizer cannot be parsed.
    """

    def __init__(self, file: Path, stop_ids: tuple[int, ...], text: str = "") -> None:
        try:
            self._tokens = llguidance.LLTokenizer(text or read_text(file), eos_token=list(stop_ids) or None)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{file} cannot be used with a grammar ({str(error)[:120]}); download the checkpoint again, or set "
                '"grammar": false in its pixelhand.json'
            ) from None
        self._compile = lru_cache(maxsize=16)(self._build)
        self.closing_masks = lru_cache(maxsize=16)(self._closing_masks)

    def guide(self, form: CallGrammar, thought: bool = True) -> GrammarGuide:
        """Return the guide of one reply; thought: whether free text may come before the call."""
        return GrammarGuide(self._compile(form, thought and bool(form.open)), self)

    def _build(self, form: CallGrammar, thought: bool) -> _CompiledGrammar:
        open_is_token = form.open != "" and self._is_token(form.open)
        call = " ".join(part for part in ("call", self._tag(form.close), "" if form.ends_itself else "AFTER") if part)
        body = re.sub(r"@\{(.*?)\}", lambda match: self._tag(match.group(1)), form.body)
        rules = [body] if form.ends_itself else [body, r"AFTER: /(.|\n)*/"]
        if not thought:
            rules = [f"start: {self._tag(form.open)} {call}", *rules]
        elif open_is_token:
            rules = [f"start: thought {form.open} {call}", *rules, "thought: THOUGHT"]
            rules += [rf"THOUGHT: /{form.before}*/ & ~/(.|\n)*{form.open}(.|\n)*/"]
        else:
            rules = [f"start: thought {call}", *rules, f"thought[suffix={json.dumps(form.open)}]: /{form.before}*/"]
        lark = "\n".join(rules)
        matcher = llguidance.LLMatcher(self._tokens, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise ValueError(f"not a grammar: {matcher.get_error()[:400]}\n{lark}")
        call_tokens = max(len(self._ids(longest)) for longest in form.longest_calls) + MARGIN
        close_tokens = call_tokens if form.open_when_short else len(self._ids('"]}}\n' + form.close)) + MARGIN
        return _CompiledGrammar(form, matcher, tuple(self._ids(form.open)), open_is_token, call_tokens, close_tokens)

    def _ids(self, text: str) -> list[int]:
        return self._tokens.tokenize_str(text, parse_special=True)

    def _is_token(self, tag: str) -> bool:
        ids = self._ids(tag)
        return len(ids) == 1 and bool(self._tokens.is_special_token(ids[0]))

    def _tag(self, tag: str) -> str:
        """Return a tag as Lark names it: a special token, or a string of characters; "" for none."""
        return (tag if self._is_token(tag) else json.dumps(tag)) if tag else ""

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return bytes(self._tokens.decode_bytes([token]))

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self._tokens.vocab_size)

    @property
    def stop_mask(self) -> np.ndarray:
        """Mask bool [V] of the id that ends a reply whose grammar may end."""
        return np.arange(self.size) == self._tokens.eos_token

    def _closing_masks(self, closing_strings: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        """Return for each closing character the mask bool [V] of its own id, and that of the ids that begin with it.

        An id that begins with it may open the next text or key at once, as `", "` does.
        """
        masks: list[np.ndarray] = []
        for end in map(str.encode, closing_strings):
            masks.append(np.array([token == end for token in self._all_bytes]))
            masks.append(np.array([token[:1] == end for token in self._all_bytes]))
        return tuple(masks)

    @cached_property
    def _all_bytes(self) -> list[bytes]:
        return [self.token_bytes(token) for token in range(self.size)]


@dataclass(frozen=True)
class _CompiledGrammar:
    """A grammar compiled for a tokenizer, at its start."""

    form: CallGrammar
    matcher: llguidance.LLMatcher
    opening: tuple[int, ...]  # ids of the opening tag
    open_is_token: bool  # the opening tag is a single special token
    call_tokens: int  # tokens that a whole call needs
    close_tokens: int  # tokens that closing an open call needs


class GrammarGuide:
    """Constrains one reply to a grammar."""

    def __init__(self, start: _CompiledGrammar, compiler: GrammarCompiler) -> None:
        self._start, self._compiler = start, compiler
        self._matcher = start.matcher.deep_copy()
        self._is_open = not start.opening
        self._forced_opening = 0  # tokens of the opening tag that were forced
        self._tail = b""

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        return self._matcher.is_stopped() or (self._start.form.ends_itself and self._matcher.is_accepting())

    def forced(self, max_count: int) -> list[int]:
        """Return the ids that must come next, at most `max_count`, and accept them."""
        ids = self._matcher.compute_ff_tokens()[:max_count]
        for token in ids:
            self.accept(token)
        return ids

    def accept(self, token: int) -> None:
        """Advance by an id.

        Raises:
            ValueError: The grammar forbids the id.
        """
        if not self._matcher.consume_token(token):
            raise ValueError(f"id {token} is not allowed here: {self._matcher.get_error()[:200]}")
        if self._is_open:
            return
        start = self._start
        if start.open_is_token:
            self._is_open = token == start.opening[0]
            return
        opening = start.form.open.encode()
        self._tail = self._tail[-len(opening) :] + self._compiler.token_bytes(token)
        self._is_open = opening in self._tail

    def mask_logits(self, logits: Tensor, remaining: int) -> Tensor:
        """Return logits [1, V] with forbidden ids at -inf.

        When `remaining` tokens are only just enough, the call is opened, and then its open string or list is closed as
        soon as the grammar allows. So a reply has a complete call unless max_new_tokens is too small for any.

        Args:
            logits: [1, V].
            remaining: Ids that may still be generated, this one included.
        """
        start = self._start
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._compiler.size].astype(bool)
        preferred: tuple[np.ndarray, ...] = ()
        if not self._is_open and remaining <= start.call_tokens:
            preferred = (np.arange(len(allowed)) == start.opening[self._forced_opening % len(start.opening)],)
            self._forced_opening += 1
        elif self._is_open and remaining <= start.close_tokens:  # end a string first: inside it brackets are text
            stop = (self._compiler.stop_mask,) if self._matcher.is_accepting() else ()
            preferred = (*stop, *self._compiler.closing_masks(start.form.closing_strings))
        allowed = next((both for choice in preferred if (both := allowed & choice).any()), allowed)
        mask = torch.zeros(logits.shape[-1], dtype=torch.bool)
        size = min(len(allowed), len(mask))
        mask[:size] = torch.from_numpy(allowed[:size])
        return logits.masked_fill(~mask.to(logits.device), float("-inf"))
