"""Videos in a context: equal to one forward pass of the network, cached, in chunks, and encoded once where equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actions import Screen, UsageError
from model.chat_model import ChatModel, load_chat
from model.engine.session import PrefixCachedSession
from model.engine.video_encoder import encode_video
from model.processing.image import frames_to_patches, patchify
from model.processing.video import SampledVideo

TOLERANCE = 1e-4


def video(count: int = 8, distinct: int = 8, seconds_per_step: float = 1.0) -> SampledVideo:
    generator = np.random.default_rng(0)
    pixels = [generator.integers(0, 255, (56, 84, 3)).astype(np.uint8) for _ in range(distinct)]
    frames = tuple(pixels[index * distinct // count] for index in range(count))
    times = tuple(index * seconds_per_step / 2 for index in range(count))
    return SampledVideo(frames, times, count * seconds_per_step / 2, seconds_per_step)


@pytest.fixture
def chat(tiny_folder: Path) -> ChatModel:
    path = tiny_folder / "chat_template.jinja"
    placeholder = "<|vision_start|><|video_pad|><|vision_end|>"
    condition = "{% if part.type == 'video' %}" + placeholder + "{% endif %}"
    path.write_text(
        path.read_text().replace("{% if part.type == 'image' %}", condition + "{% if part.type == 'image' %}")
    )
    return load_chat(tiny_folder, dtype="float32")


def messages(*parts: object) -> list[dict]:
    content: list[dict] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            kind = "video" if isinstance(part, SampledVideo) else "image"
            content.append({"type": kind, kind: part})
    return [{"role": "user", "content": content}]


def whole_logits(chat: ChatModel, parts: Sequence[object]) -> Tensor:
    """Return the last token's logits by one forward pass without a cache."""
    prompt = chat.render(messages(*parts))
    images = [patchify(screen.pixels, chat.limits) for screen in prompt.screens]
    clips = [frames_to_patches(np.stack(clip.frames), "cpu", chat.limits) for clip in prompt.videos]
    with torch.inference_mode():
        logits = chat.model(
            torch.tensor([prompt.input_ids]),
            pixel_values=torch.cat([patches for patches, _ in images]) if images else None,
            image_grid_thw=[grid for _, grid in images] or None,
            pixel_values_videos=torch.cat([patches for patches, _ in clips]) if clips else None,
            video_grid_thw=[grid for _, grid in clips] or None,
            second_per_grid_ts=[clip.seconds_per_step for clip in prompt.videos] or None,
        )
    return logits[0, -1]


def session_logits(chat: ChatModel, parts: Sequence[object]) -> Tensor:
    context = chat._context(chat.render(messages(*parts)))
    return chat.model.logits(chat.session.prefill(context.segments, context.encode))[0]


SCREEN = Screen(np.random.default_rng(1).integers(0, 255, (56, 56, 3)).astype(np.uint8))


@pytest.mark.parametrize("seconds", [4.0, 2.0, 1.0, 2 / 3.7, 0.2, 2 / 30])
@pytest.mark.parametrize("beside", [False, True])
def test_session_equals_one_pass(chat: ChatModel, seconds: float, beside: bool) -> None:
    clip = video(seconds_per_step=seconds)
    parts = (SCREEN, clip, SCREEN, video(4, 4, 0.5), "what") if beside else (clip, "what")
    assert torch.allclose(session_logits(chat, parts), whole_logits(chat, parts), atol=TOLERANCE)


@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_chunked_prefill_equals_one_pass(chat: ChatModel, chunk: int) -> None:
    parts = (video(), "what")
    chat.session = PrefixCachedSession(chat.model, chunk=chunk)
    assert torch.allclose(session_logits(chat, parts), whole_logits(chat, parts), atol=TOLERANCE)


def test_second_question_reuses_the_video(chat: ChatModel) -> None:
    session_logits(chat, (video(), "what"))
    logits = session_logits(chat, (video(), "when"))
    assert chat.session.reused > video().grid(14)[0] * 6
    assert torch.allclose(logits, whole_logits(chat, (video(), "when")), atol=TOLERANCE)


def test_rate_of_video_changes_the_reply(chat: ChatModel) -> None:
    fast, slow = (session_logits(chat, (video(seconds_per_step=seconds), "what")) for seconds in (0.5, 8.0))
    assert (fast - slow).abs().max() > TOLERANCE


@pytest.mark.parametrize("max_patches", [1, 60, 10_000])
def test_encoding_in_parts_equals_one_pass(chat: ChatModel, max_patches: int) -> None:
    clip = video(count=7, distinct=7)
    patches, grid = frames_to_patches(np.stack(clip.frames), "cpu", chat.limits)
    with torch.inference_mode():
        expected = chat.model.visual(patches, [grid])
    assert torch.allclose(encode_video(chat.model.visual, clip, chat.limits, max_patches), expected, atol=TOLERANCE)


def test_equal_steps_are_encoded_once(chat: ChatModel) -> None:
    clip, encoded = video(count=40, distinct=2), list[int]()
    handle = chat.model.visual.register_forward_pre_hook(lambda _, inputs: encoded.append(inputs[1][0][0]))
    embeddings = encode_video(chat.model.visual, clip, chat.limits)
    handle.remove()
    assert sum(encoded) == 2
    assert len(embeddings) == 20 * 6


def test_reply_to_a_video_is_generated(chat: ChatModel) -> None:
    reply = chat.reply(messages(video(), "what"), max_new_tokens=3)
    assert reply.prompt_tokens > 4 * 6
    assert chat.stats is not None
    assert chat.stats.encoded == 1


def test_template_without_videos_is_refused(tiny_folder: Path) -> None:
    chat = load_chat(tiny_folder, dtype="float32")
    assert not chat.supports_videos
    with pytest.raises(UsageError, match="0 of 1 videos"):
        chat.render(messages(video(), "what"))
