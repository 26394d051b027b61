"""Policies: what a local one asks and reads, and how a script is replayed."""

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
from model.dialects.base import Conversation, HistoryStep

GREY, WHITE = Screen(np.full((4, 4, 3), 128, np.uint8)), Screen(np.full((4, 4, 3), 255, np.uint8))


@dataclass
class ChatSettings:
    dialect: str = "echo"
    tool: str = "computer_use"
    history: str = "turns"
    max_new_tokens: int = 64
    grammar: bool = True


class Chat:
    name, path, fingerprint, settings = "tiny", Path("/somewhere"), "f00d", ChatSettings()

    def reply(self, messages: Any, tools: Any = (), **how: Any) -> Reply:
        self.asked = (messages, tools, how)
        how["on_text"]("so far")
        return Reply("words", prompt="prompt", prompt_tokens=3, reply_tokens=1, timings_s={"decode": 0.5})


class Echo:
    prompt_hash = "hash"

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        pictures = [shown.step.screen for shown in steps if shown.picture] + [screen]
        content = [{"type": "image", "image": picture} for picture in pictures] + [{"type": "text", "text": goal}]
        return Conversation(({"role": "user", "content": content},), ({"verbs": sorted(verbs)},))

    def parse(self, text: str) -> Call:
        return Call(text, {})

    def to_action(self, call: Call, screen: Screen) -> Any:
        return Click(x=1, y=1)


def test_a_local_policy_shows_what_memory_chooses_and_says_which_pictures_were_in_the_prompt() -> None:
    chat, heard = Chat(), []
    policy: Policy = LocalPolicy(chat, Echo(), HistoryWindow(4, 1), temperature=0.5, seed=3, on_text=heard.append)
    reply = policy.decide("goal", [Step(1, GREY, Reply("a")), Step(2, WHITE, Reply("b"))], GREY, frozenset({"click"}))
    assert reply.image_digests == (WHITE.digest, GREY.digest)
    assert (reply.text, reply.prompt, reply.prompt_tokens, dict(reply.timings_s)) == (
        "words",
        "prompt",
        3,
        {"decode": 0.5},
    )
    messages, tools, how = chat.asked
    assert messages[0]["content"][-1]["text"] == "goal" and tools == ({"verbs": ["click"]},)
    assert (how["temperature"], how["seed"], heard) == (0.5, 3 + 2, ["so far"])  # each step draws anew
    assert policy.to_action(policy.parse(reply), GREY) == Click(x=1, y=1)


def test_calls_are_held_to_the_form_that_a_dialect_has_unless_told_otherwise() -> None:
    class Formed(Echo):
        def form(self, verbs: frozenset[str], screen: Screen) -> Any:
            return ("form", sorted(verbs), screen.width)

    chat = Chat()
    LocalPolicy(chat, Formed(), HistoryWindow(4, 1), on_text=lambda text: None).decide(
        "goal", [], GREY, frozenset({"click"})
    )
    assert chat.asked[2]["form"] == ("form", ["click"], 4)
    chat.settings = ChatSettings(grammar=False)
    LocalPolicy(chat, Formed(), HistoryWindow(4, 1), on_text=lambda text: None).decide(
        "goal", [], GREY, frozenset({"click"})
    )
    assert "form" not in chat.asked[2]


def test_a_local_policy_says_all_that_a_trace_needs() -> None:
    about = LocalPolicy(Chat(), Echo(), HistoryWindow(4, 1)).metadata
    assert about["fingerprint"] == "f00d" and about["prompt_hash"] == "hash" and about["dialect"] == "echo"
    assert about["model"] == "tiny" and about["history_steps"] == 4 and about["pictures"] == 1


def test_a_script_has_a_fingerprint_of_its_replies() -> None:
    same = [ScriptPolicy(["a", "b"]).metadata["fingerprint"] for _ in range(2)]
    assert same[0] == same[1] != ScriptPolicy(["ab"]).metadata["fingerprint"]
    assert ScriptPolicy(["\ud800"]).metadata["model"] == "script"


def test_a_script_says_its_replies_in_order_and_then_that_it_is_over() -> None:
    script = ScriptPolicy(["a", "b"])
    assert [script.decide("", [], GREY, frozenset()).text for _ in range(2)] == ["a", "b"]
    with pytest.raises(UsageError, match="2 replies"):
        script.decide("", [], GREY, frozenset())


def test_a_script_speaks_the_dialect_it_is_given() -> None:
    script = ScriptPolicy(["any"], Echo())
    assert script.parse(Reply("any")) == Call("any", {})


def test_plain_actions_keep_their_thought() -> None:
    call = JsonDialect().parse('{"verb": "click", "x": 1, "y": 2, "thought": "there"}')
    assert (call.name, dict(call.arguments), call.thought) == ("click", {"x": 1, "y": 2}, "there")
    assert JsonDialect().to_action(call, GREY) == Click(x=1, y=2)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"x": 1}', '{"verb": 3}', "[" * 100_000, '"' + "a" * 9, "{" * 9])
def test_what_is_not_an_action_is_a_bad_call(text: str) -> None:
    with pytest.raises(InvalidActionError, match="the reply is not"):
        JsonDialect().parse(text)


@pytest.mark.parametrize(
    "call", [Call("fly", {}), Call("click", {"x": 4, "y": 0}), Call("click", {"x": 1, "y": 1, "z": 2})]
)
def test_an_action_that_cannot_be_is_a_bad_call(call: Call) -> None:
    with pytest.raises(InvalidActionError):
        JsonDialect().to_action(call, GREY)
