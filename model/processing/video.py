"""Videos to patches: which frames are sampled, at what size, and the seconds between them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class SampledVideo:
    """The frames of a video that a model is shown, resized.

    Args:
        frames: uint8 [H, W, 3] each, in order; equal neighbors are one array.
        times: Seconds from the start of the video to each frame.
        duration: Seconds of the whole video.
        seconds_per_step: Seconds between two temporal patches, by the rate at which frames were sampled.
    """

    frames: tuple[np.ndarray, ...]
    times: tuple[float, ...]
    duration: float
    seconds_per_step: float

    @cached_property
    def digest(self) -> str:
        """Hash of the frames and their rate."""
        result = hashlib.sha256(repr((len(self.frames), self.frames[0].shape, self.seconds_per_step)).encode())
        previous, frame_digest = None, b""
        for frame in self.frames:
            if frame is not previous:
                previous, frame_digest = frame, hashlib.sha256(frame.tobytes()).digest()
            result.update(frame_digest)
        return result.hexdigest()

    def grid(self, patch: int) -> tuple[int, int, int]:
        """Return (t, h, w) in patches of that side."""
        height, width, _ = self.frames[0].shape
        return math.ceil(len(self.frames) / TEMPORAL), height // patch, width // patch

    def steps(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the frames of each temporal patch; an odd last frame is repeated."""
        for start in range(0, len(self.frames), TEMPORAL):
            frames = self.frames[start : start + TEMPORAL]
            yield (*frames, *[frames[-1]] * (TEMPORAL - len(frames)))


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


def frame_size(
    height: int, width: int, count: int, limits: VideoLimits = VideoLimits(), factor: int = FACTOR
) -> tuple[int, int]:
    """Return the (height, width) that each of `count` frames is resized to."""
    share = limits.total_pixels / count * TEMPORAL
    max_pixels = int(max(min(limits.max_pixels, share), limits.min_pixels * 1.05))
    return smart_resize(height, width, factor, limits.min_pixels, max_pixels)


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
    height, width = frame_size(frames.shape[1], frames.shape[2], len(indices), limits)
    resized = np.stack([resize(frames[index], width, height) for index in indices])
    patches, grid = frames_to_patches(resized, device)
    sampled_fps = len(indices) / len(frames) * native_fps
    return patches, grid, TEMPORAL / sampled_fps
