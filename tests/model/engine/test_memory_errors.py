"""Out of memory: the error message, the state afterwards, and policies that shrink their history."""

from __future__ import annotations

from collections.abc import Sequence
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
def test_out_of_memory_errors_are_translated(error: Exception) -> None:
    message = "no memory on cpu for a context of 7 tokens; lower pictures"
    with pytest.raises(OutOfMemoryError, match=message), translate_out_of_memory(7, torch.device("cpu")):
        raise error
    with pytest.raises(RuntimeError, match="something else"), translate_out_of_memory(7, torch.device("cpu")):
        raise RuntimeError("something else")


def test_cpu_allocator_error_is_translated() -> None:
    with pytest.raises(OutOfMemoryError, match="no memory on cpu"), translate_out_of_memory(7, torch.device("cpu")):
        torch.empty(1 << 60)


def screens(count: int) -> list[Screen]:
    rng = np.random.default_rng(0)
    return [Screen(rng.integers(0, 256, (280, 224, 3), dtype=np.uint8)) for _ in range(count)]


def limit_context(chat: ChatModel, monkeypatch: pytest.MonkeyPatch, max_tokens: int) -> None:
    """Raise torch's out-of-memory error for a longer context."""
    forward = chat.session._forward

    def refuse(embeddings: torch.Tensor, positions: torch.Tensor, borders: Sequence[int] = ()) -> torch.Tensor:
        if chat.session.length + len(embeddings) > max_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(embeddings, positions, borders)

    monkeypatch.setattr(chat.session, "_forward", refuse)


def make_policy(chat: ChatModel, **options: Any) -> LocalPolicy:
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    return LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 8), **options)


def history(screens: list[Screen]) -> list[Step]:
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    return [Step(n, screen, Reply("a"), call) for n, screen in enumerate(screens, 1)]


def test_shrinking_policy_fits_memory(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *past_screens, screen = screens(5)
    chat = load_chat(tiny_folder, "cpu")
    small = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 2))
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    expected = small.decide("Go.", history(past_screens), screen, VERBS)
    prompt_tokens = expected.prompt_tokens
    chat.reset()
    limit_context(chat, monkeypatch, prompt_tokens + 8)
    with pytest.raises(OutOfMemoryError):
        make_policy(chat).decide("Go.", history(past_screens), screen, VERBS)
    assert chat.session.length == 0
    shrinking = make_policy(chat, auto_shrink_history=True)
    reply = shrinking.decide("Go.", history(past_screens), screen, VERBS)
    assert reply.text == expected.text
    assert shrinking.history.images == 2
    assert shrinking.metadata["pictures"] == 2


def test_single_screen_beyond_memory_raises(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *past_screens, screen = screens(3)
    chat = load_chat(tiny_folder, "cpu")
    limit_context(chat, monkeypatch, 10)
    with pytest.raises(OutOfMemoryError, match="no memory"):
        make_policy(chat, auto_shrink_history=True).decide("Go.", history(past_screens), screen, VERBS)


def test_shrinking_policy_fits_budget(tiny_folder: Path) -> None:
    *past_screens, screen = screens(5)
    chat = load_chat(tiny_folder, "cpu")
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    first = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(8, 2)).decide(
        "Go.", history(past_screens), screen, VERBS
    )
    chat.session = PrefixCachedSession(chat.model, budget_tokens=first.prompt_tokens + 4)
    with pytest.raises(
        ContextLengthError, match=f"tokens and the budget is {first.prompt_tokens + 4}; .*--auto-shrink-history"
    ):
        make_policy(chat).decide("Go.", history(past_screens), screen, VERBS)
    allowed = make_policy(chat, auto_shrink_history=True)
    assert allowed.decide("Go.", history(past_screens), screen, VERBS).text == first.text
    assert allowed.history.images == 2
    length = chat.session.length
    with pytest.raises(ContextLengthError):  # the prompt fits, the reply does not
        chat.reply([{"role": "user", "content": "word " * first.prompt_tokens}])
    assert chat.session.length == length


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_stays_within_budget_over_episode(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2,691 tokens per image and a budget for four of them, the policy continues with fewer images."""
    chat = load_chat(tiny_folder, "cpu")
    chat.limits = ImageLimits()
    embeddings = torch.randn(2691, 32)
    monkeypatch.setattr(chat, "encoder", lambda patches, grid: embeddings + patches.mean())  # not part of the budget
    chat.settings = chat.settings.__class__(max_new_tokens=4, grammar=False)
    budget = 4 * 2691 + 3000
    chat.session = PrefixCachedSession(chat.model, budget_tokens=budget)
    chat.vision_cache = VisionCache(budget_bytes=5 * 2691 * 32 * 4)
    text = chat.model.config.text
    allowed_bytes = budget * text.num_hidden_layers * 2 * text.num_key_value_heads * text.head_dim * 4
    peak_bytes, append = 0, KVCache.append

    def watch(cache: KVCache, *args: Any) -> Any:
        nonlocal peak_bytes
        views = append(cache, *args)
        peak_bytes = max(peak_bytes, cache.bytes)
        return views

    monkeypatch.setattr(KVCache, "append", watch)
    shrinking_policy = LocalPolicy(chat, Dialect(chat.limits), HistoryWindow(30, 5), auto_shrink_history=True)
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    steps: list[Step] = []
    call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
    for number in range(1, 31):
        frame = frame.copy()
        frame[number * 20 : number * 20 + 40] = number
        screen = Screen(frame)
        reply = shrinking_policy.decide("Book it.", steps, screen, VERBS)
        steps.append(Step(number, screen, reply, call))
        assert reply.prompt_tokens > 2691
        assert reply.prompt_tokens + 4 <= budget
        assert peak_bytes <= allowed_bytes
        assert chat.vision_cache.bytes <= chat.vision_cache.budget_bytes
    assert shrinking_policy.history.images == 2
    assert peak_bytes == allowed_bytes
