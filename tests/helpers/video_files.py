"""Video files whose frames say which they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (1280, 720)


def scene_color(scene: int) -> tuple[int, int, int]:
    """Return the color of a scene, one of 27 that H.264 keeps apart."""
    return 40 + 80 * (scene % 3), 40 + 80 * (scene // 3 % 3), 40 + 80 * (scene // 9 % 3)


def scene_of(pixels: np.ndarray) -> int:
    """Return the scene that a frame shows."""
    digits = np.rint((pixels.reshape(-1, 3).mean(0) - 40) / 80).astype(int)
    return int(digits[0] + 3 * digits[1] + 9 * digits[2])


def write_scenes(
    path: Path,
    seconds: int,
    *,
    fps: int = 30,
    scene_seconds: int = 10,
    size: tuple[int, int] = SIZE,
    scenes: int = 27,
) -> None:
    """Write an H.264 file that shows a new color every `scene_seconds`, each from its one keyframe on.

    Each color is encoded once; its packets are repeated with later times, so that hours take seconds.
    """
    length = fps * scene_seconds
    groups = [_encode_scene(scene, length, fps, size) for scene in range(min(scenes, -(-seconds // scene_seconds)))]
    with av.open(str(path), "w") as output:
        with av.open(str(groups_file(path, groups[0]))) as template:
            stream = output.add_stream_from_template(template.streams.video[0])
        for number in range(-(-seconds // scene_seconds)):
            source = groups_file(path, groups[number % len(groups)])
            with av.open(str(source)) as container:
                for packet in container.demux(video=0):
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    offset = round(number * scene_seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    output.mux(packet)
    path.with_suffix(".part.mp4").unlink()


def groups_file(path: Path, data: bytes) -> Path:
    """Write one scene beside the file, and return its path."""
    part = path.with_suffix(".part.mp4")
    part.write_bytes(data)
    return part


def _encode_scene(scene: int, length: int, fps: int, size: tuple[int, int]) -> bytes:
    import io

    buffer = io.BytesIO()
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = scene_color(scene)
    options = {"crf": "20", "preset": "ultrafast", "bf": "0", "g": str(length), "keyint_min": str(length)}
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={**options, "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        for number in range(length):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
