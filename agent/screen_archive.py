"""Keep the older screenshots of a run on disk, so that its memory does not grow with its steps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from actions import Screen, Step, SurfaceError
from actions.screen import Pixels
from agent.trace import TraceWriter, encode_png

RECENT_STEPS = 7  # steps whose screenshots stay in memory: what a prompt and the no-progress rule mostly need


class ScreenArchive:
    """Moves the pixels of screenshots to disk: to the frames of the trace, or to temporary files without one.

    Args:
        trace: The trace of the run; None without one.
    """

    def __init__(self, trace: TraceWriter | None) -> None:
        self._trace = trace
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def offload_old(self, steps: Sequence[Step]) -> None:
        """Offload the screenshot of the step that is no longer among the recent ones; call it after every step."""
        old, recent = steps[:-RECENT_STEPS][-1:], steps[-RECENT_STEPS:]
        for step in old:
            if all(step.screen is not other.screen for other in recent):  # an environment may return one object twice
                self.offload(step.screen)

    def offload(self, screen: Screen) -> None:
        """Release the memory of a screenshot, whose pixels are then read from disk when they are accessed.

        Parts that may show a secret are not written, and read as gray. On a full disk all pixels stay in memory.
        """
        if screen.is_offloaded:
            return
        stored = screen.without_secrets()
        path = self._trace.frame_path(stored) if self._trace is not None else None
        if path is not None:
            screen.offload(partial(_load_pixels, path))
            return
        try:
            path, folder = self._write(stored)
        except OSError:
            return
        screen.offload(partial(_load_pixels, path, folder))

    def _write(self, screen: Screen) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
        """Return the temporary file of a screenshot, and its folder, which is deleted with the last reference to it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pixelhand-screens-", ignore_cleanup_errors=True)
        path = Path(self._folder.name) / f"{screen.digest}.png"
        if not path.exists():
            partial_path = path.with_suffix(".tmp")
            partial_path.write_bytes(encode_png(screen))
            partial_path.replace(path)
        return path, self._folder


def _load_pixels(path: Path, folder: object = None) -> Pixels:
    """Return the pixels of a stored screenshot; `folder` is only kept alive.

    Raises:
        SurfaceError: The file is gone or has other pixels.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels: Pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise SurfaceError(
            f"the screenshot {path} cannot be read ({error}); the files of the run were removed"
        ) from None
    if Screen(pixels).digest != path.stem:
        raise SurfaceError(f"the pixels of {path} do not match its name; the file was changed")
    return pixels
