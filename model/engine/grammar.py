"""Replies that are calls, always: which ids may come next, and which must. Knows a tokenizer and a grammar; no screens.

Free words may come first and stay free. From the opening tag on, only what the form allows can be said, and what has no
alternative is not asked of the model at all. The work is llguidance's.
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

MARGIN = (
    16  # tokens kept free for what is begun when the room runs out: a key's name, an escape, a character of 4 bytes
)


class GrammarCompiler:
    """The grammars of one tokenizer. stop_ids: what ends a reply; a grammar's reply ends by itself, without one.

    file: where the tokenizer stands; text: it as tokenizer.json, where the file is of another form.
    """

    def __init__(self, file: Path, stop_ids: tuple[int, ...], text: str = "") -> None:
        try:
            self._tokens = llguidance.LLTokenizer(
                text or file.read_text(encoding="utf-8"), eos_token=list(stop_ids) or None
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{file} makes no grammar ({str(error)[:120]}); download the checkpoint again, or go without grammar"
            ) from None
        self._first = lru_cache(maxsize=16)(self._build)

    def guide(self, form: CallGrammar, thought: bool = True) -> GrammarGuide:
        """What guides one reply. thought: words may come before the call; without, the reply is the call."""
        return GrammarGuide(self._first(form, thought and bool(form.open)), self)

    def _build(self, form: CallGrammar, thought: bool) -> _CompiledGrammar:
        own = form.open != "" and self._is_token(form.open)
        call = " ".join(part for part in ("call", self._tag(form.close), "" if form.ends_itself else "AFTER") if part)
        body = re.sub(r"@\{(.*?)\}", lambda match: self._tag(match.group(1)), form.body)
        rules = [body] if form.ends_itself else [body, r"AFTER: /(.|\n)*/"]
        if not thought:
            rules = [f"start: {self._tag(form.open)} {call}", *rules]
        elif own:
            rules = [f"start: thought {form.open} {call}", *rules, "thought: THOUGHT"]
            rules += [rf"THOUGHT: /{form.before}*/ & ~/(.|\n)*{form.open}(.|\n)*/"]
        else:
            rules = [f"start: thought {call}", *rules, f"thought[suffix={json.dumps(form.open)}]: /{form.before}*/"]
        lark = "\n".join(rules)
        matcher = llguidance.LLMatcher(self._tokens, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise ValueError(f"not a grammar: {matcher.get_error()[:400]}\n{lark}")
        call_room = max(len(self._ids(sample)) for sample in form.longest_calls) + MARGIN
        close_room = call_room if form.open_when_short else len(self._ids('"]}}\n' + form.close)) + MARGIN
        return _CompiledGrammar(form, matcher, tuple(self._ids(form.open)), own, call_room, close_room)

    def _ids(self, text: str) -> list[int]:
        return self._tokens.tokenize_str(text, parse_special=True)

    def _is_token(self, tag: str) -> bool:
        ids = self._ids(tag)
        return len(ids) == 1 and bool(self._tokens.is_special_token(ids[0]))

    def _tag(self, tag: str) -> str:
        """A tag as a grammar names it: a token of its own, or the letters; nothing for none."""
        return (tag if self._is_token(tag) else json.dumps(tag)) if tag else ""

    def letters(self, token: int) -> bytes:
        return bytes(self._tokens.decode_bytes([token]))

    @property
    def size(self) -> int:
        """Ids of the tokenizer."""
        return int(self._tokens.vocab_size)

    @property
    def stops(self) -> np.ndarray:
        """bool [V]: the id that ends a reply whose grammar lets it end."""
        return np.arange(self.size) == self._tokens.eos_token

    def closers(self, closers: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        """bool [V] each: ids that begin with one of these characters."""
        return tuple(np.array([one == end.encode() for one in self._beginnings]) for end in closers)

    @cached_property
    def _beginnings(self) -> list[bytes]:
        return [self.letters(one)[:1] for one in range(self.size)]


@dataclass(frozen=True)
class _CompiledGrammar:
    """A form's matcher before anything is said; own: its opening is a token of its own; rooms in tokens."""

    form: CallGrammar
    matcher: llguidance.LLMatcher
    opening: tuple[int, ...]
    own: bool
    call_room: int
    close_room: int


class GrammarGuide:
    """One reply's way through its grammar. done: the reply is whole."""

    def __init__(self, start: _CompiledGrammar, of: GrammarCompiler) -> None:
        self._start, self._of = start, of
        self._matcher = start.matcher.deep_copy()
        self._opened = not start.opening
        self._opening = 0  # tokens of the opening that were said since there was no room for other words
        self._tail = b""

    @property
    def done(self) -> bool:
        return self._matcher.is_stopped() or (self._start.form.ends_itself and self._matcher.is_accepting())

    def forced(self, most: int) -> list[int]:
        """The ids that must come next, taken as said; at most so many."""
        ids = self._matcher.compute_ff_tokens()[:most]
        for one in ids:
            self.accept(one)
        return ids

    def accept(self, token: int) -> None:
        """The next id is said. ValueError when the grammar forbids it."""
        if not self._matcher.consume_token(token):
            raise ValueError(f"id {token} is not allowed here: {self._matcher.get_error()[:200]}")
        if self._opened:
            return
        start = self._start
        if start.own:
            self._opened = token == start.opening[0]
            return
        sign = start.form.open.encode()
        self._tail = self._tail[-len(sign) :] + self._of.letters(token)
        self._opened = sign in self._tail

    def mask_logits(self, logits: Tensor, left: int) -> Tensor:
        """logits [1, V] with what may not come at -inf. left: how many ids may still be said, this one included.

        When the room runs out, the call is opened, and then its open string or list is closed, as soon as that is
        allowed; so a reply holds a whole call unless it had no room for one from the beginning.
        """
        start = self._start
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._of.size].astype(bool)
        wanted: tuple[np.ndarray, ...] = ()
        if not self._opened and left <= start.call_room:
            wanted = (np.arange(len(allowed)) == start.opening[self._opening % len(start.opening)],)
            self._opening += 1
        elif self._opened and left <= start.close_room:  # the end of a string first: within one, brackets are letters
            whole = (self._of.stops,) if self._matcher.is_accepting() else ()
            wanted = (*whole, *self._of.closers(start.form.closing_strings))
        allowed = next((both for one in wanted if (both := allowed & one).any()), allowed)
        may = torch.zeros(logits.shape[-1], dtype=torch.bool)
        known = min(len(allowed), len(may))
        may[:known] = torch.from_numpy(allowed[:known])
        return logits.masked_fill(~may.to(logits.device), float("-inf"))
