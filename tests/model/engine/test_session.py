"""A context continued from the cache equals one computed from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.growing_context import cold_logits, episode
from torch import Tensor

from actions import Screen, UsageError
from agent.history_window import HistoryWindow
from model.chat_model import ChatModel, load_chat
from model.engine.cuda_graphs import VisionGraphs
from model.engine.decode import Guide
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment, common_prefix_length, split_segments
from model.nn import attention
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import position_ids
from model.processing.image import patchify_frame

TOLERANCE = 1e-4


def prefill_prompt(chat: ChatModel, prompt_ids: list[int], screens: tuple) -> Tensor:
    """Return logits [V] after a prompt, with the session and the vision cache of a chat."""
    images = [chat._image_segment(screen) for screen in screens]
    context = split_segments(prompt_ids, chat.model.config.image_token_id, images)
    pixels = {image.key: screen.pixels for image, screen in zip(images, screens, strict=True)}

    def encode(image: ImageSegment) -> Tensor:
        return chat.vision_cache.get(
            image.key, lambda: chat.model.visual(patchify_frame(pixels[image.key], chat.limits)[0], [image.grid])
        )

    return chat.model.logits(chat.session.prefill(context, encode))[0]


def compare_with_cold(chat: ChatModel, seed: int, steps: int, memory: HistoryWindow) -> tuple[int, int]:
    """Compare warm and cold logits at each step of an episode; return the tokens reused and computed."""
    reused = computed = 0
    for turn, reply_texts in episode(chat, seed, steps, memory):
        prompt = chat.render(turn.messages, turn.tools)
        cold = cold_logits(chat, prompt)
        warm = prefill_prompt(chat, prompt.input_ids, prompt.screens)
        assert float((warm - cold).abs().max()) < TOLERANCE
        assert int(warm.argmax()) == int(cold.argmax())
        reused += chat.session.reused
        computed += chat.session.computed
        reply = chat.reply(turn.messages, turn.tools, max_new_tokens=8)
        reply_texts.append(reply.text)
    return reused, computed


@pytest.mark.parametrize("seed", range(3))
def test_warm_logits_equal_cold_logits(tiny_folder: Path, seed: int) -> None:
    chat = load_chat(tiny_folder, "cpu")
    reused, computed = compare_with_cold(chat, seed, 7, HistoryWindow(steps=5, images=4))
    assert reused > computed / 2  # else the test would prove nothing


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("model", ["tiny", "embedded"])
def test_warm_logits_equal_cold_logits_over_episodes(tiny_folder: Path, seed: int, model: str) -> None:
    chat = load_chat(tiny_folder if model == "tiny" else "embedded", "cpu")
    memory = HistoryWindow(steps=(4, 9, 30)[seed % 3], images=(0, 2, 5)[seed // 3 % 3])
    compare_with_cold(chat, seed, 12, memory)


def test_reply_is_equal_after_reset(tiny_folder: Path) -> None:
    warm, cold = load_chat(tiny_folder, "cpu"), load_chat(tiny_folder, "cpu")
    for turn, reply_texts in episode(warm, 5, 6, HistoryWindow(30, 3)):
        cold.reset()
        texts = [chat.reply(turn.messages, turn.tools, max_new_tokens=10).text for chat in (warm, cold)]
        assert texts[0] == texts[1]
        assert cold.stats is not None
        assert cold.stats.reused == 0
        reply_texts.append(texts[0])
    assert warm.stats is not None
    assert warm.stats.reused > 0


def episode_replies(chat: ChatModel, history: list[str] | None = None, seed: int = 7) -> list[str]:
    """Return the replies of a chat at each step of an episode, with `history` as the past replies where given."""
    from model.dialects.qwen25 import Dialect

    form = Dialect(chat.limits).grammar(frozenset({"click", "type"}), Screen(np.zeros((84, 112, 3), np.uint8)))
    texts = []
    for number, (turn, reply_texts) in enumerate(episode(chat, seed, 6, HistoryWindow(4, 2))):
        options: dict[str, Any] = {"max_new_tokens": 60, "form": form}  # every second reply is constrained
        if number % 2:  # sampled: greedily, a tiny model repeats one token
            options = {"max_new_tokens": 8, "temperature": 1.5, "seed": number}
        texts.append(chat.reply(turn.messages, turn.tools, **options).text)
        reply_texts.append(texts[-1] if history is None else history[number])
    return texts


class UnforcedGuide:
    """A guide without forced ids."""

    def __init__(self, guide: Guide) -> None:
        self.guide, self.accept, self.mask_logits = guide, guide.accept, guide.mask_logits

    @property
    def done(self) -> bool:
        return self.guide.done

    def forced(self, max_count: int) -> list[int]:
        return []


def test_optimizations_do_not_change_replies(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = load_chat(tiny_folder, "cpu")
    model, reply, guide = chat.model, chat.reply, chat.make_guide
    expected = episode_replies(chat)
    assert len(set(expected)) > 3

    def both_time_slices(patches: Tensor) -> Tensor:
        return patches.view(-1, 3, 1, 196).expand(-1, -1, 2, -1).flatten(1)

    variants: dict[str, dict[str, Any]] = {
        "no prefix reuse": {"reply": lambda *args, **options: (chat.session.reset(), reply(*args, **options))[1]},
        "no vision cache": {"reply": lambda *args, **options: (chat.reset(), reply(*args, **options))[1]},
        "both time slices": {"encoder": lambda patches, grid: model.visual(both_time_slices(patches), [grid])},
        "plain decoder": {"session": PrefixCachedSession(model, fuse=False)},
        "no forced ids": {"make_guide": lambda form: UnforcedGuide(guide(form))},
        "graphs": {
            "session": PrefixCachedSession(model, graphs=True),
            "encoder": VisionGraphs(model.visual, record=True),
        },
    }
    for name, changes in variants.items():
        with monkeypatch.context() as patch:
            chat.reset()
            for attribute, value in changes.items():
                patch.setattr(chat, attribute, value)
            assert episode_replies(chat, expected) == expected, name
    chat.reset()
    monkeypatch.setattr(attention, "_prefix_attention_cpu", attention._masked)
    assert episode_replies(chat, expected) == expected


def test_warm_bfloat16_error_is_near_cold_error(tiny_folder: Path) -> None:
    """The tolerance is the rounding error of a cold pass and half as much."""
    chat, exact = load_chat(tiny_folder, "cpu", "bfloat16"), load_chat(tiny_folder, "cpu", "bfloat16")
    exact.model.float()
    errors: dict[str, list[float]] = {"cold": [], "warm": []}
    for turn, reply_texts in episode(chat, 1, 6, HistoryWindow(4, 2)):
        prompt = chat.render(turn.messages, turn.tools)
        reference = cold_logits(exact, prompt)
        cold, warm = cold_logits(chat, prompt), prefill_prompt(chat, prompt.input_ids, prompt.screens)
        for name, logits in (("cold", cold), ("warm", warm)):
            errors[name].append(float((logits.float() - reference).square().mean().sqrt()))
        tolerance = 3 * float((cold.float() - reference).abs().max())
        assert float(reference.max() - reference[warm.argmax()]) < tolerance
        reply_texts.append(chat.reply(turn.messages, turn.tools, max_new_tokens=8).text)
    assert sum(errors["warm"]) < 1.5 * sum(errors["cold"])


def test_append_only_episode_computes_new_tokens_only(tiny_folder: Path) -> None:
    chat = load_chat(tiny_folder, "cpu")
    computed = []
    for turn, reply_texts in episode(chat, 1, 8, HistoryWindow(30, 30)):
        reply_texts.append(chat.reply(turn.messages, turn.tools, max_new_tokens=4).text)
        assert chat.stats is not None
        computed.append(chat.stats.computed)
        total = chat.stats.reused + chat.stats.computed
    assert max(computed) < 120 < total / 4  # an image, the outcome of a call and the reply


def test_common_prefix_length_compares_images_by_key() -> None:
    first, second = (ImageSegment(key, (1, 4, 4), 4) for key in "ab")
    text = TextSegment((1, 2, 3))
    assert common_prefix_length([text, first, TextSegment((4,))], [text, second, TextSegment((4,))]) == 3
    assert common_prefix_length([text, first, TextSegment((4,))], [text, first, TextSegment((4, 5))]) == 8
    assert common_prefix_length([text, first], [TextSegment((1, 2)), first]) == 2
    assert common_prefix_length([TextSegment((1, 2))], [TextSegment((9, 2))]) == 0
    assert common_prefix_length([], [text]) == 0


def test_last_token_and_whole_images_are_computed(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    image = ImageSegment("a", (1, 4, 4), 4)
    embeddings = torch.randn(4, 32)
    first = session.prefill([TextSegment((5, 6)), image], lambda _: embeddings)
    second = session.prefill([TextSegment((5, 6)), image], lambda _: embeddings)
    assert (session.reused, session.computed) == (2, 4)
    assert torch.allclose(first, second, atol=1e-5)
    session.append([7, 8])
    assert session.length == 8
    session.prefill([TextSegment((5, 6)), image, TextSegment((7, 8))], lambda _: embeddings)
    assert (session.reused, session.computed) == (7, 1)


def test_chunked_prefill_equals_whole_prefill(tiny_model: Qwen25VL) -> None:
    text = TextSegment(tuple(torch.randint(0, 250, (1500,)).tolist()))
    whole = PrefixCachedSession(tiny_model).prefill([text], lambda _: torch.empty(0))
    chunked = PrefixCachedSession(tiny_model, chunk=70).prefill([text], lambda _: torch.empty(0))
    with torch.inference_mode():
        expected = tiny_model(torch.tensor([text.ids]))[0, -1]
        assert torch.allclose(tiny_model.logits(whole)[0], expected, atol=TOLERANCE)
        assert torch.allclose(tiny_model.logits(chunked)[0], expected, atol=TOLERANCE)


def test_positions_match_whole_prompt(tiny_model: Qwen25VL, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_model.config
    computed: list[Tensor] = []
    forward = tiny_model.model.forward

    def record(embeddings: Tensor, positions: Tensor, *rest: object) -> Tensor:
        computed.append(positions)
        return forward(embeddings, positions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny_model.model, "forward", record)
    images = [ImageSegment("a", (1, 6, 4), 6), ImageSegment("b", (1, 4, 12), 12)]
    ids = [1, 2, *[config.image_token_id] * 6, 3, *[config.image_token_id] * 12, 4, 5]
    session = PrefixCachedSession(tiny_model)
    session.prefill(split_segments(ids, config.image_token_id, images), lambda image: torch.zeros(image.length, 32))
    session.append([6])
    expected, _ = position_ids(torch.tensor([[*ids, 6]]), config, image_grid_thw=[image.grid for image in images])
    assert torch.equal(torch.cat(computed, dim=-1), expected)


def test_context_beyond_budget_is_rejected(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model, budget_tokens=300)
    per_token = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, bytes
    for length in (10, 290, 40, 300):
        session.prefill([TextSegment((*range(1, length), 7))], lambda _: torch.empty(0))
        assert session.bytes <= 300 * per_token
    with pytest.raises(UsageError, match="301 tokens and the budget is 300"):
        session.append([1])
    with pytest.raises(UsageError, match="the prompt is empty"):
        session.prefill([], lambda _: torch.empty(0))


def test_failed_prefill_drops_context(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    session.prefill([TextSegment((1, 2, 3))], lambda _: torch.empty(0))

    def fail(_: ImageSegment) -> Tensor:
        raise UsageError("no")

    with pytest.raises(UsageError):
        session.prefill([TextSegment((1, 2, 3)), ImageSegment("a", (1, 4, 4), 4), TextSegment((9,))], fail)
    assert session.reusable_tokens([TextSegment((1, 2, 3, 4))]) == 0


def test_changed_dtype_drops_context(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    session.prefill([TextSegment((1, 2, 3))], lambda _: torch.empty(0))
    tiny_model.to(torch.bfloat16)
    assert session.prefill([TextSegment((1, 2, 3, 4))], lambda _: torch.empty(0)).dtype == torch.bfloat16
    assert session.reused == 0


@pytest.mark.parametrize("ids", [[1, 9, 9, 2], [1, 9, 9, 9, 9, 9, 2], [1, 2], [9, 9]])
def test_mismatched_placeholders_are_rejected(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="placeholders"):
        split_segments(ids, 9, [ImageSegment("a", (1, 4, 4), 4)])
