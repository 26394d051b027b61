"""Out of memory: one sentence, nothing half known, and a run that may go on with less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actions import Call, Reply, Screen, Step
from agent.history_window import HistoryWindow
from agent.policies.local import LocalPolicy
from model.chat_model import ChatModel, load_chat
from model.dialects.qwen25 import Dialect
from model.engine.memory_errors import ContextLengthError, OutOfMemoryError, translate_out_of_memory
from model.engine.session import PrefixCachedSession
from model.engine.vision_cache import VisionCache
from model.nn.kv_cache import KVCache
from model.processing.image import ImageLimits

VERBS = frozenset({"click"})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
        RuntimeError("x: can't allocate memory: 9"),
    ],
)
def test_each_way_of_saying_so_is_one_sentence(error: Exception) -> None:
    says = "no memory on cpu for a context of 7 tokens; show fewer pictures"
    with pytest.raises(OutOfMemoryError, match=says), translate_out_of_memory(7, torch.device("cpu")):
        raise error
    with pytest.raises(RuntimeError, match="something else"), translate_out_of_memory(7, torch.device("cpu")):
        raise RuntimeError("something else")


def test_the_allocators_own_words_are_known() -> None:
    with pytest.raises(OutOfMemoryError, match="no memory on cpu"), translate_out_of_memory(7, torch.device("cpu")):
        torch.empty(1 << 60)


def screens(count: int) -> list[Screen]:
    rng = np.random.default_rng(0)
    return [Screen(rng.integers(0, 256, (280, 224, 3), dtype=np.uint8)) for _ in range(count)]


def limited(chat: ChatModel, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the device have no room for a longer context."""
    forward = chat.session._forward

    def refuse(embeddings: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if chat.session.length + len(embeddings) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(embeddings, positions)

    monkeypatch.setattr(chat.session, "_forward", refuse)


def policy(chat: ChatModel, **how: Any) -> LocalPolicy:
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    return LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 8), **how)


def past(shown: list[Screen]) -> list[Step]:
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    return [Step(n, one, Reply("a"), call) for n, one in enumerate(shown, 1)]


def test_a_run_that_may_shrinks_until_it_fits_and_says_the_same_as_one_that_was_small(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *before, now = screens(5)
    chat = load_chat(tiny_folder, "cpu")
    small = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 2))
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    expected = small.decide("Go.", past(before), now, VERBS)
    whole = expected.prompt_tokens
    chat.reset()
    limited(chat, monkeypatch, whole + 8)
    with pytest.raises(OutOfMemoryError):
        policy(chat).decide("Go.", past(before), now, VERBS)
    assert chat.session.length == 0
    shrinking = policy(chat, auto_shrink_history=True)
    reply = shrinking.decide("Go.", past(before), now, VERBS)
    assert reply.text == expected.text and shrinking.history.images == 2
    assert shrinking.metadata["pictures"] == 2


def test_what_does_not_fit_even_alone_is_told(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *before, now = screens(3)
    chat = load_chat(tiny_folder, "cpu")
    limited(chat, monkeypatch, 10)
    with pytest.raises(OutOfMemoryError, match="no memory"):
        policy(chat, auto_shrink_history=True).decide("Go.", past(before), now, VERBS)


def test_a_context_beyond_the_budget_shrinks_too_and_what_was_kept_stays(tiny_folder: Path) -> None:
    *before, now = screens(5)
    chat = load_chat(tiny_folder, "cpu")
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    first = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 2)).decide("Go.", past(before), now, VERBS)
    chat.session = PrefixCachedSession(chat.model, budget_tokens=first.prompt_tokens + 4)
    with pytest.raises(ContextLengthError, match=f"tokens and the budget is {first.prompt_tokens + 4}; .*--shrink"):
        policy(chat).decide("Go.", past(before), now, VERBS)
    allowed = policy(chat, auto_shrink_history=True)
    assert allowed.decide("Go.", past(before), now, VERBS).text == first.text and allowed.history.images == 2
    held = chat.session.length
    with pytest.raises(ContextLengthError):  # the prompt has room, its reply has not
        chat.reply([{"role": "user", "content": "word " * first.prompt_tokens}])
    assert chat.session.length == held


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_steps_at_1080p_hold_no_more_than_the_budget_at_any_moment(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,691 tokens a picture, up to six of them, and a budget that has room for four: the run goes on with fewer."""
    chat = load_chat(tiny_folder, "cpu")
    chat.limits = ImageLimits()
    rows = torch.randn(2691, 32)
    monkeypatch.setattr(chat, "encoder", lambda patches, grid: rows + patches.mean())  # its memory is not the budget's
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    budget = 4 * 2691 + 3000
    chat.session = PrefixCachedSession(chat.model, budget_tokens=budget)
    chat.vision_cache = VisionCache(budget_bytes=5 * 2691 * 32 * 4)
    text = chat.model.config.text
    allowed = budget * text.num_hidden_layers * 2 * text.num_key_value_heads * text.head_dim * 4
    most, put = 0, KVCache.append

    def watch(cache: KVCache, *given: Any) -> Any:
        nonlocal most
        made = put(cache, *given)
        most = max(most, cache.bytes)
        return made

    monkeypatch.setattr(KVCache, "put", watch)
    acting = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(30, 5), auto_shrink_history=True)
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    done: list[Step] = []
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    for number in range(1, 31):
        frame = frame.copy()
        frame[number * 20 : number * 20 + 40] = number
        now = Screen(frame)
        reply = acting.decide("Book it.", done, now, VERBS)
        done.append(Step(number, now, reply, call))
        assert reply.prompt_tokens > 2691 and reply.prompt_tokens + 4 <= budget
        assert most <= allowed and chat.vision_cache.bytes <= chat.vision_cache.budget_bytes
    assert acting.history.images == 2 and most == allowed
