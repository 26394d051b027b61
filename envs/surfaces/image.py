"""The image surface: a recorded screenshot that never changes.

`agent run "close the window" --surface image:screenshot.png` shows what a model would do there. Recorded benchmarks
load their images here too.
"""

from __future__ import annotations

from pathlib import Path

from actions import Action, InvalidActionError, Screen, SurfaceError, UsageError
from envs.options import SurfaceOptions

VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "wait"})
NOTICE = "this is a recorded picture: nothing changes on it"


def load_screenshot(path: Path) -> Screen:
    """Load an image file as a Screen, with transparency over white.

    Raises:
        SurfaceError: The file is missing or is not an image.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            file.load()
            image: Image.Image = file
            if "A" in file.getbands() or "transparency" in file.info:
                foreground = file.convert("RGBA")
                image = Image.new("RGBA", file.size, "white")
                image.alpha_composite(foreground)
            return Screen(np.asarray(image.convert("RGB")))
    except FileNotFoundError:
        raise SurfaceError(f"image {path} is missing") from None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SurfaceError(f"image {path} cannot be read: {error}. Download or capture it again") from None


class Surface:
    """One image. Actions are validated, change nothing, and return a notice of that."""

    name = "image"
    is_user_owned = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._screen: Screen | None = load_screenshot(self.path)

    def capture(self) -> Screen:
        """Return the image as a Screen."""
        return Screen(self._open_screen().pixels.copy())

    def perform(self, action: Action) -> str:
        """Check the action and return a notice."""
        self._open_screen()
        if action.verb not in VERBS:
            raise InvalidActionError(f"the image surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        return NOTICE

    def verbs(self) -> frozenset[str]:
        """Return the verbs of a pointer and a keyboard."""
        return VERBS

    def close(self) -> None:
        """Release the image. Safe to call twice."""
        self._screen = None

    def _open_screen(self) -> Screen:
        if self._screen is None:
            raise SurfaceError(f"image {self.path} was closed")
        return self._screen


def open_surface(options: SurfaceOptions) -> Surface:
    """Open the image named by `options.where`.

    Raises:
        UsageError: No image is named, it cannot be read, or an address is given.
    """
    if problems := _foreign_options(options):
        raise UsageError("\n".join(problems))
    try:
        return Surface(options.where)
    except SurfaceError as error:
        raise UsageError(str(error)) from None


def check_options(options: SurfaceOptions) -> list[str]:
    """Return every reason for which the image could not be opened; see envs.options."""
    problems = _foreign_options(options)
    if options.where:
        try:
            load_screenshot(Path(options.where))
        except SurfaceError as error:
            problems.append(str(error))
    return problems


def _foreign_options(options: SurfaceOptions) -> list[str]:
    """Return a sentence for a missing image, and one for each option of other surfaces."""
    problems = [] if options.where else ["no image is named: --surface image:screenshot.png"]
    flags = (("--url", options.url), ("--window", options.window), ("--program", options.program))
    return problems + [
        f"{flag} {value} does not apply to the image surface; leave it out" for flag, value in flags if value
    ]
