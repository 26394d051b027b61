"""RemotePolicy: a checkpoint on an OpenAI-compatible server, prompted exactly as it would be in process.

Screenshots are resized here, by the rule and filter of model.processing.image, so that points are in the same pixels.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from actions import Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow
from agent.policies.base import ANSWER_TOKENS, YES_OR_NO, DialectPolicyMixin, OnText, question_conversation
from agent.policies.remote import structured_output
from agent.policies.remote.client import ChatClient
from agent.policies.remote.messages import Message, data_uri, render_messages, text_only
from agent.policies.remote.profile import ModelProfile
from model.dialects.base import Conversation, Dialect

IMAGE_CACHE_SIZE = 32
TOP_LOGPROBS = 20  # the most that OpenAI's API returns


class RemotePolicy(DialectPolicyMixin):
    """A served model with its dialect and history window.

    Args:
        client: The server and the model's name on it.
        dialect: How the model is prompted and how its replies are parsed.
        profile: The model's image limits, history and generation limits.
        temperature: Sampling temperature; 0 is greedy decoding.
        seed: Random seed of sampling; each step adds its index.
        on_text: Called with the reply's text so far while it is generated.

    Attributes:
        check_result: What the start-up check reported; "" without a check.
        check_size: Called before a screenshot with more pixels than any that the start-up check covered.
    """

    def __init__(
        self,
        client: ChatClient,
        dialect: Dialect,
        profile: ModelProfile,
        *,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: OnText | None = None,
    ) -> None:
        self.client, self.dialect, self.profile = client, dialect, profile
        self.history = HistoryWindow(profile.history_steps, profile.images)
        self.temperature, self.seed, self.on_text = temperature, seed, on_text
        self.check_result = ""
        self.check_size: Callable[[RemotePolicy, int, int], None] | None = None
        self.checked_pixels = 0
        self._image_uris: OrderedDict[str, str] = OrderedDict()  # consecutive prompts share most images

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        profile = self.profile
        return {
            "model": self.client.name,
            "server": self.client.base,
            "fingerprint": profile.fingerprint,
            "dialect": profile.dialect,
            "tool": getattr(self.dialect, "tool", profile.tool),
            "history": getattr(self.dialect, "history", profile.history),
            "prompt_hash": self.dialect.prompt_hash,
            "history_steps": profile.history_steps,
            "pictures": profile.images,
            "max_new_tokens": profile.max_new_tokens,
            "max_pixels": profile.limits.max_pixels,
            "tools": profile.tools,
            "temperature": self.temperature,
            "structured": profile.structured,
            "facts_from": profile.source,
            "checked": self.check_result,
        }

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the server's reply to a screen.

        Raises:
            UsageError: The server rejects the request, or moves coordinates on screenshots of this size.
            SurfaceError: The server is unreachable.
        """
        self._check_screen_size(screen)
        seed = None if self.seed is None else self.seed + len(steps)
        conversation = self.dialect.conversation(goal, self.history.select(steps), screen, verbs)
        constraint = structured_output.request_fields(self.profile.structured, self.dialect, verbs, screen)
        return self.reply(conversation, seed=seed, on_text=self.on_text, constraint=constraint)

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        """Return the server's answer to a question about images, held to a JSON schema where the server can.

        Raises:
            UsageError: The server rejects the request.
            SurfaceError: The server is unreachable.
        """
        return self.reply(
            question_conversation(question, screens, is_question_first=is_question_first),
            seed=self.seed,
            max_new_tokens=max_new_tokens or ANSWER_TOKENS,
            constraint={} if schema is None else structured_output.schema_fields(self.profile.structured, schema),
        )

    def reply(
        self,
        conversation: Conversation,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        on_text: OnText | None = None,
        max_new_tokens: int | None = None,
        constraint: Mapping[str, object] = MappingProxyType({}),
    ) -> Reply:
        """Return the server's reply to a conversation.

        Args:
            conversation: The dialect's messages and function schemas.
            temperature: Overrides the policy's temperature.
            seed: Random seed of sampling.
            on_text: Called with the reply's text so far; requests a stream.
            max_new_tokens: Overrides the profile's limit.
            constraint: Request fields that constrain the reply; see structured_output.
        """
        start = time.perf_counter()
        messages, tools = render_messages(conversation, self.profile.tools)
        fields: dict[str, object] = {
            "messages": [self._to_wire(message) for message in messages],
            "max_tokens": max_new_tokens or self.profile.max_new_tokens,
            "temperature": self.temperature if temperature is None else temperature,
            **constraint,
        }
        if seed is not None:
            fields["seed"] = seed
        if conversation.thinking is not None:
            fields["chat_template_kwargs"] = {"enable_thinking": conversation.thinking}
        if tools:
            fields["tools"] = list(tools)
            fields["tool_choice"] = "none"  # the reply as generated, without parsed tool calls
        sent_at = time.perf_counter()
        completion = self.client.complete(fields, on_text)
        received_at = time.perf_counter()
        texts = [text_only(message) for message in messages]
        prompt = json.dumps({"messages": texts, **({"tools": list(tools)} if tools else {})}, ensure_ascii=False)
        return Reply(
            completion.text,
            prompt,
            completion.prompt_tokens,
            completion.reply_tokens,
            {"preprocess": sent_at - start, "server": received_at - sent_at},
            tuple(part["image"].digest for message in messages for part in message["content"] if "image" in part),
            is_truncated=completion.is_truncated,
        )

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        """Return the probability of yes against no as the answer to a question about screenshots.

        Raises:
            UsageError: The server returns no log probabilities, or neither yes nor no is among them.
            SurfaceError: The server is unreachable.
        """
        fields: dict[str, object] = {
            "messages": [self._to_wire(message) for message in question_conversation(question, screens).messages],
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }
        first_tokens = self.client.complete(fields).first_tokens
        if not first_tokens:
            raise UsageError(f"the server {self.client.base} returns no log probabilities")
        yes, no = (
            sum(math.exp(value) for token, value in first_tokens.items() if token.strip() in words)
            for words in YES_OR_NO
        )
        if not yes + no:
            raise UsageError(f"{self.client.name} answers neither yes nor no")
        return yes / (yes + no)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def _check_screen_size(self, screen: Screen) -> None:
        """Check once for each larger size that the server keeps its coordinates."""
        if self.check_size is None:
            return
        width, height = self.profile.limits.resized(screen.width, screen.height)
        if width * height > self.checked_pixels:
            self.checked_pixels = width * height
            self.check_size(self, width, height)

    def _to_wire(self, message: Mapping[str, Any]) -> Message:
        return {"role": message["role"], "content": [self._part_to_wire(part) for part in message["content"]]}

    def _part_to_wire(self, part: Mapping[str, Any]) -> Message:
        if part["type"] == "text":
            return dict(part)
        screen: Screen = part["image"]
        uri = self._image_uris.pop(screen.digest, None) or data_uri(
            screen, *self.profile.limits.resized(screen.width, screen.height)
        )
        self._image_uris[screen.digest] = uri
        while len(self._image_uris) > IMAGE_CACHE_SIZE:
            self._image_uris.popitem(last=False)
        return {"type": "image_url", "image_url": {"url": uri}}
