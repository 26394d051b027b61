"""A captured screen. Pixel coordinates have their origin at the top left, x to the right and y down."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from actions.errors import InvalidActionError, SurfaceError, UsageError


@dataclass(frozen=True, eq=False)
class Screen:
    """One captured screen.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, read-only; copied when the array is still writable.
        timestamp: seconds since the epoch.

    Raises:
        SurfaceError: the array is not such an image, so that a failed capture never becomes a Screen.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    timestamp: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        shape, dtype = getattr(self.pixels, "shape", None), getattr(self.pixels, "dtype", None)
        if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise SurfaceError(f"a screen must be uint8 [height, width, 3], got {dtype} {shape}; check the capture")
        frozen = np.array(self.pixels, order="C", copy=True if self.pixels.flags.writeable else None)
        frozen.flags.writeable = False
        object.__setattr__(self, "pixels", frozen)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Screen:
        """Return the screen in an image file (PNG, JPEG, WebP, ...); transparency is dropped.

        Raises:
            UsageError: the file cannot be read as an image.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                return cls(np.asarray(image.convert("RGB")))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise UsageError(f"cannot read {path} as an image: {error}") from None

    def save(self, path: str | PathLike[str]) -> None:
        """Write the screen to an image file; the suffix of `path` selects the format.

        Raises:
            UsageError: the file cannot be written, or its suffix names no image format.
        """
        try:
            self._image().save(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot write the screen to {path}: {error}") from None

    def show(self) -> None:
        """Show the screen in the system's image viewer."""
        self._image().show()

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @cached_property
    def digest(self) -> str:
        """BLAKE2b of the size and the pixels, 32 hexadecimal digits."""
        hasher = hashlib.blake2b(f"{self.width}x{self.height}:".encode(), digest_size=16)
        hasher.update(self.pixels.data)
        return hasher.hexdigest()

    def check_point(self, x: int, y: int) -> None:
        """Raise InvalidActionError when (x, y) is not a pixel of this screen; coordinates are never clamped."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise InvalidActionError(
                f"point ({x}, {y}) is outside the screen; x must be 0 to {self.width - 1} and y 0 to {self.height - 1}"
            )

    def __repr__(self) -> str:
        return f"Screen({self.width}x{self.height}, {self.digest[:8]})"

    def _repr_png_(self) -> bytes:
        """Return the screen as PNG bytes, for notebooks."""
        buffer = io.BytesIO()
        self._image().save(buffer, format="PNG")
        return buffer.getvalue()

    def _image(self) -> Any:
        from PIL import Image

        return Image.fromarray(self.pixels)
