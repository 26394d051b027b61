"""Screen -> patches: how big a picture is shown to the model, and the arithmetic of its pixels. Knows no text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actions import UsageError

if TYPE_CHECKING:
    import torch

MEAN = (0.48145466, 0.4578275, 0.40821073)  # OPENAI_CLIP_MEAN, as in the official preprocessor_config.json
STD = (0.26862954, 0.26130258, 0.27577711)
PATCH, TEMPORAL, MERGE = 14, 2, 2
FACTOR = PATCH * MERGE  # 28: a merged cell, so every side is a multiple of it
MAX_RATIO = 200
CHUNK = 1024  # patches normalised at a time on the CPU: they stay in its cache


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The (height, width) at which a picture is shown: multiples of factor, area within the limits, ratio kept.

    Source: transformers image_processing_qwen2_vl.py; Python's round, half to even, is part of the rule.
    """
    if min(height, width) < 1 or max(height, width) / min(height, width) > MAX_RATIO:
        raise UsageError(
            f"a picture of {width}x{height} cannot be shown: sides must be positive and within a ratio of {MAX_RATIO}"
        )
    shown_h, shown_w = round(height / factor) * factor, round(width / factor) * factor
    if shown_h * shown_w > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        shown_h = max(factor, math.floor(height / beta / factor) * factor)
        shown_w = max(factor, math.floor(width / beta / factor) * factor)
    elif shown_h * shown_w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        shown_h = math.ceil(height * beta / factor) * factor
        shown_w = math.ceil(width * beta / factor) * factor
    return shown_h, shown_w


@dataclass(frozen=True)
class ImageLimits:
    """A checkpoint's picture budget in pixels. The defaults are the official preprocessor_config.json's."""

    min_pixels: int = 56 * 56
    max_pixels: int = 16384 * 28 * 28
    factor: int = FACTOR

    def __post_init__(self) -> None:
        if not 0 < self.min_pixels <= self.max_pixels:
            raise UsageError(
                f"picture limits need 0 < min_pixels <= max_pixels, not {self.min_pixels} and {self.max_pixels}"
            )

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in the model's space of a screen of that size."""
        shown_h, shown_w = smart_resize(height, width, self.factor, self.min_pixels, self.max_pixels)
        return shown_w, shown_h


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [height, width, 3] by PIL's bicubic; the very array where the size is already right."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def patchify(
    pixels: np.ndarray, limits: ImageLimits, device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """uint8 [H, W, 3] -> patches float32 [gh * gw, 1176], grid (1, gh, gw) in patches.

    Rows run block by block (2x2 patches that the merger joins), columns are channel, time, row, column.
    A still picture fills both time slices.
    """
    patches, grid = patchify_frame(pixels, limits, device)
    return patches.view(-1, 3, 1, PATCH * PATCH).expand(-1, -1, TEMPORAL, -1).flatten(1), grid


def patchify_frame(
    pixels: np.ndarray, limits: ImageLimits, device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """The same with one time slice, patches float32 [gh * gw, 588]: all that there is to know about a still picture."""
    shown_w, shown_h = limits.resized(pixels.shape[1], pixels.shape[0])
    return _normalised(resize(pixels, shown_w, shown_h)[None], 1, device), (1, shown_h // PATCH, shown_w // PATCH)


def frames_to_patches(
    frames: np.ndarray, device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """uint8 [T, H, W, 3], sides multiples of 28 -> patches float32 [t * gh * gw, 1176], grid (t, gh, gw).

    A last odd frame is repeated. The bytes travel to the device; mean and deviation are applied there, in float32.
    """
    count, height, width, _ = frames.shape
    if count % TEMPORAL:
        frames = np.concatenate([frames, np.repeat(frames[-1:], TEMPORAL - count % TEMPORAL, axis=0)])
    grid = len(frames) // TEMPORAL, height // PATCH, width // PATCH
    return _normalised(frames, TEMPORAL, device), grid


def _normalised(frames: np.ndarray, temporal: int, device: str | torch.device) -> torch.Tensor:
    """uint8 [T, H, W, 3] -> patches float32 of `temporal` frames each; bytes are put in order before they are floats.

    numpy orders bytes many times as fast as torch does, and four times as fast as it would order floats.
    """
    import torch

    count, height, width, _ = frames.shape
    t, rows, columns = count // temporal, height // FACTOR, width // FACTOR
    blocks = frames.reshape(t, temporal, rows, MERGE, PATCH, columns, MERGE, PATCH, 3)
    ordered = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)  # t, block row, block column, 2, 2, channel, time, 14, 14
    raw = torch.from_numpy(np.array(ordered, order="C", copy=True)).to(device).view(-1, 3, temporal * PATCH * PATCH)
    mean = torch.tensor(MEAN, device=raw.device)[:, None] * 255
    std = torch.tensor(STD, device=raw.device)[:, None] * 255
    if raw.device.type != "cpu":
        return raw.float().sub_(mean).div_(std).flatten(1)
    values = torch.from_numpy(np.empty(raw.shape, np.float32))  # numpy asks for huge pages: the memory comes at once
    for part, bytes_ in zip(values.split(CHUNK), raw.split(CHUNK), strict=True):
        part.copy_(bytes_).sub_(mean).div_(std)
    return values.flatten(1)
