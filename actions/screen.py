"""A captured screen. Pixel coordinates have their origin at the top left, x to the right and y down."""

from __future__ import annotations

import hashlib
import io
import time
import weakref
from collections.abc import Callable, Iterable
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from actions.errors import InvalidActionError, SurfaceError, UsageError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Area = tuple[int, int, int, int]  # left, top, width, height in pixels
HIDDEN_GRAY = 96  # in place of what may show a secret


class Screen:
    """One captured screen, immutable.

    Args:
        pixels: uint8 [H, W, 3], RGB; copied when the array is still writable.
        timestamp: Seconds since the epoch; now by default.
        secret_areas: Parts that may show a secret which was typed; they are in no stored copy.

    Raises:
        SurfaceError: The array is not such an image, so that a failed capture never becomes a Screen.
    """

    def __init__(self, pixels: Pixels, timestamp: float | None = None, secret_areas: Iterable[Area] = ()) -> None:
        shape, dtype = getattr(pixels, "shape", None), getattr(pixels, "dtype", None)
        if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise SurfaceError(f"a screen must be uint8 [height, width, 3], got {dtype} {shape}; check the capture")
        frozen = np.array(pixels, order="C", copy=True if pixels.flags.writeable else None)
        frozen.flags.writeable = False
        self._height, self._width = int(shape[0]), int(shape[1])
        self._timestamp = time.time() if timestamp is None else timestamp
        self._secret_areas = tuple(secret_areas)
        self._pixels: Pixels | None = frozen  # None while they are offloaded
        self._load: Callable[[], Pixels] | None = None
        self._loaded: weakref.ref[Pixels] | None = None  # the offloaded pixels, while they are in use

    @property
    def pixels(self) -> Pixels:
        """The image, uint8 [H, W, 3], RGB, read-only."""
        if self._pixels is not None:
            return self._pixels
        loaded = self._loaded() if self._loaded is not None else None
        if loaded is None:
            assert self._load is not None
            loaded = np.ascontiguousarray(self._load())
            loaded.flags.writeable = False
            self._loaded = weakref.ref(loaded)
        return loaded

    @property
    def timestamp(self) -> float:
        """Time of the capture, in seconds since the epoch."""
        return self._timestamp

    @property
    def secret_areas(self) -> tuple[Area, ...]:
        """The parts that may show a secret which was typed."""
        return self._secret_areas

    def hide_all(self) -> None:
        """Declare that the whole screen may show a secret."""
        self._secret_areas = ((0, 0, self.width, self.height),)

    def without_secrets(self) -> Screen:
        """Return the screen as it may be stored: with gray in place of the secret areas."""
        if not self._secret_areas:
            return self
        pixels = self.pixels.copy()
        for left, top, width, height in self._secret_areas:
            pixels[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = HIDDEN_GRAY
        return Screen(pixels, self.timestamp)

    def offload(self, load: Callable[[], Pixels]) -> None:
        """Release the memory of the pixels.

        Args:
            load: Returns the same pixels, or those of `without_secrets`; called whenever they are accessed again.
        """
        _ = self.digest  # cached before the pixels go
        self._load, self._pixels = load, None

    @property
    def is_offloaded(self) -> bool:
        """Whether the pixels are loaded on access."""
        return self._pixels is None

    def __reduce__(self) -> tuple[type[Screen], tuple[Pixels, float, tuple[Area, ...]]]:
        """Copy and pickle the pixels themselves: a loader is of use in its own process alone."""
        return type(self), (self.pixels, self.timestamp, self.secret_areas)

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
        return self._width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self._height

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
