"""Write a run as a video file: MP4 (H.264), WebM (VP9) or GIF, one frame at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actions import Screen, UsageError
from agent.report.drawing import BACKGROUND, DIM, INK, MARK, OUTCOME_COLORS, PANEL
from agent.report.images import ScreenCache, load_screen
from agent.report.records import RunRecord, read_run
from agent.report.scenes import FrameRun, SceneWriter, VideoLayout, make_layout
from agent.trace import Trace, read_trace

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL.Image import Image

PALETTE_SCREENS = 12  # screenshots that the colors of a GIF are chosen from


@dataclass(frozen=True)
class VideoFormat:
    """How a kind of file is written.

    Args:
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the encoder.
        name: The codec's usual name.
        pixel_format: FFmpeg's name.
        fps: Frames per second.
        longest: Pixels of the longer side of the screen in the video.
        options: Options of the encoder.
    """

    container: str
    codec: str
    name: str
    pixel_format: str
    fps: int
    longest: int
    options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", "H.264", "yuv420p", 25, 1280, {"crf": "27", "preset": "veryfast"}),
    ".webm": VideoFormat(
        "webm",
        "libvpx-vp9",
        "VP9",
        "yuv420p",
        25,
        1280,
        {"crf": "33", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    ),
    ".gif": VideoFormat("gif", "gif", "GIF", "pal8", 10, 800),
}


def write_run_video(folder: Path, output: Path) -> Path:
    """Write the video of a run, and return its path.

    Args:
        folder: The folder of the run.
        output: The file to write; its suffix is .mp4, .webm or .gif.

    Raises:
        UsageError: The suffix is unknown, PyAV or its encoder is missing, the run cannot be read or has no screenshot,
            or the file cannot be written.
    """
    video_format = find_format(output)
    trace = read_trace(folder)
    run = read_run(trace)
    screens = ScreenCache(partial(load_screen, trace))
    layout = make_layout(_first_screen(run, trace), video_format.longest)
    frames = SceneWriter(run, screens, layout, video_format.fps).frames()
    palette = _palette(run, trace) if video_format.pixel_format == "pal8" else None
    _write(frames, layout, video_format, palette, output)
    return output


def find_format(output: Path) -> VideoFormat:
    """Return the format for a file's suffix.

    Raises:
        UsageError: The suffix is unknown, or PyAV or its encoder is missing.
    """
    video_format = FORMATS.get(output.suffix.lower())
    if video_format is None:
        raise UsageError(f"--output {output}: '{output.suffix}' is no known kind of video; use {', '.join(FORMATS)}")
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"a video cannot be written: PyAV is missing ({error}); install it with: pip install 'pixelhand[video]'"
        ) from None
    if video_format.codec not in av.codecs_available:
        others = [suffix for suffix, other in FORMATS.items() if other.codec in av.codecs_available]
        raise UsageError(
            f"--output {output}: this PyAV has no encoder for {video_format.name} ({video_format.codec}); "
            + (f"use {' or '.join(others)}" if others else "install the wheel: pip install 'pixelhand[video]'")
        )
    return video_format


def _first_screen(run: RunRecord, trace: Trace) -> Screen:
    for digest in run.digests():
        with suppress(UsageError):
            return load_screen(trace, digest)
    raise UsageError(f"the run {run.run_id} has no screenshot that can be read, so there is nothing to show")


def _write(
    frames: Iterator[FrameRun], layout: VideoLayout, video_format: VideoFormat, palette: Image | None, output: Path
) -> None:
    """Encode frames into a temporary file beside the output, and rename it."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name[:40]}.")
        os.close(handle)
        _encode(frames, layout, video_format, palette, temporary)
        os.replace(temporary, output)
        temporary = ""
    except OSError as error:  # PyAV's errors derive from it
        raise UsageError(
            f"{output} cannot be written: {error.strerror or error}; name another file with --output"
        ) from None
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def _encode(
    frames: Iterator[FrameRun], layout: VideoLayout, video_format: VideoFormat, palette: Image | None, path: str
) -> None:
    import av
    from av.video.stream import VideoStream

    with av.open(path, "w", format=video_format.container) as container:
        stream = container.add_stream(video_format.codec, rate=video_format.fps, options=dict(video_format.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = layout.width, layout.height, video_format.pixel_format
        time_base = Fraction(1, video_format.fps)
        stream.time_base = time_base
        position = 0
        for image, count in frames:
            frame = _to_frame(image, video_format, palette)
            # a GIF stores how long an image stays, but not of the last; players of the others expect a constant rate
            for offset in sorted({0, count - 1}) if palette is not None else range(count):
                frame.pts, frame.time_base = position + offset, time_base
                container.mux(stream.encode(frame))
            position += count
        container.mux(stream.encode(None))


def _to_frame(image: Image, video_format: VideoFormat, palette: Image | None) -> VideoFrame:
    import av
    from PIL import Image as PilImage

    if palette is None:
        frame = av.VideoFrame.from_image(image)
        return frame.reformat(format=video_format.pixel_format)
    indexed = image.quantize(palette=palette, dither=PilImage.Dither.NONE)
    colors = np.zeros((256, 4), np.uint8)
    flat = np.array(palette.getpalette() or [], np.uint8).reshape(-1, 3)[:256]
    colors[: len(flat), 1:], colors[:, 0] = flat, 255
    planes: Any = (np.asarray(indexed), colors)  # PyAV's types lack the pair that this format takes
    return av.VideoFrame.from_ndarray(planes, format="pal8")


def _palette(run: RunRecord, trace: Trace) -> Image:
    """Return an image with the 256 colors of a GIF, chosen from screenshots of the whole run and the captions."""
    from PIL import Image as PilImage

    digests = run.digests()
    stride = max(1, len(digests) // PALETTE_SCREENS)
    sheet = PilImage.new("RGB", (320, 200 * (PALETTE_SCREENS + 2)), BACKGROUND)
    row = 0
    for digest in digests[::stride][: PALETTE_SCREENS + 1]:
        with suppress(UsageError):
            image = PilImage.fromarray(load_screen(trace, digest).pixels)
            sheet.paste(image.resize((320, 200), PilImage.Resampling.BILINEAR), (0, 200 * row))
            row += 1
    for index, color in enumerate((PANEL, INK, DIM, MARK, *OUTCOME_COLORS.values())):
        sheet.paste(color, (40 * index, 200 * (PALETTE_SCREENS + 1), 40 * index + 40, 200 * (PALETTE_SCREENS + 2)))
    return sheet.quantize(256, method=PilImage.Quantize.MEDIANCUT)
