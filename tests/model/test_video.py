"""Which frames of a video are looked at, and what their patches say of time."""

from __future__ import annotations

import numpy as np
import pytest

from actions import InvalidActionError
from model.processing.video import VideoLimits, sample_frames, video_patches


def test_two_frames_a_second_from_first_to_last() -> None:
    indices = sample_frames(300, 30.0)  # ten seconds
    assert len(indices) == 20
    assert (indices[0], indices[-1]) == (0, 299)


def test_short_videos_get_four_frames_and_long_ones_no_more_than_the_limit() -> None:
    assert len(sample_frames(30, 30.0)) == 4
    assert len(sample_frames(30 * 3600, 30.0)) == 768
    assert len(sample_frames(3, 30.0)) == 2


def test_seconds_between_patches_follow_the_rate_that_was_sampled() -> None:
    frames = np.zeros((40, 60, 90, 3), np.uint8)
    patches, grid, seconds = video_patches(frames, 10.0)
    assert grid[0] == 4 and seconds == pytest.approx(1.0)
    assert patches.shape == (grid[0] * grid[1] * grid[2], 1176)


def test_many_frames_share_the_budget() -> None:
    frames = np.zeros((16, 700, 700, 3), np.uint8)
    small = VideoLimits(fps=10, total_pixels=16 * 128 * 784)
    _, (_, few_h, few_w), _ = video_patches(frames, 10.0, small)
    _, (_, many_h, many_w), _ = video_patches(frames, 10.0, VideoLimits(fps=10))
    assert few_h * few_w < many_h * many_w


@pytest.mark.parametrize(("count", "fps"), [(1, 30.0), (10, 0.0), (10, float("nan"))])
def test_what_is_no_video_is_said(count: int, fps: float) -> None:
    with pytest.raises(InvalidActionError, match="frames or more and a positive rate"):
        sample_frames(count, fps)
