"""Screen: what was seen, and when. The one pixel space of actions: origin top-left, x to the right, y down."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from actions.errors import InvalidActionError, SurfaceError


@dataclass(frozen=True, eq=False)
class Screen:
    """One captured frame.

    pixels: uint8 [H, W, 3], RGB, read-only, copied when somebody could still write them; taken_s: seconds since epoch.
    Raises SurfaceError when the array is not such a picture: a failed capture never becomes a Screen.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    timestamp: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        shape, dtype = getattr(self.pixels, "shape", None), getattr(self.pixels, "dtype", None)
        if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise SurfaceError(
                f"a screen is uint8 [height, width, 3], not {dtype} {shape}; check the capture of this surface"
            )
        frozen = np.array(self.pixels, order="C", copy=True if self.pixels.flags.writeable else None)
        frozen.flags.writeable = False
        object.__setattr__(self, "pixels", frozen)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @cached_property
    def digest(self) -> str:
        """blake2b of size and bytes, 32 hex digits: equal digests are equal pictures."""
        hasher = hashlib.blake2b(f"{self.width}x{self.height}:".encode(), digest_size=16)
        hasher.update(self.pixels.data)
        return hasher.hexdigest()

    def check_point(self, x: int, y: int) -> None:
        """Raise BadCall, naming the valid range, when (x, y) is not a pixel of this screen. Nothing is clamped."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise InvalidActionError(
                f"point ({x}, {y}) is outside the screen; x must be 0 to {self.width - 1} and y 0 to {self.height - 1}"
            )

    def __repr__(self) -> str:
        return f"Screen({self.width}x{self.height}, {self.digest[:8]})"
