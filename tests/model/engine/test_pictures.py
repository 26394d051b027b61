"""Pictures that were seen are kept; a still one is encoded with half the work; nothing of it changes what is seen."""

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


def noise(width: int, height: int, seed: int = 0) -> Screen:
    return Screen(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(84, 56), (100, 90), (280, 364)])
def test_one_time_slice_is_half_of_both(size: tuple[int, int]) -> None:
    screen = noise(*size)
    once, grid = patchify_frame(screen.pixels, ImageLimits())
    both, grid_too = patchify(screen.pixels, ImageLimits())
    assert grid == grid_too and once.shape == (grid[1] * grid[2], 588)
    slices = both.view(-1, 3, 2, 196)
    assert torch.equal(slices[:, :, 0].flatten(1), once) and torch.equal(slices[:, :, 1].flatten(1), once)


def test_a_still_picture_is_seen_alike_through_the_sum_of_both_slices(tiny_model: Qwen25VL) -> None:
    screen = noise(168, 140)
    once, grid = patchify_frame(screen.pixels, ImageLimits())
    both, _ = patchify(screen.pixels, ImageLimits())
    with torch.inference_mode():
        assert torch.allclose(tiny_model.visual(once, [grid]), tiny_model.visual(both, [grid]), atol=1e-4)


def test_nothing_is_resampled_where_the_size_is_right() -> None:
    pixels = noise(1288, 728).pixels
    assert resize(pixels, 1288, 728) is pixels


def test_a_frame_is_encoded_once_and_a_changed_one_anew(tiny_folder: Path) -> None:
    chat = load_chat(tiny_folder, "cpu")
    first, other = noise(84, 56), noise(84, 56, 1)
    again = Screen(first.pixels.copy())  # equal bytes, another array

    def ask(*screens: Screen) -> int:
        content = [{"type": "image", "image": one} for one in screens]
        chat.reply([{"role": "user", "content": content}], max_new_tokens=1)
        assert chat.stats is not None
        return chat.stats.encoded

    assert [ask(first), ask(again), ask(other), ask(other, again, first)] == [1, 0, 1, 0]
    assert chat.vision_cache.misses == 2
    chat.limits = replace(chat.limits, min_pixels=84 * 112)  # the same bytes, shown at another size
    assert ask(first) == 1


def test_the_oldest_picture_goes_first_and_the_budget_holds() -> None:
    cache = VisionCache(budget_bytes=3 * 400)
    for key in "abc":
        cache.get(key, lambda: torch.zeros(100))
    cache.get("a", lambda: torch.ones(100))
    cache.get("d", lambda: torch.zeros(100))
    assert [key in cache for key in "abcd"] == [True, False, True, True] and cache.bytes == 1200
    assert float(cache.get("a", lambda: torch.ones(100)).sum()) == 0
    cache.get("huge", lambda: torch.zeros(1000))
    assert "huge" not in cache and cache.bytes == 1200
    cache.clear()
    assert cache.bytes == 0 and "a" not in cache


def test_a_picture_that_no_cache_can_hold_is_still_seen(tiny_folder: Path) -> None:
    chat, plain = load_chat(tiny_folder, "cpu"), load_chat(tiny_folder, "cpu")
    chat.vision_cache = VisionCache(budget_bytes=0)
    content = [{"type": "image", "image": one} for one in (noise(84, 56), noise(84, 56, 1), noise(84, 56))]
    said = [one.reply([{"role": "user", "content": content}], max_new_tokens=6).text for one in (chat, plain)]
    assert said[0] == said[1]
