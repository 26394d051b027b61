"""Tests of LocalPolicy, ScriptPolicy and JsonDialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actions import Call, Click, InvalidActionError, Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow
from agent.policies.base import Policy
from agent.policies.local import LocalPolicy
from agent.policies.scripted import JsonDialect, ScriptPolicy
from model.dialects.base import Conversation, Dialect, HistoryStep

GRAY, WHITE = Screen(np.full((4, 4, 3), 128, np.uint8)), Screen(np.full((4, 4, 3), 255, np.uint8))


@dataclass
class ChatSettings:
    dialect: str = "echo"
    tool: str = "computer_use"
    history: str = "turns"
    max_new_tokens: int = 64
    grammar: bool = True


class Chat:
    name, path, fingerprint, settings = "tiny", Path("/somewhere"), "f00d", ChatSettings()

    def reply(self, messages: Any, tools: Any = (), **options: Any) -> Reply:
        self.request = (messages, tools, options)
        options["on_text"]("so far")
        return Reply("words", prompt="prompt", prompt_tokens=3, reply_tokens=1, timings_s={"decode": 0.5})


class Echo(Dialect):
    prompt_hash = "hash"

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        screens = [entry.step.screen for entry in steps if entry.picture] + [screen]
        content = [{"type": "image", "image": image} for image in screens] + [{"type": "text", "text": goal}]
        return Conversation(({"role": "user", "content": content},), ({"verbs": sorted(verbs)},))

    def parse(self, text: str) -> Call:
        return Call(text, {})

    def to_action(self, call: Call, screen: Screen) -> Any:
        return Click(x=1, y=1)


def test_local_policy_prompt_follows_history_window() -> None:
    chat, texts = Chat(), []
    policy: Policy = LocalPolicy(chat, Echo(), HistoryWindow(4, 1), temperature=0.5, seed=3, on_text=texts.append)
    reply = policy.decide("goal", [Step(1, GRAY, Reply("a")), Step(2, WHITE, Reply("b"))], GRAY, frozenset({"click"}))
    assert reply.image_digests == (WHITE.digest, GRAY.digest)
    assert (reply.text, reply.prompt, reply.prompt_tokens, dict(reply.timings_s)) == (
        "words",
        "prompt",
        3,
        {"decode": 0.5},
    )
    messages, tools, options = chat.request
    assert messages[0]["content"][-1]["text"] == "goal"
    assert tools == ({"verbs": ["click"]},)
    assert (options["temperature"], options["seed"], texts) == (0.5, 3 + 2, ["so far"])  # each step draws anew
    assert policy.to_action(policy.parse(reply), GRAY) == Click(x=1, y=1)


def test_local_policy_passes_dialect_grammar() -> None:
    class GrammarEcho(Echo):
        def grammar(self, verbs: frozenset[str], screen: Screen) -> Any:
            return ("form", sorted(verbs), screen.width)

    chat = Chat()
    LocalPolicy(chat, GrammarEcho(), HistoryWindow(4, 1), on_text=lambda text: None).decide(
        "goal", [], GRAY, frozenset({"click"})
    )
    assert chat.request[2]["form"] == ("form", ["click"], 4)
    chat.settings = ChatSettings(grammar=False)
    LocalPolicy(chat, GrammarEcho(), HistoryWindow(4, 1), on_text=lambda text: None).decide(
        "goal", [], GRAY, frozenset({"click"})
    )
    assert chat.request[2]["form"] is None


def test_local_policy_metadata_is_complete() -> None:
    metadata = LocalPolicy(Chat(), Echo(), HistoryWindow(4, 1)).metadata
    assert metadata["fingerprint"] == "f00d"
    assert metadata["prompt_hash"] == "hash"
    assert metadata["dialect"] == "echo"
    assert metadata["model"] == "tiny"
    assert metadata["history_steps"] == 4
    assert metadata["pictures"] == 1


def test_script_fingerprint_depends_on_replies() -> None:
    fingerprints = [ScriptPolicy(["a", "b"]).metadata["fingerprint"] for _ in range(2)]
    assert fingerprints[0] == fingerprints[1] != ScriptPolicy(["ab"]).metadata["fingerprint"]
    assert ScriptPolicy(["\ud800"]).metadata["model"] == "script"


def test_script_replays_replies_then_raises() -> None:
    script = ScriptPolicy(["a", "b"])
    assert [script.decide("", [], GRAY, frozenset()).text for _ in range(2)] == ["a", "b"]
    with pytest.raises(UsageError, match="2 replies"):
        script.decide("", [], GRAY, frozenset())


def test_script_uses_given_dialect() -> None:
    script = ScriptPolicy(["any"], Echo())
    assert script.parse(Reply("any")) == Call("any", {})


def test_json_dialect_keeps_thought() -> None:
    call = JsonDialect().parse('{"verb": "click", "x": 1, "y": 2, "thought": "there"}')
    assert (call.name, dict(call.arguments), call.thought) == ("click", {"x": 1, "y": 2}, "there")
    assert JsonDialect().to_action(call, GRAY) == Click(x=1, y=2)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"x": 1}', '{"verb": 3}', "[" * 100_000, '"' + "a" * 9, "{" * 9])
def test_json_dialect_rejects_invalid_text(text: str) -> None:
    with pytest.raises(InvalidActionError, match="the reply is not"):
        JsonDialect().parse(text)


@pytest.mark.parametrize(
    "call", [Call("fly", {}), Call("click", {"x": 4, "y": 0}), Call("click", {"x": 1, "y": 1, "z": 2})]
)
def test_json_dialect_rejects_impossible_action(call: Call) -> None:
    with pytest.raises(InvalidActionError):
        JsonDialect().to_action(call, GRAY)
