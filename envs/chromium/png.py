"""Decode and inspect the browser's screenshots."""

from __future__ import annotations

from typing import Any

import numpy as np

from actions import SurfaceError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3], RGB
PDF_BAR_PX, SCROLL_BAR_PX = 64, 20  # CSS pixels of the PDF viewer


def decode_png(png: bytes) -> Pixels:
    """Decode a PNG to read-only RGB pixels, which a Screen takes without a copy."""
    import cv2  # decodes an image of 1920x1080 in half of Pillow's time

    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise SurfaceError(f"the browser returned {len(png)} bytes that are not an image; start it again")
    pixels.flags.writeable = False
    return np.asarray(pixels, np.uint8)


def is_blank(pixels: Pixels | None, scale: float) -> bool:
    """Return whether a screenshot has one color below the PDF viewer's tool bar.

    Args:
        pixels: The screenshot; None counts as blank.
        scale: Its pixels per CSS pixel.
    """
    if pixels is None:
        return True
    below = pixels[round(PDF_BAR_PX * scale) :, : -round(SCROLL_BAR_PX * scale)]
    return below.size > 0 and bool((below == below[:1, :1]).all())
