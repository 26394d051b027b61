"""A recorded picture as a screen: it is looked at and never changes. Knows picture files; knows no goal.

`agent run "close the window" --on still:picture.png` shows what a model would do there. Recorded benchmarks read their
pictures here too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actions import InvalidActionError, Screen, SurfaceError, UsageError
from envs.options import SurfaceOptions

VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "wait"})
NOTE = "this is a recorded picture: nothing changes on it"


def load_screenshot(path: Path) -> Screen:
    """A picture file as a Screen; transparency is laid on white. SurfaceError when it is missing or is no picture."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            file.load()
            picture: Image.Image = file
            if "A" in file.getbands() or "transparency" in file.info:
                whole = file.convert("RGBA")
                picture = Image.new("RGBA", file.size, "white")
                picture.alpha_composite(whole)
            return Screen(np.asarray(picture.convert("RGB")))
    except FileNotFoundError:
        raise SurfaceError(f"the picture {path} is missing") from None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SurfaceError(f"{path} cannot be read as a picture ({error}); get it again") from None


class Surface:
    """One picture. Actions are accepted as far as they fit on it, and change nothing, which every note says."""

    name = "still"
    is_user_owned = False  # a file; nothing can be changed on it

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._screen: Screen | None = load_screenshot(self.path)

    def capture(self) -> Screen:
        """The picture; SurfaceError after close."""
        if self._screen is None:
            raise SurfaceError(f"the picture {self.path} was closed")
        return Screen(self._screen.pixels.copy())

    def perform(self, action: Any) -> str:
        if self._screen is None:
            raise SurfaceError(f"the picture {self.path} was closed")
        if action.verb not in VERBS:
            raise InvalidActionError(f"a recorded picture cannot '{action.verb}'; it takes {', '.join(sorted(VERBS))}")
        return NOTE

    def verbs(self) -> frozenset[str]:
        return VERBS

    def close(self) -> None:
        self._screen = None


def open_surface(opening: SurfaceOptions) -> Surface:
    """The picture named behind the colon of `--on still:FILE`. UsageError where none is."""
    if not opening.where:
        raise UsageError("name the picture: --on still:picture.png")
    if opening.url:
        raise UsageError(f"a recorded picture opens no address; leave out --url {opening.url}")
    try:
        return Surface(opening.where)
    except SurfaceError as error:
        raise UsageError(str(error)) from None
