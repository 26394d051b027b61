"""Out of memory: one sentence, nothing half known, and a run that may go on with less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actions import Call, Reply, Screen, Step
from agent.memory import Memory
from agent.policy import LocalPolicy
from model.chat import Chat, load_chat
from model.dialects.qwen25 import Dialect
from model.engine.room import OutOfMemory, enough

VERBS = frozenset({"click"})


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("x: can't allocate memory: 9")]
)
def test_each_way_of_saying_so_is_one_sentence(error: Exception) -> None:
    says = "no memory on cpu for a context of 7 tokens; show fewer pictures"
    with pytest.raises(OutOfMemory, match=says), enough(7, torch.device("cpu")):
        raise error
    with pytest.raises(RuntimeError, match="something else"), enough(7, torch.device("cpu")):
        raise RuntimeError("something else")


def screens(count: int) -> list[Screen]:
    rng = np.random.default_rng(0)
    return [Screen(rng.integers(0, 256, (280, 224, 3), dtype=np.uint8)) for _ in range(count)]


def limited(chat: Chat, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the device have no room for a longer context."""
    forward = chat.session._forward

    def refuse(embeddings: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if chat.session.length + len(embeddings) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(embeddings, positions)

    monkeypatch.setattr(chat.session, "_forward", refuse)


def policy(chat: Chat, **how: Any) -> LocalPolicy:
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    return LocalPolicy(chat, Dialect(chat.limits), Memory(8, 8), **how)


def past(shown: list[Screen]) -> list[Step]:
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    return [Step(n, one, Reply("a"), call) for n, one in enumerate(shown, 1)]


def test_a_run_that_may_shrinks_until_it_fits_and_says_the_same_as_one_that_was_small(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *before, now = screens(5)
    chat = load_chat(tiny_folder, "cpu")
    small = LocalPolicy(chat, Dialect(chat.limits), Memory(8, 2))
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    expected = small.decide("Go.", past(before), now, VERBS)
    whole = expected.prompt_tokens
    chat.forget()
    limited(chat, monkeypatch, whole + 8)
    with pytest.raises(OutOfMemory):
        policy(chat).decide("Go.", past(before), now, VERBS)
    assert chat.session.length == 0
    shrinking = policy(chat, shrink=True)
    reply = shrinking.decide("Go.", past(before), now, VERBS)
    assert reply.text == expected.text and shrinking.memory.pictures == 2
    assert shrinking.about["pictures"] == 2


def test_what_does_not_fit_even_alone_is_told(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *before, now = screens(3)
    chat = load_chat(tiny_folder, "cpu")
    limited(chat, monkeypatch, 10)
    with pytest.raises(OutOfMemory, match="no memory"):
        policy(chat, shrink=True).decide("Go.", past(before), now, VERBS)
