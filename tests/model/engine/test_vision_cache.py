"""Image embeddings are cached, and a still image is encoded with one time slice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actions import Screen
from model.chat_model import load_chat
from model.engine.vision_cache import VisionCache
from model.nn.qwen25vl import Qwen25VL
from model.processing.image import ImageLimits, patchify, patchify_frame, resize


def noise_screen(width: int, height: int, seed: int = 0) -> Screen:
    return Screen(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(84, 56), (100, 90), (280, 364)])
def test_frame_patches_are_one_time_slice(size: tuple[int, int]) -> None:
    screen = noise_screen(*size)
    frame, grid = patchify_frame(screen.pixels, ImageLimits())
    patches, patches_grid = patchify(screen.pixels, ImageLimits())
    assert grid == patches_grid
    assert frame.shape == (grid[1] * grid[2], 588)
    slices = patches.view(-1, 3, 2, 196)
    assert torch.equal(slices[:, :, 0].flatten(1), frame)
    assert torch.equal(slices[:, :, 1].flatten(1), frame)


def test_frame_patches_give_equal_embeddings(tiny_model: Qwen25VL) -> None:
    screen = noise_screen(168, 140)
    frame, grid = patchify_frame(screen.pixels, ImageLimits())
    patches, _ = patchify(screen.pixels, ImageLimits())
    with torch.inference_mode():
        assert torch.allclose(tiny_model.visual(frame, [grid]), tiny_model.visual(patches, [grid]), atol=1e-4)


def test_matching_size_is_not_resampled() -> None:
    pixels = noise_screen(1288, 728).pixels
    assert resize(pixels, 1288, 728) is pixels


def test_equal_screen_is_encoded_once(tiny_folder: Path) -> None:
    chat = load_chat(tiny_folder, "cpu")
    first, other = noise_screen(84, 56), noise_screen(84, 56, 1)
    copy = Screen(first.pixels.copy())  # equal pixels in another array

    def encoded_images(*screens: Screen) -> int:
        content = [{"type": "image", "image": screen} for screen in screens]
        chat.reply([{"role": "user", "content": content}], max_new_tokens=1)
        assert chat.stats is not None
        return chat.stats.encoded

    assert [encoded_images(first), encoded_images(copy), encoded_images(other), encoded_images(other, copy, first)] == [
        1,
        0,
        1,
        0,
    ]
    assert chat.vision_cache.misses == 2
    chat.limits = replace(chat.limits, min_pixels=84 * 112)  # the same pixels, resized differently
    assert encoded_images(first) == 1


def test_least_recently_used_image_is_evicted() -> None:
    cache = VisionCache(budget_bytes=3 * 400)
    for key in "abc":
        cache.get(key, lambda: torch.zeros(100))
    cache.get("a", lambda: torch.ones(100))
    cache.get("d", lambda: torch.zeros(100))
    assert [key in cache for key in "abcd"] == [True, False, True, True]
    assert cache.bytes == 1200
    assert float(cache.get("a", lambda: torch.ones(100)).sum()) == 0
    cache.get("huge", lambda: torch.zeros(1000))
    assert "huge" not in cache
    assert cache.bytes == 1200
    cache.clear()
    assert cache.bytes == 0
    assert "a" not in cache


def test_reply_without_cache_is_equal(tiny_folder: Path) -> None:
    chat, plain = load_chat(tiny_folder, "cpu"), load_chat(tiny_folder, "cpu")
    chat.vision_cache = VisionCache(budget_bytes=0)
    content = [
        {"type": "image", "image": item}
        for item in (noise_screen(84, 56), noise_screen(84, 56, 1), noise_screen(84, 56))
    ]
    replies = [item.reply([{"role": "user", "content": content}], max_new_tokens=6).text for item in (chat, plain)]
    assert replies[0] == replies[1]
