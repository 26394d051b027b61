"""Make the picture in the guide to documents: a page, the boxes of its blocks, and its Markdown.

The answer is derived from the page's source and its layout in the browser; no model is needed.

python scripts/document_picture.py                  # writes docs/images/document.png
"""

from __future__ import annotations

import argparse
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright

from actions import Reply, Screen
from agent.policies.scripted import ScriptPolicy
from agent.see.document import Document
from agent.see.document_markdown import to_markdown
from agent.see.document_parsing import parse_document
from envs.chromium.executable import find_chrome

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 640, 560
COLORS = {"heading": "#c2255c", "paragraph": "#1864ab", "list": "#2b8a3e", "table": "#e67700", "chart": "#862e9c"}
OTHER_COLOR = "#495057"
PAGE = """
<style>
  body { font: 15px/1.45 sans-serif; margin: 28px 40px; } td, th { border: 1px solid #888; padding: 3px 14px; }
  table { border-collapse: collapse; margin-bottom: 14px; } svg { display: block; } [data-part] { width: fit-content; }
</style>
<h1 data-part>Tea garden, second quarter</h1>
<p data-part>Sales rose by 12 % against the spring of last year.<br>The terrace was open on 61 days.</p>
<h2 data-part>Guests</h2>
<ol data-items><li data-part>Regulars came twice a week</li><li data-part>Visitors came on Sundays</li></ol>
<table data-part><tr><th>Month</th><th>Guests</th><th>Sales</th></tr><tr><td>April</td><td>812</td><td>4,060</td></tr>
<tr><td>May</td><td>1,034</td><td>5,377</td></tr></table>
<div data-part class="chart"><svg width="300" height="150"><rect x="20" y="50" width="70" height="90" fill="#8ab"/>
<rect x="120" y="20" width="70" height="120" fill="#8ab"/></svg></div>
<div data-part class="formula machine_printed"><i>p = s / g</i></div>
"""
CONTENT = {  # of an answer, where it is not the page's own source
    "chart": "<table><tr><th>Month</th><th>Bar</th></tr><tr><td>April</td><td>90</td></tr>"
    "<tr><td>May</td><td>120</td></tr></table>",
    "formula machine_printed": "<div>p = \\frac{s}{g}</div>",
}
READ_PARTS = """() => [...document.querySelectorAll("[data-part]")].map(part => {
  const box = part.getBoundingClientRect();
  return {tag: part.localName, kind: part.className, content: part.innerHTML, list: part.parentNode.localName,
          box: [box.left, box.top, box.right, box.bottom]};
})"""


class SourceReader(ScriptPolicy):
    """A policy that answers from the page's source, with the boxes in pixels of the image that it is shown."""

    def __init__(self, parts: Sequence[Mapping[str, object]]) -> None:
        super().__init__([])
        self.parts = parts

    def answer(self, question: str, screens: Sequence[Screen], schema: object, **_: object) -> Reply:
        """Return the page in QwenVL HTML."""
        scales = (screens[0].width / WIDTH, screens[0].height / HEIGHT)
        body = "".join(self._part(part, scales) for part in self.parts).replace("</ol><ol>", "")
        return Reply(f"```html\n<html><body>{body}</body></html>\n```")

    def _part(self, part: Mapping[str, object], scales: tuple[float, float]) -> str:
        numbers = part["box"]
        assert isinstance(numbers, list)
        box = " ".join(str(round(number * scales[index % 2])) for index, number in enumerate(numbers))
        content, kind = (
            CONTENT.get(str(part["kind"]), part["content"]),
            f' class="{part["kind"]}"' if part["kind"] else "",
        )
        text = f'<{part["tag"]}{kind} data-bbox="{box}">{content}</{part["tag"]}>'
        return f"<ol>{text}</ol>" if part["list"] == "ol" else text


def draw_boxes(screenshot: Image.Image, document: Document) -> Image.Image:
    """Return a page with the boxes of its blocks and of the items of its lists."""
    image = screenshot.copy()
    draw = ImageDraw.Draw(image)
    for block in document.blocks():
        for part in (block, *getattr(block, "items", ())):
            if part.box is not None:
                draw.rectangle(part.box, outline=COLORS.get(block.type, OTHER_COLOR), width=2)
    return image


def capture(page: Page, content: str) -> Image.Image:
    """Return a page's screenshot."""
    page.set_content(content)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "document.png")
    out: Path = parser.parse_args().out
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chrome())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        screenshot = capture(page, PAGE)
        parts = page.evaluate(READ_PARTS)
        document = parse_document(Screen(np.asarray(screenshot)), SourceReader(parts), is_strict=True)
        text = html.escape(to_markdown(document))
        style = "margin:14px;font:12px/1.3 monospace;white-space:pre-wrap"
        markdown = capture(page, f'<pre style="{style}">{text}</pre>')
        browser.close()
    image = Image.new("RGB", (2 * WIDTH, HEIGHT), "white")
    image.paste(draw_boxes(screenshot, document), (0, 0))
    image.paste(markdown, (WIDTH, 0))
    ImageDraw.Draw(image).line((WIDTH, 0, WIDTH, HEIGHT), fill="#adb5bd", width=1)
    image.quantize(128).save(out, optimize=True)
    print(f"wrote {out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
