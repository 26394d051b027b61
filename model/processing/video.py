"""Videos -> patches: which frames are looked at, at what size, and how many seconds lie between them. Knows no text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actions import InvalidActionError
from model.processing.image import FACTOR, TEMPORAL, frames_to_patches, resize, smart_resize

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class VideoLimits:
    """The authors' budget (qwen-vl-utils 0.0.14): frames a second, how many, pixels of one frame and of all."""

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int = 128 * FACTOR**2
    max_pixels: int = 768 * FACTOR**2
    total_pixels: int = int(128_000 * FACTOR**2 * 0.9)  # nine tenths of the context


def sample_frames(count: int, native_fps: float, limits: VideoLimits = VideoLimits()) -> np.ndarray:
    """Indices [n] of the frames to look at, evenly spread from first to last; n is a multiple of two."""
    if count < TEMPORAL or not native_fps > 0:
        raise InvalidActionError(
            f"a video needs {TEMPORAL} frames or more and a positive rate, not {count} at {native_fps} a second"
        )
    wanted = count / native_fps * limits.fps
    lowest = math.ceil(limits.min_frames / TEMPORAL) * TEMPORAL
    highest = min(limits.max_frames, count) // TEMPORAL * TEMPORAL
    number = int(min(max(wanted, lowest), highest)) // TEMPORAL * TEMPORAL
    return np.linspace(0, count - 1, number).round().astype(np.int64)


def video_patches(
    frames: np.ndarray,
    native_fps: float,
    limits: VideoLimits = VideoLimits(),
    device: str | torch.device = "cpu",
) -> tuple[torch.Tensor, tuple[int, int, int], float]:
    """uint8 [T, H, W, 3] at native_fps -> patches [N, 1176], grid (t, h, w), seconds between temporal patches."""
    chosen = sample_frames(len(frames), native_fps, limits)
    share = limits.total_pixels / len(chosen) * TEMPORAL
    most = int(max(min(limits.max_pixels, share), limits.min_pixels * 1.05))
    height, width = smart_resize(frames.shape[1], frames.shape[2], FACTOR, limits.min_pixels, most)
    shown = np.stack([resize(frames[index], width, height) for index in chosen])
    patches, grid = frames_to_patches(shown, device)
    sampled_fps = len(chosen) / len(frames) * native_fps
    return patches, grid, TEMPORAL / sampled_fps
