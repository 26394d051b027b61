"""Policies: a screen in, words out, and what the words mean. Knows a model and its dialect; knows no machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from actions import Call, InvalidActionError, Reply, Screen, Step, UsageError, parse_action, plugins
from agent.history_window import HistoryWindow
from model.dialects.base import Conversation, Dialect, DialectDefaults, HistoryStep


class Policy(Protocol):
    """Who decides. about says who it was, for the trace: model, fingerprint, dialect, prompt_hash, ..."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """The words for this screen, given what came before; verbs are those that can be carried out."""
        ...

    def parse(self, reply: Reply) -> Call:
        """The call in the words; BadCall when there is none."""
        ...

    def to_action(self, call: Call, screen: Screen) -> Any:
        """The one Action that the call means, in pixels of the screen; BadCall when it means none, or several."""
        ...

    def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
        """All that the call means, one Action after the other, in pixels of the same screen; BadCall when nothing."""
        ...

    def close(self) -> None: ...


class DialectPolicyMixin:
    """What is the same of every policy whose words one dialect reads."""

    dialect: Dialect

    def parse(self, reply: Reply) -> Call:
        return self.dialect.parse(reply.text)

    def to_action(self, call: Call, screen: Screen) -> Any:
        return self.dialect.to_action(call, screen)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
        """All that a call means, one Action after the other."""
        return self.dialect.to_actions(call, screen)


def open_dialect(name: str, limits: Any, prompt: str = "", **how: Any) -> Any:
    """A dialect by its name. prompt: a file whose text takes the place of its own; UsageError where it has none."""
    text = None
    if prompt:
        try:
            text = Path(prompt).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"the prompt {prompt} cannot be read ({error}); give a text file in UTF-8") from None
    return plugins.load_plugin("model.dialects", name).Dialect(limits, prompt=text, **how)


class LocalPolicy(DialectPolicyMixin):
    """A model on this machine: memory chooses, the dialect asks, the chat answers, the dialect reads.

    shrink: where the device has no room for what memory chooses, memory becomes smaller for the rest of the run.
    """

    def __init__(
        self,
        chat: Any,  # model.chat.Chat; the name would import torch
        dialect: Dialect,
        memory: HistoryWindow,
        *,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
        shrink: bool = False,
    ) -> None:
        self.chat, self.dialect, self.memory = chat, dialect, memory
        self.temperature, self.seed, self.on_text, self.shrink = temperature, seed, on_text, shrink

    @property
    def metadata(self) -> Mapping[str, Any]:
        settings = self.chat.settings
        return {
            "model": self.chat.name,
            "path": str(self.chat.path),
            "fingerprint": self.chat.fingerprint,
            "dialect": settings.dialect,
            "tool": settings.tool,
            "history": settings.history,
            "prompt_hash": self.dialect.prompt_hash,
            "history_steps": self.memory.history_steps,
            "pictures": self.memory.pictures,
            "max_new_tokens": settings.max_new_tokens,
            "temperature": self.temperature,
            "grammar": settings.grammar,
        }

    def prefetch(self, screen: Screen) -> None:
        """Make a screen ready that will be shown soon; from any thread."""
        self.chat.prefetch(screen)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        from model.engine.memory_errors import OutOfMemoryError

        while True:
            try:
                return self._decide(goal, steps, screen, verbs)
            except OutOfMemoryError:
                smaller = self.memory.shrink() if self.shrink else None
                if smaller is None:
                    raise
                self.memory = smaller

    def _decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        seed = None if self.seed is None else self.seed + len(steps)  # or every step would draw the same
        talk = self.dialect.conversation(goal, self.memory.select(steps), screen, verbs)
        how: dict[str, Any] = {"point_pattern": self.dialect.point_pattern}
        if self.chat.settings.grammar:
            how["form"] = self.dialect.grammar(verbs, screen)
        reply: Reply = self.chat.reply(
            talk.messages, talk.tools, temperature=self.temperature, seed=seed, on_text=self.on_text, **how
        )
        return replace(reply, image_digests=_image_digests(talk))

    def close(self) -> None:
        """Nothing to let go of: the weights belong to whoever loaded them."""


class ScriptPolicy(DialectPolicyMixin):
    """Replays given replies, whatever is on the screen: for tests, and for runs without a model.

    The replies are words of the dialect given, else of Plain. Asking for more of them than there are is a UsageError.
    """

    def __init__(self, replies: Sequence[str], dialect: Dialect | None = None) -> None:
        self.replies = tuple(replies)
        self.dialect: Dialect = dialect or JsonDialect()
        self._next = 0

    @property
    def metadata(self) -> Mapping[str, Any]:
        said = hashlib.sha256("\0".join(self.replies).encode("utf-8", "backslashreplace")).hexdigest()
        return {"model": "script", "fingerprint": said[:32], "prompt_hash": self.dialect.prompt_hash}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        if self._next >= len(self.replies):
            raise UsageError(
                f"the script has {len(self.replies)} replies and the run asks for one more; "
                "end it with one that says it is done, or lower --max-steps"
            )
        text = self.replies[self._next]
        self._next += 1
        return Reply(text, prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Nothing to let go of."""


class JsonDialect(DialectDefaults):
    """The plainest dialect: a reply is an action as JSON, {"verb": "click", "x": 3, "y": 4}, in pixels of the screen.

    "thought" beside the verb is the thought. No model speaks it; scripts written by hand do.
    """

    prompt_hash = "plain"

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        content = ({"type": "image", "image": screen}, {"type": "text", "text": goal})
        return Conversation(({"role": "user", "content": list(content)},))

    def parse(self, text: str) -> Call:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidActionError(f"the reply is not JSON ({str(error)[:100]})") from None
        if not isinstance(data, dict) or not isinstance(data.get("verb"), str):
            raise InvalidActionError('the reply is not an action like {"verb": "click", "x": 3, "y": 4}')
        return Call(data.pop("verb"), data, thought=str(data.pop("thought", "")))

    def to_action(self, call: Call, screen: Screen) -> Any:
        action = parse_action({**call.arguments, "verb": call.name})
        for point in action.points():
            screen.check_point(*point)
        return action


def _image_digests(talk: Conversation) -> tuple[str, ...]:
    parts = (part for message in talk.messages for part in message["content"])
    return tuple(part["image"].digest for part in parts if part["type"] == "image")
