"""Videos to patches: which frames are sampled, at what size, and the seconds between them."""

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
    """Budget of a video, as the authors set it in qwen-vl-utils 0.0.14."""

    fps: float = 2.0  # frames per second that are sampled
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int = 128 * FACTOR**2  # of one frame
    max_pixels: int = 768 * FACTOR**2  # of one frame
    total_pixels: int = int(128_000 * FACTOR**2 * 0.9)  # of all frames: nine tenths of the context


def sample_frames(count: int, native_fps: float, limits: VideoLimits = VideoLimits()) -> np.ndarray:
    """Return the indices [n] of frames spread evenly from first to last; n is even.

    Raises:
        InvalidActionError: The video has fewer than two frames, or no positive frame rate.
    """
    if count < TEMPORAL or not native_fps > 0:
        raise InvalidActionError(
            f"a video needs {TEMPORAL} or more frames and a positive rate, not {count} at {native_fps} per second"
        )
    target = count / native_fps * limits.fps
    lowest = math.ceil(limits.min_frames / TEMPORAL) * TEMPORAL
    highest = min(limits.max_frames, count) // TEMPORAL * TEMPORAL
    number = int(min(max(target, lowest), highest)) // TEMPORAL * TEMPORAL
    return np.linspace(0, count - 1, number).round().astype(np.int64)


def video_patches(
    frames: np.ndarray,
    native_fps: float,
    limits: VideoLimits = VideoLimits(),
    device: str | torch.device = "cpu",
) -> tuple[torch.Tensor, tuple[int, int, int], float]:
    """Sample and resize the frames of a video, and cut them into patches.

    Args:
        frames: uint8 [T, H, W, 3].
        native_fps: Frame rate of `frames`.
        limits: Budget of the video.
        device: Where the patches are computed.

    Returns:
        Patches float32 [N, 1176], the grid (t, gh, gw), and the seconds between two temporal patches.
    """
    indices = sample_frames(len(frames), native_fps, limits)
    share = limits.total_pixels / len(indices) * TEMPORAL
    max_pixels = int(max(min(limits.max_pixels, share), limits.min_pixels * 1.05))
    height, width = smart_resize(frames.shape[1], frames.shape[2], FACTOR, limits.min_pixels, max_pixels)
    resized = np.stack([resize(frames[index], width, height) for index in indices])
    patches, grid = frames_to_patches(resized, device)
    sampled_fps = len(indices) / len(frames) * native_fps
    return patches, grid, TEMPORAL / sampled_fps
