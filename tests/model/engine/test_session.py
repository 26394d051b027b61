"""A context that is carried on equals one that is computed from the beginning."""

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
from model.engine.call_grammar import grammar_for
from model.engine.cuda_graphs import Encoder
from model.engine.decode import Guide
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment, common_prefix_length, segments
from model.nn import attention
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import position_ids
from model.processing.image import patchify_frame

TOLERANCE = 1e-4


def feed(chat: ChatModel, prompt_ids: list[int], screens: tuple) -> Tensor:
    """[V] after a prompt, by the chat's own session and picture cache."""
    pictures = [chat._picture(screen) for screen in screens]
    new = segments(prompt_ids, chat.model.config.image_token_id, pictures)
    pixels = {one.key: screen.pixels for one, screen in zip(pictures, screens, strict=True)}

    def encode(one: ImageSegment) -> Tensor:
        return chat.vision_cache.get(
            one.key, lambda: chat.model.visual(patchify_frame(pixels[one.key], chat.limits)[0], [one.grid])
        )

    return chat.model.logits(chat.session.prefill(new, encode))[0]


def compare(chat: ChatModel, seed: int, steps: int, memory: HistoryWindow) -> tuple[int, int]:
    """Walk an episode; at each step warm and cold logits must agree. Returns tokens reused and computed."""
    reused = computed = 0
    for turn, words in episode(chat, seed, steps, memory):
        prompt = chat.render(turn.messages, turn.tools)
        cold = cold_logits(chat, prompt)
        warm = feed(chat, prompt.input_ids, prompt.screens)
        assert float((warm - cold).abs().max()) < TOLERANCE
        assert int(warm.argmax()) == int(cold.argmax())
        reused += chat.session.reused
        computed += chat.session.computed
        reply = chat.reply(turn.messages, turn.tools, max_new_tokens=8)
        words.append(reply.text)
    return reused, computed


@pytest.mark.parametrize("seed", range(3))
def test_at_every_step_of_an_episode_the_logits_are_those_of_a_cold_pass(tiny_folder: Path, seed: int) -> None:
    chat = load_chat(tiny_folder, "cpu")
    reused, computed = compare(chat, seed, 7, HistoryWindow(steps=5, images=4))
    assert reused > computed / 2  # it was carried on, or this test would show nothing


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("model", ["tiny", "embedded"])
def test_twenty_episodes_with_growth_repeats_and_compaction(tiny_folder: Path, seed: int, model: str) -> None:
    chat = load_chat(tiny_folder if model == "tiny" else "embedded", "cpu")
    memory = HistoryWindow(steps=(4, 9, 30)[seed % 3], images=(0, 2, 5)[seed // 3 % 3])
    compare(chat, seed, 12, memory)


def test_the_reply_is_the_same_with_and_without_what_is_kept(tiny_folder: Path) -> None:
    warm, cold = load_chat(tiny_folder, "cpu"), load_chat(tiny_folder, "cpu")
    for turn, words in episode(warm, 5, 6, HistoryWindow(30, 3)):
        cold.reset()
        said = [chat.reply(turn.messages, turn.tools, max_new_tokens=10).text for chat in (warm, cold)]
        assert said[0] == said[1]
        assert cold.work is not None and cold.work.reused == 0
        words.append(said[0])
    assert warm.work is not None and warm.work.reused > 0


def replies(chat: ChatModel, told: list[str] | None = None, seed: int = 7) -> list[str]:
    """What a chat says at each step of an episode; told: the words of the past, where they are not its own."""
    from model.dialects.qwen25 import Dialect

    form = grammar_for(Dialect(chat.limits), frozenset({"click", "type"}), Screen(np.zeros((84, 112, 3), np.uint8)))
    heard = []
    for number, (turn, words) in enumerate(episode(chat, seed, 6, HistoryWindow(4, 2))):
        how: dict[str, Any] = {"max_new_tokens": 60, "form": form}  # every second one is a call of the grammar's
        if number % 2:  # drawn, since the likeliest words of a tiny model are one word
            how = {"max_new_tokens": 8, "temperature": 1.5, "seed": number}
        heard.append(chat.reply(turn.messages, turn.tools, **how).text)
        words.append(heard[-1] if told is None else told[number])
    return heard


class Asked:
    """A guide that forces nothing: every id is asked of the model."""

    def __init__(self, guide: Guide) -> None:
        self.guide, self.accept, self.mask_logits = guide, guide.accept, guide.mask_logits

    @property
    def done(self) -> bool:
        return self.guide.done

    def forced(self, most: int) -> list[int]:
        return []


def test_each_way_of_saving_work_leaves_the_replies_as_they_are(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = load_chat(tiny_folder, "cpu")
    model, reply, guide = chat.model, chat.reply, chat.make_guide
    expected = replies(chat)
    assert len(set(expected)) > 3

    def both(patches: Tensor) -> Tensor:
        return patches.view(-1, 3, 1, 196).expand(-1, -1, 2, -1).flatten(1)

    without: dict[str, dict[str, Any]] = {
        "the context": {"reply": lambda *given, **named: (chat.session.reset(), reply(*given, **named))[1]},
        "the pictures": {"reply": lambda *given, **named: (chat.reset(), reply(*given, **named))[1]},
        "one time slice": {"encoder": lambda patches, grid: model.visual(both(patches), [grid])},
        "joined products": {"session": PrefixCachedSession(model, fuse=False)},
        "forced ids": {"make_guide": lambda form: Asked(guide(form))},
        "free steps": {
            "session": PrefixCachedSession(model, graphs=True),
            "encoder": Encoder(model.visual, record=True),
        },
    }
    for what, changed in without.items():
        with monkeypatch.context() as patch:
            chat.reset()
            for name, value in changed.items():
                patch.setattr(chat, name, value)
            assert replies(chat, expected) == expected, what
    chat.reset()
    monkeypatch.setattr(attention, "_prefix_attention_cpu", attention._masked)
    assert replies(chat, expected) == expected


def test_in_half_precision_a_context_carried_on_is_as_near_to_float32_as_a_cold_one(tiny_folder: Path) -> None:
    """Tolerance: what rounding does to a cold pass, and half as much; an id differs only between such neighbours."""
    chat, exact = load_chat(tiny_folder, "cpu", "bfloat16"), load_chat(tiny_folder, "cpu", "bfloat16")
    exact.model.float()
    off: dict[str, list[float]] = {"cold": [], "warm": []}
    for turn, words in episode(chat, 1, 6, HistoryWindow(4, 2)):
        prompt = chat.render(turn.messages, turn.tools)
        true = cold_logits(exact, prompt)
        cold, warm = cold_logits(chat, prompt), feed(chat, prompt.input_ids, prompt.screens)
        for name, one in (("cold", cold), ("warm", warm)):
            off[name].append(float((one.float() - true).square().mean().sqrt()))
        near = 3 * float((cold.float() - true).abs().max())
        assert float(true.max() - true[warm.argmax()]) < near
        words.append(chat.reply(turn.messages, turn.tools, max_new_tokens=8).text)
    assert sum(off["warm"]) < 1.5 * sum(off["cold"])


def test_an_append_only_episode_computes_at_each_step_only_what_is_new(tiny_folder: Path) -> None:
    chat = load_chat(tiny_folder, "cpu")
    computed = []
    for turn, words in episode(chat, 1, 8, HistoryWindow(30, 30)):
        words.append(chat.reply(turn.messages, turn.tools, max_new_tokens=4).text)
        assert chat.work is not None
        computed.append(chat.work.computed)
        whole = chat.work.reused + chat.work.computed
    assert max(computed) < 120 < whole / 4  # one picture, the outcome of a call, the reply said again


def test_a_picture_with_other_pixels_is_not_taken_for_the_same() -> None:
    one, other = (ImageSegment(key, (1, 4, 4), 4) for key in "ab")
    words = TextSegment((1, 2, 3))
    assert common_prefix_length([words, one, TextSegment((4,))], [words, other, TextSegment((4,))]) == 3
    assert common_prefix_length([words, one, TextSegment((4,))], [words, one, TextSegment((4, 5))]) == 8
    assert common_prefix_length([words, one], [TextSegment((1, 2)), one]) == 2
    assert common_prefix_length([TextSegment((1, 2))], [TextSegment((9, 2))]) == 0
    assert common_prefix_length([], [words]) == 0


def test_the_last_token_is_always_computed_and_a_picture_never_in_part(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    picture = ImageSegment("a", (1, 4, 4), 4)
    rows = torch.randn(4, 32)
    first = session.prefill([TextSegment((5, 6)), picture], lambda _: rows)
    again = session.prefill([TextSegment((5, 6)), picture], lambda _: rows)
    assert (session.reused, session.computed) == (2, 4)
    assert torch.allclose(first, again, atol=1e-5)
    session.append([7, 8])
    assert session.length == 8
    session.prefill([TextSegment((5, 6)), picture, TextSegment((7, 8))], lambda _: rows)
    assert (session.reused, session.computed) == (7, 1)


def test_long_prompts_computed_in_pieces_are_the_same(tiny_model: Qwen25VL) -> None:
    words = TextSegment(tuple(torch.randint(0, 250, (1500,)).tolist()))
    whole = PrefixCachedSession(tiny_model).prefill([words], lambda _: torch.empty(0))
    parts = PrefixCachedSession(tiny_model, chunk=70).prefill([words], lambda _: torch.empty(0))
    with torch.inference_mode():
        plain = tiny_model(torch.tensor([words.ids]))[0, -1]
        assert torch.allclose(tiny_model.logits(whole)[0], plain, atol=TOLERANCE)
        assert torch.allclose(tiny_model.logits(parts)[0], plain, atol=TOLERANCE)


def test_positions_are_those_of_a_whole_prompt(tiny_model: Qwen25VL, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_model.config
    seen: list[Tensor] = []
    forward = tiny_model.model.forward

    def watch(embeddings: Tensor, positions: Tensor, *rest: object) -> Tensor:
        seen.append(positions)
        return forward(embeddings, positions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny_model.model, "forward", watch)
    pictures = [ImageSegment("a", (1, 6, 4), 6), ImageSegment("b", (1, 4, 12), 12)]
    ids = [1, 2, *[config.image_token_id] * 6, 3, *[config.image_token_id] * 12, 4, 5]
    session = PrefixCachedSession(tiny_model)
    session.prefill(segments(ids, config.image_token_id, pictures), lambda one: torch.zeros(one.length, 32))
    session.append([6])
    expected, _ = position_ids(torch.tensor([[*ids, 6]]), config, image_grid_thw=[one.grid for one in pictures])
    assert torch.equal(torch.cat(seen, dim=-1), expected)


def test_a_context_beyond_the_budget_is_one_sentence_and_the_room_never_exceeds_it(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model, budget_tokens=300)
    per_token = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, bytes
    for length in (10, 290, 40, 300):
        session.prefill([TextSegment((*range(1, length), 7))], lambda _: torch.empty(0))
        assert session.bytes <= 300 * per_token
    with pytest.raises(UsageError, match="301 tokens and the budget is 300"):
        session.append([1])
    with pytest.raises(UsageError, match="the prompt is empty"):
        session.prefill([], lambda _: torch.empty(0))


def test_an_error_while_feeding_leaves_nothing_half_known(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    session.prefill([TextSegment((1, 2, 3))], lambda _: torch.empty(0))

    def broken(_: ImageSegment) -> Tensor:
        raise UsageError("no")

    with pytest.raises(UsageError):
        session.prefill([TextSegment((1, 2, 3)), ImageSegment("a", (1, 4, 4), 4), TextSegment((9,))], broken)
    assert session.reusable_tokens([TextSegment((1, 2, 3, 4))]) == 0


def test_weights_in_another_dtype_begin_anew(tiny_model: Qwen25VL) -> None:
    session = PrefixCachedSession(tiny_model)
    session.prefill([TextSegment((1, 2, 3))], lambda _: torch.empty(0))
    tiny_model.to(torch.bfloat16)
    assert session.prefill([TextSegment((1, 2, 3, 4))], lambda _: torch.empty(0)).dtype == torch.bfloat16
    assert session.reused == 0


@pytest.mark.parametrize("ids", [[1, 9, 9, 2], [1, 9, 9, 9, 9, 9, 2], [1, 2], [9, 9]])
def test_placeholders_that_do_not_fit_the_pictures_are_refused(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="placeholders"):
        segments(ids, 9, [ImageSegment("a", (1, 4, 4), 4)])
