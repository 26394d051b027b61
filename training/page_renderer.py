"""A page of our own with many small pictures on it, photographed whole. Knows Chromium and fonts; knows no pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.miniwob.fonts import FONTS

Picture = np.ndarray[Any, Any]


class PageRenderer:
    """A tab of wide x high CSS px at so many pixels to each, with a script that draws and fonts that it may name.

    browser: Playwright's. fonts: a folder of font files; what is shipped is there as Arial. names: of that folder's.
    """

    def __init__(
        self, browser: Any, wide: int, high: int, script: Path, fonts: Path | None = None, scale: float = 1
    ) -> None:
        files = sorted(one for one in fonts.iterdir() if one.suffix in (".ttf", ".otf")) if fonts else []
        self._context = browser.new_context(viewport={"width": wide, "height": high}, device_scale_factor=scale)
        self._tab = self._context.new_page()
        self._wire = self._context.new_cdp_session(self._tab)
        self._clip = {"x": 0, "y": 0, "width": wide, "height": high, "scale": scale}
        self._tab.set_content("<!DOCTYPE html><html><body></body></html>")
        _load(self._tab, files)
        self._tab.add_script_tag(path=script)
        self.names = [one.stem for one in files]

    def draw(self, function: str, *given: Any) -> tuple[Any, Picture]:
        """What a function of the script returns, and the page after it, uint8 [H, W, 3] in pixels."""
        drawn = self._tab.evaluate(f"given => {function}(...given)", list(given))
        how = {"format": "png", "optimizeForSpeed": True, "clip": self._clip}
        shot = base64.b64decode(self._wire.send("Page.captureScreenshot", how)["data"])
        return drawn, np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def close(self) -> None:
        self._context.close()


def encoded(pixels: Picture) -> bytes:
    """As PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _load(tab: Any, files: Sequence[Path]) -> None:
    """Make the files' fonts known to the page by their file names, and the shipped one as Arial."""
    wanted = [("Arial", FONTS / "LiberationSans-Regular.ttf", "400")]
    wanted.append(("Arial", FONTS / "LiberationSans-Bold.ttf", "700"))
    wanted += [(one.stem, one, "400") for one in files]
    faces = [[name, base64.b64encode(file.read_bytes()).decode(), weight] for name, file, weight in wanted]
    tab.evaluate(
        """async faces => { for (const [name, data, weight] of faces) {
            const face = new FontFace(name, `url(data:font/ttf;base64,${data})`, {weight});
            document.fonts.add(await face.load());
        } }""",
        faces,
    )
