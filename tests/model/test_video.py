"""Sampling of video frames, and the time between their patches."""

from __future__ import annotations

import numpy as np
import pytest

from actions import InvalidActionError
from model.processing.video import VideoLimits, sample_frames, video_patches


def test_two_frames_per_second_are_sampled() -> None:
    indices = sample_frames(300, 30.0)  # ten seconds
    assert len(indices) == 20
    assert (indices[0], indices[-1]) == (0, 299)


def test_frame_count_is_bounded() -> None:
    assert len(sample_frames(30, 30.0)) == 4
    assert len(sample_frames(30 * 3600, 30.0)) == 768
    assert len(sample_frames(3, 30.0)) == 2


def test_seconds_per_patch_follow_sampled_rate() -> None:
    frames = np.zeros((40, 60, 90, 3), np.uint8)
    patches, grid, seconds = video_patches(frames, 10.0)
    assert grid[0] == 4
    assert seconds == pytest.approx(1.0)
    assert patches.shape == (grid[0] * grid[1] * grid[2], 1176)


def test_frames_share_pixel_budget() -> None:
    frames = np.zeros((16, 700, 700, 3), np.uint8)
    small = VideoLimits(fps=10, total_pixels=16 * 128 * 784)
    _, (_, few_h, few_w), _ = video_patches(frames, 10.0, small)
    _, (_, many_h, many_w), _ = video_patches(frames, 10.0, VideoLimits(fps=10))
    assert few_h * few_w < many_h * many_w


@pytest.mark.parametrize(("count", "fps"), [(1, 30.0), (10, 0.0), (10, float("nan"))])
def test_invalid_video_is_rejected(count: int, fps: float) -> None:
    with pytest.raises(InvalidActionError, match="or more frames and a positive rate"):
        sample_frames(count, fps)
