"""Frames of video files: which are chosen, when they are shown, and the memory that reading takes."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video_files import scene_color, scene_of, write_scenes

from actions import InvalidActionError, UsageError
from model.processing.image import FACTOR
from model.processing.video import VideoLimits, frame_size, sample_frames
from model.processing.video_file import FILE_LIMITS, evenly_spaced_frames, read_video

SMALL = (320, 180)
MEMORY_MB = 1500


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "minute.mp4"
    write_scenes(path, 60, fps=10, size=SMALL)
    return path


@pytest.mark.parametrize(
    ("count", "fps", "number"),
    [(300, 30, 20), (299, 29.97, 18), (30, 30, 4), (5, 30, 4), (3, 30, 2), (108_000, 30, 768), (11_520, 30, 768)],
)
def test_frame_number_follows_the_rule(count: int, fps: float, number: int) -> None:
    indices = sample_frames(count, fps, FILE_LIMITS)
    assert len(indices) == number
    assert indices.tolist() == [round(position) for position in np.linspace(0, count - 1, number)]


@pytest.mark.parametrize("count", [4, 60, 120, 768])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (320, 180), (720, 1280)])
def test_frame_sizes_fit_the_budget(width: int, height: int, count: int) -> None:
    resized = frame_size(height, width, count, FILE_LIMITS)
    cells = resized[0] * resized[1] // FACTOR**2
    assert cells >= 16
    assert cells * count // 2 <= 20_480


def test_minute_has_frames_at_their_times(minute: Path) -> None:
    video = read_video(minute)
    assert len(video.frames) == 120
    assert video.duration == pytest.approx(60)
    assert video.seconds_per_step == pytest.approx(1.0)
    for index, (frame, time) in enumerate(zip(video.frames, video.times, strict=True)):
        assert abs(time - index * 59.9 / 119) <= 0.05  # half a frame
        assert scene_of(frame) == int(time / 10 + 1e-6)


def test_equal_neighbors_are_stored_once(minute: Path) -> None:
    assert len({id(frame) for frame in read_video(minute).frames}) <= 12


def test_few_frames_skip_to_keyframes(minute: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.processing import video_file

    decoded: list[int] = []
    time_of = video_file._time
    monkeypatch.setattr(video_file, "_time", lambda frame: decoded.append(time_of(frame)) or time_of(frame))
    video = read_video(minute, VideoLimits(max_frames=4))
    assert [scene_of(frame) for frame in video.frames] == [0, 2, 3, 5]
    assert len(set(decoded)) < 320  # of 600


def test_variable_rate_is_sampled_by_time(tmp_path: Path) -> None:
    path = tmp_path / "slow.mp4"
    starts = [0, 1, 2, 3, 40, 80]  # tenths of a second: four frames at once, then two long ones
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SMALL, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for scene, start in enumerate(starts):
            pixels = np.full((SMALL[1], SMALL[0], 3), scene_color(scene), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = start, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = read_video(path)
    scenes = [max(scene for scene, start in enumerate(starts) if start / 10 <= time + 1e-6) for time in video.times]
    assert [scene_of(frame) for frame in video.frames] == scenes
    assert 4 in scenes


@pytest.mark.parametrize("count", [1, 7, 600, 700])
def test_evenly_spaced_frames_keep_their_size(minute: Path, count: int) -> None:
    times, frames = evenly_spaced_frames(minute, count)
    assert len(times) == len(frames) == min(count, 600)
    assert times[0] == 0.0
    if count > 1:
        assert times[-1] == pytest.approx(59.9)
    for time, frame in zip(times, frames, strict=True):
        assert frame.shape == (SMALL[1], SMALL[0], 3)
        assert scene_of(frame) == int(time / 10 + 1e-6)


@pytest.mark.parametrize(("name", "content"), [("missing.mp4", None), ("text.mp4", b"no video"), ("empty.mp4", b"")])
def test_unreadable_file_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{name} cannot be read as a video"):
        read_video(path)
    with pytest.raises(UsageError, match=f"{name} cannot be read as a video"):
        evenly_spaced_frames(path, 4)


def test_truncated_file_is_refused(minute: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(minute.read_bytes()[:2000])
    with pytest.raises(UsageError, match=r"cut\.mp4"):
        read_video(path)


def test_file_without_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(UsageError, match="no video: it contains audio"):
        read_video(path)


def test_one_frame_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    write_scenes(path, 1, fps=1, scene_seconds=1, size=SMALL)
    with pytest.raises(InvalidActionError, match="2 or more frames"):
        read_video(path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hour_is_read_within_memory(tmp_path: Path) -> None:
    path = tmp_path / "hour.mp4"
    write_scenes(path, 3600, fps=10, scenes=6)
    code = """
import resource, sys
from pathlib import Path
from helpers.video_files import scene_of
from model.processing.video_file import read_video
video = read_video(Path(sys.argv[1]))
wrong = [time for frame, time in zip(video.frames, video.times) if scene_of(frame) != int(time / 10 + 1e-6) % 6]
late = max(abs(time - index * 3599.9 / 767) for index, time in enumerate(video.times))
print(len(video.frames), len(wrong), late <= 0.05, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    output = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    ).stdout
    frames, wrong, on_time, megabytes = output.split()
    assert (frames, wrong, on_time) == ("768", "0", "True")
    assert int(megabytes) < MEMORY_MB
