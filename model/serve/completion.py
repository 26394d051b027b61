"""A Talk -> what the model says to it, told piece by piece. Knows the chat and its engine; knows no HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llguidance import LLTokenizer

from actions import UsageError
from model.chat_model import ChatModel
from model.serve import json_grammar
from model.serve.errors import ApiError
from model.serve.request import ChatRequest
from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

HALF = "\ufffd"  # what the first bytes of a character decode to, until the others come


@dataclass(frozen=True)
class PreparedRequest:
    """A Talk that was found to be possible: its grammar checked, its prompt measured."""

    talk: ChatRequest
    grammar: str | None
    prompt_tokens: int
    max_new_tokens: int


@dataclass(frozen=True)
class Completion:
    """A whole reply. finish: stop, length or tool_calls; calls: OpenAI's tool calls without their ids."""

    content: str | None
    calls: tuple[dict[str, str], ...]
    finish: str
    prompt_tokens: int
    reply_tokens: int


class _StopSequence(Exception):
    """A stop text was said."""


class CompletionService:
    """One chat, asked by one caller at a time."""

    def __init__(self, chat: ChatModel) -> None:
        self.chat = chat
        self.vocabulary = min(chat.tokenizer.size, chat.model.config.text.vocab_size)
        self.most_tokens = chat.model.config.text.max_position_embeddings

    @cached_property
    def _tokens(self) -> LLTokenizer:
        return json_grammar.tokens_of(self.chat.tokenizer.as_json(), self.vocabulary, self.chat.tokenizer.stop_ids)

    def prepare(self, talk: ChatRequest) -> PreparedRequest:
        """Refused when the talk cannot be had: a schema that cannot be enforced, a prompt that is too long."""
        grammar = None
        if talk.must_call:
            grammar = json_grammar.call_grammar(talk.must_call, self._tokens)
        elif talk.schema is not None:
            grammar = json_grammar.json_grammar(talk.schema)
        elif talk.form is not None:
            try:
                self.chat.make_guide(talk.form)
            except ValueError as error:
                said = " ".join(str(error).split())[:300]
                raise ApiError(400, f"the form cannot be followed: {said}", param="pixelhand_form") from None
        try:
            length = len(self.chat.render(talk.messages, talk.tools).input_ids)
        except UsageError as error:
            raise ApiError(400, str(error), param="messages") from None
        room = self.most_tokens - length
        if room < (talk.max_new_tokens or 1):
            raise ApiError(
                400,
                f"the prompt has {length} tokens and {talk.max_new_tokens or 1} are asked for; "
                f"together they may be {self.most_tokens}",
                param="messages",
                code="context_length_exceeded",
            )
        return PreparedRequest(
            talk, grammar, length, talk.max_new_tokens or min(room, self.chat.settings.max_new_tokens)
        )

    def complete(self, asked: PreparedRequest, on_piece: Callable[[str], None]) -> Completion:
        """The reply. on_piece gets what may be shown of it, as it comes; an error of its own ends the reply."""
        talk = asked.talk
        flow = StreamFilter(talk.stop, (CALL_OPEN,) if talk.calls else ())

        def on_text(text: str) -> None:
            piece = flow.more(text)
            on_piece(piece)  # also when it is empty: whoever listens can end it here
            if flow.stopped:
                raise _StopSequence

        finish, text, count = "stop", "", 0
        try:
            if asked.grammar is None and talk.top_p == 1:
                reply = self.chat.reply(
                    talk.messages,
                    talk.tools,
                    max_new_tokens=asked.max_new_tokens,
                    temperature=talk.temperature,
                    seed=talk.seed,
                    on_text=on_text,
                    form=talk.form,
                )
                text, count = reply.text, reply.reply_tokens
                assert self.chat.stats is not None
                finish = "stop" if self.chat.stats.ended else "length"
            else:
                text, count, finish = self._stream(asked, on_text)
        except _StopSequence:
            count = len(self.chat.tokenizer.encode(flow.text))
        else:
            flow.end(text)
        found = calls_in(flow.text) if talk.calls else None
        if found:
            return Completion(*found, "tool_calls", asked.prompt_tokens, count)
        on_piece(flow.rest())
        return Completion(flow.text, (), finish, asked.prompt_tokens, count)

    def _stream(self, asked: PreparedRequest, on_text: Callable[[str], None]) -> tuple[str, int, str]:
        """As Chat.reply, with a grammar and top_p: text, tokens and why it ended."""
        import torch

        from model.engine.decode import Sampling, stream_batch
        from model.processing.image import patchify

        chat, talk = self.chat, asked.talk
        prompt = chat.render(talk.messages, talk.tools)
        ruled = None if asked.grammar is None else json_grammar.Ruled(chat.model, self._tokens, asked.grammar)
        pictures: dict[str, Any] = {}
        if prompt.screens:
            shown = [patchify(screen.pixels, chat.limits, chat.model.device) for screen in prompt.screens]
            pictures = {
                "pixel_values": torch.cat([patches for patches, _ in shown]),
                "image_grid_thw": [grid for _, grid in shown],
            }
        ids: list[int] = []
        for token in stream_batch(
            ruled or chat.model,  # type: ignore[arg-type]  # it is asked for logits in the model's place
            torch.tensor([prompt.input_ids], device=chat.model.device),
            max_new_tokens=asked.max_new_tokens,
            stop_ids=chat.tokenizer.stop_ids,
            sampling=Sampling(temperature=talk.temperature, top_p=talk.top_p, seed=talk.seed),
            vocabulary=self.vocabulary,
            **pictures,
        ):
            ids.append(int(token[0]))
            over = ids[-1] in chat.tokenizer.stop_ids or (ruled is not None and ruled.took(ids[-1]))
            on_text(chat.tokenizer.decode(ids))
            if over:
                return chat.tokenizer.decode(ids), len(ids), "stop"
        return chat.tokenizer.decode(ids), len(ids), "length"


class StreamFilter:
    """Which part of a growing text may be shown: up to a stop text, up to a mark, and no half of either."""

    def __init__(self, stops: Sequence[str] = (), marks: Sequence[str] = ()) -> None:
        self.stops, self.marks = tuple(stops), tuple(marks)
        self.text = ""  # all that counts of the reply
        self.stopped = False
        self._shown = 0

    def more(self, text: str) -> str:
        """The text so far -> what is new and may be shown."""
        self._take(text)
        ends = [len(self.text), *(at for mark in self.marks if (at := self.text.find(mark)) >= 0)]
        end = min(ends)
        if end == len(text):
            end -= max((_overlap(text, mark) for mark in (*self.stops, *self.marks)), default=0)
            end -= len(text[:end]) - len(text[:end].rstrip(HALF))
        return self._show(end)

    def end(self, text: str) -> None:
        """The text is whole; what was held back counts."""
        self._take(text)

    def rest(self) -> str:
        """What was not shown yet."""
        return self._show(len(self.text))

    def _take(self, text: str) -> None:
        first = min((at for stop in self.stops if (at := text.find(stop)) >= 0), default=-1)
        self.stopped = self.stopped or first >= 0
        self.text = text if first < 0 else text[:first]

    def _show(self, end: int) -> str:
        piece = self.text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


def _overlap(text: str, mark: str) -> int:
    """How many characters at the text's end are the beginning of the mark, and not all of it."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)


def calls_in(text: str) -> tuple[str | None, tuple[dict[str, str], ...]] | None:
    """(words before the first call, the calls); None when the reply has none, or one that cannot be read."""
    before, *calls = text.split(CALL_OPEN)
    if not calls:
        return None
    found = []
    for call in calls:
        try:
            found.append(_call(call))
        except (ToolCallError, KeyError, TypeError):
            return None
    return before.strip() or None, tuple(found)


def _call(text: str) -> dict[str, str]:
    inner, closed, _ = text.partition(CALL_CLOSE)
    try:
        data = json.loads(inner)
        name, arguments = data["name"], data["arguments"]
    except (ValueError, RecursionError):
        call = find_call(CALL_OPEN + inner + closed)  # as models write it: commas too many, quotes left out
        name, arguments = call.name, dict(call.arguments)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ToolCallError("the call has no name")
    return {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
