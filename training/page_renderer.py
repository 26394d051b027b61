"""Render many small images on one page in Chromium, and take one screenshot of all."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from envs.miniwob.fonts import FONTS
from training.packing import Frame, decode_png

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class PageRenderer:
    """A browser tab with a drawing script and fonts.

    Args:
        browser: A Playwright browser.
        width: Width of the page in CSS px.
        height: Height of the page in CSS px.
        script: The JavaScript file with the drawing functions.
        fonts: A folder of font files, known to the page by their file names; the bundled font is Arial.
        scale: Pixels per CSS px.
    """

    def __init__(
        self, browser: Browser, width: int, height: int, script: Path, fonts: Path | None = None, scale: float = 1
    ) -> None:
        files = sorted(path for path in fonts.iterdir() if path.suffix in (".ttf", ".otf")) if fonts else []
        self._context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
        self._tab = self._context.new_page()
        self._cdp = self._context.new_cdp_session(self._tab)
        self._clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        self._tab.set_content("<!DOCTYPE html><html><body></body></html>")
        _load_fonts(self._tab, files)
        self._tab.add_script_tag(path=script)
        self.font_names = [path.stem for path in files]

    def render(self, function: str, *arguments: object) -> tuple[Any, Frame]:
        """Call a function of the script; return its result, and the page after it as uint8 [H, W, 3]."""
        result = self._tab.evaluate(f"given => {function}(...given)", list(arguments))
        options = {"format": "png", "optimizeForSpeed": True, "clip": self._clip}
        png = base64.b64decode(self._cdp.send("Page.captureScreenshot", options)["data"])
        return result, decode_png(png)

    def close(self) -> None:
        """Close the tab."""
        self._context.close()


def encode_png(frame: np.ndarray[Any, Any]) -> bytes:
    """Return pixels as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _load_fonts(tab: Any, files: Sequence[Path]) -> None:
    fonts = [("Arial", FONTS / "LiberationSans-Regular.ttf", "400")]
    fonts.append(("Arial", FONTS / "LiberationSans-Bold.ttf", "700"))
    fonts += [(path.stem, path, "400") for path in files]
    faces = [[name, base64.b64encode(path.read_bytes()).decode(), weight] for name, path, weight in fonts]
    tab.evaluate(
        """async faces => { for (const [name, data, weight] of faces) {
            const face = new FontFace(name, `url(data:font/ttf;base64,${data})`, {weight});
            document.fonts.add(await face.load());
        } }""",
        faces,
    )
