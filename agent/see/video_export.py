"""Export events of a video: a contact sheet with an image of each, and a clip of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actions import UsageError
from agent.report.drawing import BACKGROUND, DIM, INK, fit_text, font, wrap_text
from agent.see.video_events import VideoEvent, format_time
from agent.ui.formatting import sanitize
from model.processing.video import SampledVideo
from model.processing.video_file import upright_pixels

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

COLUMNS, TILE_WIDTH, MARGIN, TEXT_HEIGHT = 3, 400, 16, 76


def write_contact_sheet(video: SampledVideo, events: Sequence[VideoEvent], output: Path) -> None:
    """Write an image with the middle frame of each event, its times and its description.

    Raises:
        UsageError: There is no event, or the file cannot be written.
    """
    from PIL import Image, ImageDraw

    if not events:
        raise UsageError(f"--sheet {output}: there is no event to show; ask for something else, or remove --sheet")
    height, width, _ = video.frames[0].shape
    tile_height = round(TILE_WIDTH * height / width)
    columns, rows = min(COLUMNS, len(events)), -(-len(events) // COLUMNS)
    cell_width, cell_height = TILE_WIDTH + MARGIN, tile_height + TEXT_HEIGHT + MARGIN
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, rows * cell_height + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    title_font, text_font = font(15, is_bold=True), font(14)
    for index, event in enumerate(events):
        left, top = MARGIN + index % COLUMNS * cell_width, MARGIN + index // COLUMNS * cell_height
        frame = Image.fromarray(frame_at(video, (event.start + event.end) / 2))
        sheet.paste(frame.resize((TILE_WIDTH, tile_height), Image.Resampling.BICUBIC), (left, top))
        title = f"{format_time(event.start)} - {format_time(event.end)}"
        draw.text((left, top + tile_height + 6), fit_text(title, title_font, TILE_WIDTH), font=title_font, fill=DIM)
        lines = wrap_text(sanitize(event.description), text_font, TILE_WIDTH, 2)
        for number, line in enumerate(lines):
            draw.text((left, top + tile_height + 28 + 20 * number), line, font=text_font, fill=INK)
    try:
        sheet.save(output)
    except (OSError, ValueError) as error:
        raise UsageError(f"--sheet {output} cannot be written: {error}; name a .png file") from None


def frame_at(video: SampledVideo, seconds: float) -> np.ndarray:
    """Return the frame of a sampled video that is nearest to a time."""
    return video.frames[int(np.abs(np.array(video.times) - seconds).argmin())]


def write_clips(source: Path, events: Sequence[VideoEvent], folder: Path) -> list[Path]:
    """Write the part of a video file that each event covers as an H.264 file, and return the paths.

    Raises:
        UsageError: PyAV has no encoder for H.264, or a file cannot be read or written.
    """
    import av

    if "libx264" not in av.codecs_available:
        raise UsageError(
            "--clips needs an encoder for H.264 (libx264), which this PyAV lacks; install pixelhand[video]"
        )
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, event in enumerate(events, 1):
            start = format_time(event.start).replace(":", "m").replace(".", "s")
            paths.append(folder / f"{number:02d}-{start}.mp4")
            temporary = folder / f".{paths[-1].name}"
            try:
                _write_clip(source, event, temporary)
                os.replace(temporary, paths[-1])
            finally:
                temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # PyAV's errors derive from them
        raise UsageError(f"--clips {folder} cannot be written: {error}; name another folder") from None
    return paths


def _write_clip(source: Path, event: VideoEvent, output: Path) -> None:
    """Encode the frames that are shown from an event's start to its end; at least one."""
    import av

    with av.open(str(source)) as container, av.open(str(output), "w", format="mp4") as target:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        time_base = Fraction(stream.time_base or Fraction(1, 1000))
        first = stream.start_time or 0
        begin, end = (first + round(seconds / time_base) for seconds in (event.start, event.end))
        encoder = target.add_stream("libx264", rate=stream.average_rate or 25, options={"crf": "23"})
        encoder.codec_context.time_base = time_base
        container.seek(begin, stream=stream, backward=True)
        previous = None
        is_empty = True
        for frame in container.decode(stream):
            time = frame.pts if frame.pts is not None else frame.dts
            if time is None:
                continue
            if time < begin:
                previous = frame  # it may still be shown at the start
                continue
            if is_empty and previous is not None and time > begin:
                _encode(encoder, target, previous, 0, time_base)
                is_empty = False
            if time > end:
                break
            _encode(encoder, target, frame, time - begin, time_base)
            is_empty = False
        if is_empty and previous is not None:
            _encode(encoder, target, previous, 0, time_base)
        target.mux(encoder.encode(None))


def _encode(encoder: VideoStream, target: OutputContainer, frame: VideoFrame, time: int, time_base: Fraction) -> None:
    import av

    pixels = upright_pixels(frame)
    height, width = (side // 2 * 2 for side in pixels.shape[:2])  # yuv420p has half as many colors per side
    if not encoder.codec_context.is_open:
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
    picture.pts, picture.time_base = time, time_base
    target.mux(encoder.encode(picture.reformat(format="yuv420p")))
