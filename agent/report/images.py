"""Encode screenshots for pages that embed them, within a total size."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actions import Screen, SurfaceError, UsageError
from agent.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image

# Widest or highest side in pixels and WebP quality, best first: the first that fits the allowed size is used.
_LEVELS = ((1920, 82), (1920, 64), (1440, 70), (1280, 64), (1024, 60), (800, 50), (600, 40), (400, 25), (280, 20))
_ENCODER_EFFORT = 2  # of 6: a third of the default's time for a twentieth more bytes
_MAX_UNUSED = 0.45  # share of the allowed bytes; below it the next image is tried one level better
_BASE64_GROWTH = 4 / 3
_MOST_OF_SCREEN = 0.5  # share of the screen; a larger change is not pointed out
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class EmbeddedImage:
    """An image in base64.

    Args:
        number: Its number in the page, from 1.
        data: The file, in base64.
        width: Width in pixels of the screenshot, not of the file.
        height: Height in pixels of the screenshot.
    """

    number: int
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class CropBox:
    """A part of a screenshot, in its pixels."""

    left: int
    top: int
    width: int
    height: int


def encode_image(image: Image, format: str, quality: int, max_size: tuple[int, int] | None = None) -> bytes:
    """Return an image as the bytes of a file.

    Args:
        image: The image; not changed.
        format: "WEBP" or "JPEG".
        quality: 1 to 100.
        max_size: Width and height that it is scaled down to; None for its own size.
    """
    from PIL import Image as PilImage

    if max_size is not None and (image.width > max_size[0] or image.height > max_size[1]):
        image = image.copy()
        image.thumbnail(max_size, PilImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality, **({"method": _ENCODER_EFFORT} if format == "WEBP" else {}))
    return buffer.getvalue()


def to_base64(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode("ascii")


class ImageBudget:
    """Encodes images so that all of them together fit a number of base64 characters.

    Args:
        total_chars: Characters of all images.
        count: The number of images to come.
    """

    def __init__(self, total_chars: int, count: int) -> None:
        self._remaining_bytes = total_chars / _BASE64_GROWTH
        self._remaining_count = count
        self._level = 0

    def encode(self, image: Image) -> bytes:
        """Return an image as WebP, scaled down and compressed as far as the rest of the budget requires."""
        allowed = self._remaining_bytes / max(1, self._remaining_count)
        data = b""
        for level in range(self._level, len(_LEVELS)):
            self._level = level
            side, quality = _LEVELS[level]
            data = encode_image(image, "WEBP", quality, (side, side))
            if len(data) <= allowed:
                break
        self._remaining_bytes -= len(data)
        self._remaining_count -= 1
        if len(data) < _MAX_UNUSED * allowed and self._level:
            self._level -= 1
        return data


def crop_box(screen: Screen, x: int, y: int, size: tuple[int, int]) -> CropBox:
    """Return the part of a screenshot around a point, moved inwards at its edges."""
    width, height = min(size[0], screen.width), min(size[1], screen.height)
    left = min(max(0, x - width // 2), screen.width - width)
    top = min(max(0, y - height // 2), screen.height - height)
    return CropBox(left, top, width, height)


def changed_box(before: Screen | None, after: Screen | None) -> CropBox | None:
    """Return the part of the screen that an action changed; None where that is nothing, most of it, or unknown."""
    if before is None or after is None or before.pixels.shape != after.pixels.shape:
        return None
    is_changed = (before.pixels != after.pixels).any(axis=2)
    rows, columns = np.flatnonzero(is_changed.any(axis=1)), np.flatnonzero(is_changed.any(axis=0))
    if not rows.size:
        return None
    left, top = int(columns[0]), int(rows[0])
    box = CropBox(left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
    return box if box.width * box.height <= _MOST_OF_SCREEN * after.width * after.height else None


def load_screen(trace: Trace, digest: str) -> Screen:
    """Return a screenshot of a run.

    Raises:
        UsageError: Its file is missing, was changed, or is no screenshot.
    """
    from PIL.Image import DecompressionBombError

    if not _DIGEST.fullmatch(digest):
        raise UsageError("the trace names no valid screenshot")
    try:
        return trace.screen(digest)
    except (SurfaceError, ValueError, SyntaxError, DecompressionBombError) as error:
        raise UsageError(f"the screenshot {digest}.png cannot be read ({error})") from None


class ScreenCache:
    """Screenshots of a run, of which the last two stay decoded: steps share them with their neighbors."""

    def __init__(self, load: Callable[[str], Screen]) -> None:
        self._load = load
        self._screens: dict[str, Screen] = {}

    def get(self, digest: str) -> Screen:
        """Return a screenshot; errors are those of `load_screen`."""
        screen = self._screens.pop(digest, None) or self._load(digest)
        self._screens[digest] = screen
        while len(self._screens) > 2:
            del self._screens[next(iter(self._screens))]
        return screen
