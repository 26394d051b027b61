"""Replies that are calls, always: which ids may come next, and which must. Knows a tokenizer and a grammar; no screens.

Free words may come first and stay free. From the opening tag on, only what the form allows can be said, and what has no
alternative is not asked of the model at all. The work is llguidance's.
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path

import llguidance
import numpy as np
import torch
from torch import Tensor

from actions import UsageError
from model.engine.forms import Form

MARGIN = (
    16  # tokens kept free for what is begun when the room runs out: a key's name, an escape, a character of 4 bytes
)


class Grammars:
    """The grammars of one tokenizer. stop_ids: what ends a reply; a grammar's reply ends by itself, without one."""

    def __init__(self, tokenizer_json: Path, stop_ids: tuple[int, ...]) -> None:
        try:
            self._tokens = llguidance.LLTokenizer(
                tokenizer_json.read_text(encoding="utf-8"), eos_token=list(stop_ids) or None
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{tokenizer_json} makes no grammar ({str(error)[:120]}); download the checkpoint again, or go without "
                "grammar"
            ) from None
        self._first = lru_cache(maxsize=16)(self._build)

    def guide(self, form: Form, thought: bool = True) -> Guide:
        """What guides one reply. thought: words may come before the call; without, the reply is the call."""
        matcher, opening, call_room, close_room = self._first(form, thought)
        return Guide(matcher.deep_copy(), opening, call_room, close_room, self)

    def _build(self, form: Form, thought: bool) -> tuple[llguidance.LLMatcher, tuple[int, ...], int, int]:
        first = "thought " if thought else ""
        rules = [f"start: {first}{self._tag(form.open)} call {self._tag(form.close)}", form.body]
        if thought:
            rules += ["thought: THOUGHT", rf"THOUGHT: /(.|\n)*/ & ~/(.|\n)*{form.open}(.|\n)*/"]
        lark = "\n".join(rules)
        matcher = llguidance.LLMatcher(self._tokens, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise ValueError(f"not a grammar: {matcher.get_error()[:400]}\n{lark}")
        counts = [len(self._ids(sample)) for sample in form.samples]
        tail = len(self._ids('"]}}\n' + form.close))
        return matcher, tuple(self._ids(form.open)), max(counts) + MARGIN, tail + MARGIN

    def _ids(self, text: str) -> list[int]:
        return self._tokens.tokenize_str(text, parse_special=True)

    def _tag(self, tag: str) -> str:
        """A tag as a grammar names it: a token of its own, or the letters."""
        ids = self._ids(tag)
        return tag if len(ids) == 1 and self._tokens.is_special_token(ids[0]) else json.dumps(tag)

    @property
    def size(self) -> int:
        """Ids of the tokenizer."""
        return int(self._tokens.vocab_size)

    @cached_property
    def closers(self) -> tuple[np.ndarray, ...]:
        """bool [V] each: ids that begin with the end of a string, of a list, of an object."""
        first = [self._tokens.decode_bytes([one])[:1] for one in range(self._tokens.vocab_size)]
        return tuple(np.array([one == end for one in first]) for end in (b'"', b"]", b"}"))


class Guide:
    """One reply's way through its grammar. done: the reply is whole."""

    def __init__(
        self, matcher: llguidance.LLMatcher, opening: tuple[int, ...], call_room: int, close_room: int, of: Grammars
    ) -> None:
        self._matcher, self._opening, self._of = matcher, opening, of
        self._call_room, self._close_room = call_room, close_room
        self._said = 0
        self._opened = False

    @property
    def done(self) -> bool:
        return self._matcher.is_stopped() or self._matcher.is_accepting()

    def forced(self, most: int) -> list[int]:
        """The ids that must come next, taken as said; at most so many."""
        ids = self._matcher.compute_ff_tokens()[:most]
        for one in ids:
            self.take(one)
        return ids

    def take(self, token: int) -> None:
        """The next id is said. ValueError when the grammar forbids it."""
        if not self._matcher.consume_token(token):
            raise ValueError(f"id {token} is not allowed here: {self._matcher.get_error()[:200]}")
        self._said += 1
        self._opened = self._opened or token == self._opening[0]

    def masked(self, logits: Tensor, left: int) -> Tensor:
        """logits [1, V] with what may not come at -inf. left: how many ids may still be said, this one included.

        When the room runs out, the call is opened, and then its open string or list is closed, as soon as that is
        allowed; so a reply holds a whole call unless it had no room for one from the beginning.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._of.size].astype(bool)
        wanted: tuple[np.ndarray, ...] = ()
        if not self._opened and left <= self._call_room:
            wanted = (np.arange(len(allowed)) == self._opening[0],)
        elif self._opened and left <= self._close_room:
            wanted = self._of.closers  # the end of a string first: within one, brackets are only letters
        allowed = next((both for one in wanted if (both := allowed & one).any()), allowed)
        may = torch.zeros(logits.shape[-1], dtype=torch.bool)
        known = min(len(allowed), len(may))
        may[:known] = torch.from_numpy(allowed[:known])
        return logits.masked_fill(~may.to(logits.device), float("-inf"))
