"""Generate the reply to a chat request, text delta by text delta."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from llguidance import LLTokenizer

from actions import UsageError
from model.chat_model import ChatModel
from model.json_file import JsonObject
from model.serve import json_grammar
from model.serve.errors import ApiError
from model.serve.request import ChatRequest
from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN
from model.wire.xml_call import decode_values

REPLACEMENT = "\ufffd"  # an incomplete character decodes to this until its other bytes are generated


@dataclass(frozen=True)
class PreparedRequest:
    """A request that can be served: its grammar compiles and its prompt fits."""

    request: ChatRequest
    grammar: str | None  # for json_grammar.ConstrainedLogits
    prompt_tokens: int
    max_new_tokens: int


@dataclass(frozen=True)
class Completion:
    """A complete reply."""

    content: str | None
    calls: tuple[dict[str, str], ...]  # OpenAI's tool calls without their ids
    finish: str  # stop, length or tool_calls
    prompt_tokens: int
    reply_tokens: int


class _StopSequenceError(Exception):
    """A stop sequence was generated."""


class CompletionService:
    """Generates completions with one chat model; call it from one thread at a time."""

    def __init__(self, chat: ChatModel) -> None:
        self.chat = chat
        self.vocabulary = min(chat.tokenizer.size, chat.model.config.text.vocab_size)
        self.max_context_tokens = chat.model.config.text.max_position_embeddings

    @cached_property
    def _tokens(self) -> LLTokenizer:
        tokenizer = self.chat.tokenizer
        return json_grammar.make_tokenizer(tokenizer.as_json(), self.vocabulary, tokenizer.stop_ids)

    def prepare(self, request: ChatRequest) -> PreparedRequest:
        """Compile the grammar of a request and measure its prompt.

        Raises:
            ApiError: The schema cannot be enforced, or the prompt cannot be rendered or is too long (400).
        """
        grammar = None
        if request.must_call:
            grammar = json_grammar.call_grammar(request.must_call, self._tokens)
        elif request.schema is not None:
            grammar = json_grammar.schema_grammar(request.schema, self._tokens)
        elif request.form is not None:
            try:
                self.chat.make_guide(request.form)
            except ValueError as error:
                reason = " ".join(str(error).split())[:300]
                raise ApiError(400, f"the grammar is not valid: {reason}", param="pixelhand_form") from None
        try:
            length = len(self.chat.render(request.messages, request.tools, thinking=request.thinking).input_ids)
        except UsageError as error:
            raise ApiError(400, str(error), param="messages") from None
        remaining = self.max_context_tokens - length
        if remaining < (request.max_new_tokens or 1):
            raise ApiError(
                400,
                f"the prompt has {length} tokens and {request.max_new_tokens or 1} are requested; "
                f"together they must not exceed {self.max_context_tokens}",
                param="messages",
                code="context_length_exceeded",
            )
        max_new_tokens = request.max_new_tokens or min(remaining, self.chat.settings.max_new_tokens)
        return PreparedRequest(request, grammar, length, max_new_tokens)

    def complete(self, prepared: PreparedRequest, on_delta: Callable[[str], None]) -> Completion:
        """Generate a reply.

        Args:
            prepared: The request.
            on_delta: Called after each token with the new text that may be sent, possibly ""; an exception that it
                raises ends the generation.
        """
        request = prepared.request
        stream = StreamFilter(request.stop, (CALL_OPEN,) if request.calls else ())

        def on_text(text: str) -> None:
            on_delta(stream.update(text))
            if stream.is_stopped:
                raise _StopSequenceError

        finish, text, count = "stop", "", 0
        try:
            if prepared.grammar is None and request.top_p == 1:
                reply = self.chat.reply(
                    request.messages,
                    request.tools,
                    max_new_tokens=prepared.max_new_tokens,
                    temperature=request.temperature,
                    seed=request.seed,
                    on_text=on_text,
                    form=request.form,
                    thinking=request.thinking,
                )
                text, count = reply.text, reply.reply_tokens
                assert self.chat.stats is not None
                finish = "stop" if self.chat.stats.ended else "length"
            else:
                text, count, finish = self._generate(prepared, on_text)
        except _StopSequenceError:
            count = len(self.chat.tokenizer.encode(stream.text))
        else:
            stream.finish(text)
        parsed = parse_calls(stream.text, request.tools) if request.calls else None
        if parsed:
            return Completion(*parsed, "tool_calls", prepared.prompt_tokens, count)
        on_delta(stream.rest())
        return Completion(stream.text, (), finish, prepared.prompt_tokens, count)

    def _generate(self, prepared: PreparedRequest, on_text: Callable[[str], None]) -> tuple[str, int, str]:
        """Generate with a JSON grammar or top_p; return text, number of tokens and finish reason."""
        import torch

        from model.engine.decode import ImageInputs, Sampling, stream_batch
        from model.processing.image import patchify

        chat, request = self.chat, prepared.request
        prompt = chat.render(request.messages, request.tools, thinking=request.thinking)
        constrained = None
        if prepared.grammar is not None:
            constrained = json_grammar.ConstrainedLogits(chat.model, self._tokens, prepared.grammar)
        images: ImageInputs = {}
        if prompt.screens:
            patchified = [patchify(screen.pixels, chat.limits, chat.model.device) for screen in prompt.screens]
            images = {
                "pixel_values": torch.cat([patches for patches, _ in patchified]),
                "image_grid_thw": [grid for _, grid in patchified],
            }
        ids: list[int] = []
        for token in stream_batch(
            constrained or chat.model,  # type: ignore[arg-type]  # ConstrainedLogits forwards all attributes
            torch.tensor([prompt.input_ids], device=chat.model.device),
            max_new_tokens=prepared.max_new_tokens,
            stop_ids=chat.tokenizer.stop_ids,
            sampling=Sampling(temperature=request.temperature, top_p=request.top_p, seed=request.seed),
            vocabulary=self.vocabulary,
            **images,
        ):
            ids.append(int(token[0]))
            is_last = ids[-1] in chat.tokenizer.stop_ids or (constrained is not None and constrained.accept(ids[-1]))
            on_text(chat.tokenizer.decode(ids))
            if is_last:
                return chat.tokenizer.decode(ids), len(ids), "stop"
        return chat.tokenizer.decode(ids), len(ids), "length"


class StreamFilter:
    """Decides which part of a growing text may be sent: up to a stop sequence or a tag, and no part of either.

    Args:
        stop_sequences: Texts that end the reply and are not part of it.
        tags: Texts from which on nothing is sent until the reply is complete.

    Attributes:
        text: The reply up to a stop sequence.
        is_stopped: Whether a stop sequence was found.
    """

    def __init__(self, stop_sequences: Sequence[str] = (), tags: Sequence[str] = ()) -> None:
        self.stop_sequences, self.tags = tuple(stop_sequences), tuple(tags)
        self.text = ""
        self.is_stopped = False
        self._sent = 0  # characters

    def update(self, text: str) -> str:
        """Take the text generated so far; return what may be sent in addition."""
        self._set_text(text)
        ends = [len(self.text), *(index for tag in self.tags if (index := self.text.find(tag)) >= 0)]
        end = min(ends)
        if end == len(text):
            end -= max((_overlap(text, mark) for mark in (*self.stop_sequences, *self.tags)), default=0)
            end -= len(text[:end]) - len(text[:end].rstrip(REPLACEMENT))
        return self._send(end)

    def finish(self, text: str) -> None:
        """Take the complete text."""
        self._set_text(text)

    def rest(self) -> str:
        """Return all that has not been sent."""
        return self._send(len(self.text))

    def _set_text(self, text: str) -> None:
        first = min((index for stop in self.stop_sequences if (index := text.find(stop)) >= 0), default=-1)
        self.is_stopped = self.is_stopped or first >= 0
        self.text = text if first < 0 else text[:first]

    def _send(self, end: int) -> str:
        delta = self.text[self._sent : end]
        self._sent = max(self._sent, end)
        return delta


def _overlap(text: str, mark: str) -> int:
    """Return the length of the longest proper prefix of `mark` that ends `text`."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)


def parse_calls(text: str, tools: Sequence[JsonObject] = ()) -> tuple[str | None, tuple[dict[str, str], ...]] | None:
    """Return (text before the first call, calls), or None when there is no call or one cannot be parsed."""
    before, *parts = text.split(CALL_OPEN)
    if not parts:
        return None
    calls = []
    for part in parts:
        try:
            calls.append(_parse_call(part, tools))
        except (ToolCallError, KeyError, TypeError):
            return None
    return before.strip() or None, tuple(calls)


def _parse_call(text: str, tools: Sequence[JsonObject]) -> dict[str, str]:
    inner, closing, _ = text.partition(CALL_CLOSE)
    try:
        data = json.loads(inner)
        name, arguments = data["name"], data["arguments"]
    except (ValueError, RecursionError):
        call = find_call(CALL_OPEN + inner + closing)  # tolerates the mistakes of models, like a trailing comma
        name, arguments = call.name, dict(call.arguments)
        if call.is_xml:
            arguments = decode_values(arguments, _argument_types(name, tools))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ToolCallError("the call has no name")
    return {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}


def _argument_types(name: str | None, tools: Sequence[JsonObject]) -> dict[str, object]:
    """Return the JSON types of a function's arguments, as far as its tool states them."""
    functions = [tool["function"] for tool in tools if tool["function"]["name"] == name]
    properties = (functions[0].get("parameters") or {}).get("properties") if functions else None
    schemas = properties.items() if isinstance(properties, dict) else ()
    return {key: schema.get("type") for key, schema in schemas if isinstance(schema, dict)}
