"""Read frames of a video file, in one pass and without holding the others in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actions import UsageError
from model.processing.image import FACTOR, TEMPORAL, resize
from model.processing.video import SampledVideo, VideoLimits, frame_size, sample_frames

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# the budget of the authors' evaluations: 16 to 768 merged patches of 28 pixels per frame, 20,480 in all
FILE_LIMITS = VideoLimits(min_pixels=16 * FACTOR**2, total_pixels=20_480 * FACTOR**2)


@dataclass(frozen=True)
class _Index:
    """When the frames of a stream are shown, in units of its time base."""

    times: list[int]  # of all frames, in order
    keyframes: list[int]  # of the frames from which decoding can begin
    duration: int

    def keyframe_before(self, time: int) -> int:
        """Return the last keyframe that is not after a time."""
        return self.keyframes[max(bisect_right(self.keyframes, time) - 1, 0)]


def read_video(path: Path, limits: VideoLimits = FILE_LIMITS, factor: int = FACTOR) -> SampledVideo:
    """Return the frames of a video file that fit a budget.

    With a constant frame rate they are those of `sample_frames`; otherwise those that are shown at the same times.
    Frames before a needed keyframe are skipped, and of the decoded ones only the chosen ones are converted.

    Args:
        path: A file that FFmpeg can decode.
        limits: Number of frames, and their pixels.
        factor: Side of a merged patch, which the sides of the frames are multiples of.

    Raises:
        UsageError: PyAV is missing.
        UnreadableVideoError: The file cannot be read as a video.
        InvalidActionError: The video has fewer than two frames.
    """
    with _open_stream(path) as (container, stream):
        return _sample(container, stream, path, limits, factor)


def evenly_spaced_frames(path: Path, count: int) -> tuple[list[float], list[np.ndarray]]:
    """Return frames of a video file at even distances from the first to the last, in their own size.

    Args:
        path: A file that FFmpeg can decode.
        count: Number of frames; a shorter video has fewer.

    Returns:
        Seconds from the start of the video, and frames as uint8 [H, W, 3].

    Raises:
        UsageError: PyAV is missing.
        UnreadableVideoError: The file cannot be read as a video, or has no frames.
    """
    with _open_stream(path) as (container, stream):
        index = _read_index(container, stream)
        if not index.times:
            raise UnreadableVideoError(f"{path} cannot be read as a video: it has no frames; copy it again")
        total = len(index.times)
        chosen = sorted({round(place * (total - 1) / max(count - 1, 1)) for place in range(count)})
        wanted = [index.times[number] for number in chosen]
        frames = [upright_pixels(frame) for frame in _decode(container, stream, index, wanted)]
        time_base = float(stream.time_base or 0)
        _check_decoded(path, len(frames), wanted, index, time_base)
        return [(time - index.times[0]) * time_base for time in wanted], frames


class UnreadableVideoError(UsageError):
    """A file that cannot be read as a video."""


@contextmanager
def _open_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the video of a file.

    Raises:
        UsageError: PyAV is missing.
        UnreadableVideoError: The file cannot be read as a video, also while it is decoded.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"{path} cannot be read: PyAV is missing ({error}); install it with: pip install 'pixelhand[video]'"
        ) from None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UnreadableVideoError(f"{path} has no video: it contains {_kinds(container)}; name a video file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except (OSError, ValueError) as error:  # PyAV's errors derive from them
        raise UnreadableVideoError(
            f"{path} cannot be read as a video: {getattr(error, 'strerror', None) or error}; name a file that FFmpeg "
            "can decode"
        ) from None


def _sample(
    container: InputContainer, stream: VideoStream, path: Path, limits: VideoLimits, factor: int
) -> SampledVideo:
    index = _read_index(container, stream)
    time_base = float(stream.time_base or 0)
    duration = index.duration * time_base
    fps = len(index.times) / duration if duration > 0 else 0.0
    chosen = sample_frames(len(index.times), fps, limits)
    wanted = [_time_shown(index, number) for number in chosen]
    frames: list[np.ndarray] = []
    size = (0, 0)
    for frame in _decode(container, stream, index, wanted):
        pixels = upright_pixels(frame)
        if not frames:
            size = frame_size(pixels.shape[0], pixels.shape[1], len(chosen), limits, factor)
        resized = resize(pixels, size[1], size[0])
        frames.append(frames[-1] if frames and np.array_equal(frames[-1], resized) else resized)
    _check_decoded(path, len(frames), wanted, index, time_base)
    return SampledVideo(
        tuple(frames),
        tuple((time - index.times[0]) * time_base for time in wanted),
        duration,
        TEMPORAL / (len(chosen) / duration),
    )


def _check_decoded(path: Path, decoded: int, wanted: list[int], index: _Index, time_base: float) -> None:
    """Raise UnreadableVideoError if fewer frames were decoded than wanted."""
    if decoded < len(wanted):
        seconds = (wanted[decoded] - index.times[0]) * time_base
        raise UnreadableVideoError(
            f"{path} cannot be decoded from {seconds:.1f} s on: the file is damaged; copy it again"
        )


def _read_index(container: InputContainer, stream: VideoStream) -> _Index:
    """Read the times of all frames from the packets, without decoding any."""
    times, keyframes, last_duration = list[int](), list[int](), 0
    for packet in container.demux(stream):
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or not packet.size:
            continue
        times.append(time)
        if packet.is_keyframe:
            keyframes.append(time)
        last_duration = packet.duration or last_duration
    times.sort()
    keyframes.sort()
    if not times:
        return _Index([], [], 0)
    steps = [later - earlier for earlier, later in pairwise(times)]
    span = times[-1] - times[0]
    return _Index(times, keyframes or times[:1], span + (last_duration or (round(span / len(steps)) if steps else 0)))


def _time_shown(index: _Index, number: int) -> int:
    """Return the time of the frame that is shown where frame `number` would be at a constant rate."""
    step = index.duration / len(index.times)
    latest = index.times[0] + (number + 0.5) * step  # half a frame of tolerance for rounded times
    return index.times[max(bisect_right(index.times, latest) - 1, 0)]


def _decode(container: InputContainer, stream: VideoStream, index: _Index, wanted: list[int]) -> Iterator[VideoFrame]:
    """Yield the frame shown at each of the wanted times, which ascend."""
    frame: VideoFrame | None = None
    following: VideoFrame | None = None
    frames: Iterator[VideoFrame] = iter(())
    decoded_until = index.times[0] - 1
    for time in wanted:
        keyframe = index.keyframe_before(time)
        if keyframe > decoded_until:
            container.seek(keyframe, stream=stream, backward=True)
            frames, frame, following = container.decode(stream), None, None
        while following is None or _time(following) <= time:
            if following is not None:
                frame = following
            following = next(frames, None)
            if following is None:
                break
            decoded_until = max(decoded_until, _time(following))
        if frame is None:
            return
        yield frame


def _time(frame: VideoFrame) -> int:
    time = frame.pts if frame.pts is not None else frame.dts
    if time is None:
        raise ValueError("a frame has no time")
    return int(time)


def upright_pixels(frame: VideoFrame) -> np.ndarray:
    """Return a frame as uint8 [H, W, 3], turned as its metadata say."""
    pixels = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
