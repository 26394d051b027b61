"""Patches and sizes equal those of transformers' Qwen2VLImageProcessorPil."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from actions import UsageError
from model.processing.image import DEFAULT_LIMITS, ImageLimits, patchify, smart_resize

SIZES = [  # (width, height)
    *[(28, 28), (56, 56), (280, 364), (364, 280), (1288, 728), (1092, 588)],  # not resized
    *[(160, 210), (100, 100), (333, 777), (641, 479), (1280, 720), (1080, 1200), (29, 57), (43, 41)],  # rounded
    *[(1, 1), (2, 3), (20, 20), (5, 900), (900, 5), (1, 200), (200, 1), (27, 300)],  # enlarged
    *[(1920, 1080), (1080, 2400), (2560, 700)],  # shrunk by the small budget
]


def screenshot(width: int, height: int) -> np.ndarray:
    """Return a screenshot with flat areas, edges, letters, and noise in a corner."""
    image = Image.new("RGB", (width, height), (240, 243, 250))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 5, height // 5, width // 2, height // 2), fill=(20, 90, 200), outline=(0, 0, 0))
    draw.line((0, 0, width, height), fill=(255, 0, 0))
    draw.text((width // 4, height // 4), "Submit the form", fill=(255, 255, 255))
    pixels = np.array(image)
    rng = np.random.default_rng(width * 10007 + height)
    corner = pixels[height // 2 :, width // 2 :]
    corner[:] = rng.integers(0, 256, corner.shape)
    return pixels


def reference_patches(pixels: np.ndarray, limits: ImageLimits) -> tuple[np.ndarray, list[list[int]]]:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor: Any = Qwen2VLImageProcessorPil(
        size={"shortest_edge": limits.min_pixels, "longest_edge": limits.max_pixels},
        patch_size=limits.patch,
        image_mean=list(limits.mean),
        image_std=list(limits.std),
    )
    output = processor(images=Image.fromarray(pixels), return_tensors="np")
    return output["pixel_values"], output["image_grid_thw"].tolist()


@pytest.mark.parametrize(
    "budget",
    [ImageLimits(), ImageLimits(100 * 784, 400 * 784), DEFAULT_LIMITS["qwen3_vl"]],
    ids=["official", "small", "Qwen3-VL"],
)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_patches_match_transformers(size: tuple[int, int], budget: ImageLimits) -> None:
    pixels = screenshot(*size)
    expected, grids = reference_patches(pixels, budget)
    ours, grid = patchify(pixels, budget)
    assert [list(grid)] == grids
    assert ours.shape == expected.shape
    assert float(np.abs(ours.numpy() - expected).max()) < 1e-5


def test_default_of_qwen3vl_is_that_of_its_processor() -> None:
    """transformers has no class of its own for its images: the sizes are of the official preprocessor_config.json."""
    limits = DEFAULT_LIMITS["qwen3_vl"]
    assert (limits.min_pixels, limits.max_pixels, limits.factor, limits.patch) == (65536, 16777216, 32, 16)
    assert limits.resized(1920, 1080) == (1920, 1088)


@settings(max_examples=500, deadline=None)
@given(
    st.integers(1, 6000), st.integers(1, 6000), st.sampled_from([(3136, 12845056), (100 * 784, 1003520), (3136, 3136)])
)
def test_resized_size_matches_transformers(height: int, width: int, budget: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as reference_resize

    try:
        expected = reference_resize(height, width, 28, *budget)
    except ValueError:
        with pytest.raises(UsageError, match="ratio at most 200"):
            smart_resize(height, width, 28, *budget)
        return
    assert smart_resize(height, width, 28, *budget) == expected


def test_image_with_extreme_ratio_is_rejected() -> None:
    with pytest.raises(UsageError, match="1x201 cannot be resized"):
        patchify(np.zeros((201, 1, 3), np.uint8), ImageLimits())
