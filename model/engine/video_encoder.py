"""Embed a video a few temporal patches at a time, and equal ones once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.processing.image import MERGE, ImageLimits, frames_to_patches
from model.processing.video import SampledVideo

MAX_PATCHES = 16_384  # per pass of the encoder: bounds the memory of a long video's activations


@torch.inference_mode()
def encode_video(
    encoder: torch.nn.Module, video: SampledVideo, limits: ImageLimits, max_patches: int = MAX_PATCHES
) -> Tensor:
    """Return the embeddings [t * h/2 * w/2, C] of a video.

    The frames of a video do not attend to each other, so the result is that of one pass.

    Args:
        encoder: The vision encoder, called with patches and their grids.
        video: Frames whose sides are multiples of `limits.factor`.
        limits: Patch size and normalization.
        max_patches: Most patches of one pass, but at least one temporal patch.
    """
    _, height, width = video.grid(limits.patch)
    device = next(encoder.parameters()).device
    distinct: dict[tuple[int, ...], int] = {}
    steps: list[np.ndarray] = []
    numbers: list[int] = []
    parts: list[Tensor] = []

    def encode_steps() -> None:
        patches, grid = frames_to_patches(np.concatenate(steps), device, limits)
        parts.append(encoder(patches, [grid]).view(len(steps), height * width // MERGE**2, -1))
        steps.clear()

    for frames in video.steps():
        key = tuple(id(frame) for frame in frames)  # equal neighbors are one array
        if key not in distinct:
            distinct[key] = len(distinct)
            steps.append(np.stack(frames))
            if (len(steps) + 1) * height * width > max_patches:
                encode_steps()
        numbers.append(distinct[key])
    if steps:
        encode_steps()
    return torch.cat(parts)[torch.tensor(numbers, device=device)].flatten(0, 1)
