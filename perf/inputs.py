"""Inputs of the engine's benchmarks: models with random weights, token ids and screenshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from actions import Screen, UsageError
from model.checkpoints.memory_check import check_fits
from model.engine.session import Segment, TextSegment
from model.nn.config import Config, TextConfig, VisionConfig
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen25vl import Qwen25VL

if TYPE_CHECKING:
    import torch

SMALL = Config(  # 50 M parameters
    VisionConfig(8, 384, 1024, 6, 512, fullatt_block_indexes=(3, 7)),
    TextConfig(8192, 512, 1536, 12, 8, 2, 64, (8, 12, 12), tie_word_embeddings=True),
    image_token_id=8000,
    video_token_id=8001,
    vision_start_token_id=8002,
)
RANDOM_CONFIGS = {"random:50m": SMALL, "random:3b": OFFICIAL["3B"], "random:7b": OFFICIAL["7B"]}


def random_model(config: Config, device: str, dtype: torch.dtype, name: str = "a random model") -> Qwen25VL:
    """Return a model with random weights, allocated on the device.

    The logits differ enough for greedy decoding to be deterministic across implementations.

    Raises:
        UsageError: The weights do not fit into the device's memory.
    """
    import torch

    with torch.device("meta"):
        model = Qwen25VL(config)
    check_fits(
        sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize, device, f"{name} in {dtype}"
    )
    for module in model.modules():
        for parameter_name, weight in list(module.named_parameters(recurse=False)):
            empty = torch.empty(weight.shape, dtype=dtype, device=device)
            setattr(module, parameter_name, torch.nn.Parameter(empty, requires_grad=False))
    generator = torch.Generator(device=device).manual_seed(0)
    with torch.no_grad():
        for parameter_name, weight in model.named_parameters():
            if "norm" in parameter_name or "ln_q" in parameter_name:
                weight.fill_(1.0)
            else:
                fan_in = 1.0 if weight.dim() == 1 else float(weight[0].numel())
                std = 0.1 if weight.dim() == 1 or "embed_tokens" in parameter_name else fan_in**-0.5
                weight.normal_(0.0, std, generator=generator)
    return model.eval()


def random_token_ids(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Return ids that are special tokens in none of the vocabularies."""
    return tuple(int(token_id) for token_id in rng.integers(33, 127, count))


def random_screenshot(rng: np.random.Generator, size: tuple[int, int]) -> Screen:
    """Return a screen of (width, height) pixels with flat boxes, and noise in one corner so that no two are equal."""
    width, height = size
    pixels = np.full((height, width, 3), 240, np.uint8)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        pixels[y : y + height // 5, x : x + width // 4] = rng.integers(0, 256, 3)
    corner = pixels[: height // 4, : width // 4]
    corner[:] = rng.integers(0, 256, corner.shape)
    return Screen(pixels)


def merge_texts(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with adjacent texts merged, as in a rendered prompt."""
    merged: list[Segment] = []
    for segment in segments:
        if isinstance(segment, TextSegment) and merged and isinstance(merged[-1], TextSegment):
            merged[-1] = TextSegment(merged[-1].ids + segment.ids)
        else:
            merged.append(segment)
    return merged


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of "1920x1080".

    Raises:
        UsageError: The text is not a size.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"a size is WIDTHxHEIGHT in pixels, such as 1920x1080, not '{text}'")
    return int(width), int(height)
