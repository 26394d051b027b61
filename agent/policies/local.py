"""LocalPolicy: a checkpoint that runs in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from actions import Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow
from agent.policies.base import ANSWER_TOKENS, YES_OR_NO, DialectPolicyMixin, OnText, question_conversation
from model.dialects.base import Conversation, Dialect

if TYPE_CHECKING:
    from model.chat_model import ChatModel  # imports torch
    from model.processing.tokenizer import Message
    from model.processing.video import SampledVideo


class LocalPolicy(DialectPolicyMixin):
    """A chat model with its dialect and history window.

    Args:
        chat: The loaded checkpoint.
        dialect: How the checkpoint is prompted and how its replies are parsed.
        history: Which earlier steps are in the prompt.
        temperature: Sampling temperature; 0 is greedy decoding.
        seed: Random seed of sampling; each step adds its index.
        on_text: Called with the reply's text so far while it is generated.
        auto_shrink_history: Reduce the history for the rest of the run when memory runs out, instead of failing.
    """

    def __init__(
        self,
        chat: ChatModel,
        dialect: Dialect,
        history: HistoryWindow,
        *,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: OnText | None = None,
        auto_shrink_history: bool = False,
    ) -> None:
        self.chat, self.dialect, self.history = chat, dialect, history
        self.temperature, self.seed, self.on_text = temperature, seed, on_text
        self.auto_shrink_history = auto_shrink_history

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        settings = self.chat.settings
        return {
            "model": self.chat.name,
            "path": str(self.chat.path),
            "fingerprint": self.chat.fingerprint,
            "dialect": settings.dialect,
            "tool": settings.tool,
            "history": settings.history,
            "prompt_hash": self.dialect.prompt_hash,
            "history_steps": self.history.steps,
            "pictures": self.history.images,
            "max_new_tokens": settings.max_new_tokens,
            "temperature": self.temperature,
            "grammar": settings.grammar,
        }

    def prefetch(self, screen: Screen) -> None:
        """Preprocess a screenshot that `decide` will receive soon. Thread-safe."""
        self.chat.prepare(screen)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the model's reply to a screen.

        Raises:
            OutOfMemoryError: The prompt does not fit, and the history cannot or may not shrink.
        """
        from model.engine.memory_errors import OutOfMemoryError

        while True:
            try:
                return self._decide(goal, steps, screen, verbs)
            except OutOfMemoryError:
                smaller = self.history.shrink() if self.auto_shrink_history else None
                if smaller is None:
                    raise
                self.history = smaller

    def _decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        seed = None if self.seed is None else self.seed + len(steps)  # else every step would draw the same sample
        conversation = self.dialect.conversation(goal, self.history.select(steps), screen, verbs)
        form = self.dialect.grammar(verbs, screen) if self.chat.settings.grammar else None
        reply = self.chat.reply(
            conversation.messages,
            conversation.tools,
            temperature=self.temperature,
            seed=seed,
            on_text=self.on_text,
            form=form,
            point_pattern=self.dialect.point_pattern,
            syntax=conversation.syntax,
            thinking=conversation.thinking,
        )
        return replace(reply, image_digests=_image_digests(conversation))

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        """Return the probability of yes against no as the answer to a question about screenshots.

        Raises:
            UsageError: The model was trained on actions alone.
        """
        self._check_answers_questions()
        return self.chat.choose(question_conversation(question, screens).messages, YES_OR_NO)[0]

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        """Return the model's answer to a question about images, held to a JSON schema by a grammar.

        Raises:
            UsageError: The model was trained on actions alone, or answers cannot be held to the schema.
        """
        conversation = question_conversation(question, screens, is_question_first=is_question_first)
        reply = self._answer(conversation.messages, schema, max_new_tokens)
        return replace(reply, image_digests=_image_digests(conversation))

    def accepts_videos(self) -> bool:
        """Return whether the model takes videos.

        Raises:
            UsageError: The model was trained on actions alone.
        """
        self._check_answers_questions()
        return self.chat.supports_videos

    def answer_video(self, question: str, video: SampledVideo, schema: Mapping[str, object] | None) -> Reply:
        """Return the model's answer to a question about a video, held to a JSON schema by a grammar.

        Raises:
            UsageError: The model was trained on actions alone, or takes no videos.
        """
        content = [{"type": "video", "video": video}, {"type": "text", "text": question}]
        return self._answer([{"role": "user", "content": content}], schema)

    def _answer(
        self, messages: Sequence[Message], schema: Mapping[str, object] | None, max_new_tokens: int | None = None
    ) -> Reply:
        from model.engine.json_grammar import answer_tokens, json_grammar

        self._check_answers_questions()
        default_tokens = ANSWER_TOKENS if schema is None else answer_tokens(schema)
        return self.chat.reply(
            messages,
            max_new_tokens=max_new_tokens or default_tokens,
            temperature=self.temperature,
            seed=self.seed,
            form=None if schema is None else json_grammar(schema),
            thinking=None if schema is None else False,  # the grammar begins with the answer
        )

    def _check_answers_questions(self) -> None:
        if not self.chat.settings.answers_questions:
            raise UsageError(f"{self.chat.name} cannot answer questions: it was trained on actions alone")

    def close(self) -> None:
        """Do nothing: the caller owns the weights."""


def _image_digests(conversation: Conversation) -> tuple[str, ...]:
    parts = (part for message in conversation.messages for part in message["content"])
    return tuple(part["image"].digest for part in parts if part["type"] == "image")
