"""Make the pictures of the guides to `agent see`: a page, and what each command draws onto it.

The answers are derived from the page's layout in the browser; no model is needed. Only see-read.png is read by a model,
the embedded one.

python scripts/perception_pictures.py             # writes docs/images/see-*.png
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import pixelhand as ph
from actions import Click, Reply
from agent.extraction.output_schema import OutputSchema
from agent.policies.base import load_dialect
from agent.policies.scripted import ScriptPolicy
from agent.see.elements import KIND_KEY
from agent.see.extraction import load_schema
from agent.see.overlay import value_regions
from envs.chromium.executable import find_chrome
from model.processing.image import ImageLimits

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 616, 448
PAGE = """
<style>
  body { font: 14px/1.4 'Liberation Sans', sans-serif; margin: 0; background: #fff; color: #222; }
  div { position: absolute; } .note { transform-origin: 0 0; white-space: nowrap; }
  input, button, .tab { position: absolute; font: inherit; box-sizing: border-box; }
  button { border: 1px solid #556; border-radius: 4px; } .round { border-radius: 50%; width: 26px; height: 26px; }
</style>
"""
PARTS = [  # attributes, left and top in pixels, further styles, text
    ("div data-text", 24, 20, "font-size: 20px", "Orders of March"),
    ("button data-kind=tab", 330, 18, "width: 80px; height: 28px", "Open"),
    ("button data-kind=tab", 414, 18, "width: 80px; height: 28px", "Paid"),
    ("div data-text", 24, 66, "", "Customer"),
    ("input data-kind=field aria-label=Customer value=Garden", 110, 60, "width: 210px; height: 30px", ""),
    ("div data-text", 24, 112, "", "Number"),
    ("div data-text data-value=number", 110, 112, "", "A-2041"),
    ("div data-text", 24, 154, "", "Due"),
    ("div data-text data-value=due", 110, 154, "", "2026-04-15"),
    ("div data-text", 24, 196, "", "Total"),
    ("div data-text data-value=total", 110, 196, "", "128.50"),
    ("div data-round=red class=round", 360, 84, "background: #d9480f", ""),
    ("div data-round=green class=round", 420, 120, "background: #2b8a3e", ""),
    ("div data-round=blue class=round", 380, 160, "background: #1864ab", ""),
    ("div data-round=red class=round", 470, 90, "background: #d9480f", ""),
    ("div data-round=green class=round", 520, 150, "background: #2b8a3e", ""),
    ("div data-quad class=note", 60, 412, "font-size: 22px; rotate: -16deg", "Deliver to the back door"),
    ("div data-quad class=note", 410, 272, "font-size: 20px; rotate: 27deg", "fragile, this side up"),
    ("div data-quad class=note", 352, 416, "font-size: 18px; rotate: -90deg", "shelf 12"),
    ("input type=checkbox data-kind=checkbox aria-label=Gift", 24, 240, "margin: 0; width: 16px; height: 16px", ""),
    ("div data-text", 48, 238, "", "Wrap as a gift"),
    ("button data-kind=button", 110, 280, "width: 90px; height: 30px", "Save"),
    ("button data-kind=button", 210, 280, "width: 90px; height: 30px", "Cancel"),
]
READ_LAYOUT = """() => [...document.querySelectorAll('*')].filter(e => Object.keys(e.dataset).length).map(e => {
  const box = e.getBoundingClientRect(), style = new DOMMatrix();
  style.rotateSelf(parseFloat(getComputedStyle(e).rotate) || 0);
  const corners = [[0, 0], [e.offsetWidth, 0], [e.offsetWidth, e.offsetHeight], [0, e.offsetHeight]].map(([x, y]) => {
    const point = style.transformPoint(new DOMPoint(x, y));
    return [point.x + e.offsetLeft, point.y + e.offsetTop];
  });
  return {...e.dataset, label: e.ariaLabel || e.textContent, corners,
          bounds: [box.left, box.top, box.right, box.bottom]};
})"""
SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "due": {"type": "string"},
        "total": {"type": "number", "minimum": 0},
    },
    "required": ["number", "due", "total"],
}
Layout = Sequence[Mapping[str, Any]]


class LayoutReader(ScriptPolicy):
    """A policy that answers from the page's layout, with coordinates in pixels of the image.

    Args:
        items: The objects of a reply, or values by name.
    """

    def __init__(self, items: object, places: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__([], load_dialect("qwen25", ImageLimits()))
        self.items, self.places = items, dict(places or {})
        self.values = list(items.values()) if isinstance(items, dict) else []
        self.is_first = True

    def answer(self, question: str, screens: Sequence[ph.Screen], schema: object, **_: object) -> Reply:
        """Return the items; for values first all of them, then one at a time."""
        if not isinstance(self.items, dict) or self.is_first:
            self.is_first = False
            return Reply(json.dumps(self.items))
        return Reply(json.dumps({"value": self.values.pop(0)}))

    def locate(self, description: str, screen: ph.Screen) -> Click:
        """Return a click on the value that a description names."""
        left, top, right, bottom = next(
            place for name, place in self.places.items() if description.endswith(f"the {name}")
        )
        return Click(x=int((left + right) / 2), y=int((top + bottom) / 2))


def resized(numbers: Sequence[float], screen: ph.Screen) -> list[int]:
    """Return pixels of the image as pixels of the image that Qwen2.5-VL sees."""
    width, height = ImageLimits().resized(screen.width, screen.height)
    scale = width / screen.width, height / screen.height
    return [round(number * scale[index % 2]) for index, number in enumerate(numbers)]


def flat(corners: Sequence[Sequence[float]]) -> list[float]:
    return [number for corner in corners for number in corner]


def draw(screen: ph.Screen, text_screen: ph.Screen, layout: Layout) -> dict[str, Image.Image]:
    """Return the picture of each command.

    Args:
        screen: The page.
        text_screen: The page with upright text alone.
        layout: The parts of the page.
    """
    rounds = [item for item in layout if "round" in item]
    boxes = [
        {"bbox_2d": resized(item["bounds"], screen), "label": f"{item['round']} circle", "color": item["round"]}
        for item in rounds
    ]
    centers = [[(item["bounds"][n] + item["bounds"][n + 2]) / 2 for n in (0, 1)] for item in rounds]
    points = [{"point_2d": resized(center, screen), "label": "circle"} for center in centers]
    kinds = [
        {"bbox_2d": resized(item["bounds"], screen), "label": item["label"], KIND_KEY: item["kind"]}
        for item in layout
        if "kind" in item
    ]
    quads = [
        {"quad_2d": resized(flat(item["corners"]), screen), "text_content": item["label"]}
        for item in layout
        if "quad" in item
    ]
    values = {"number": "A-2041", "due": "2026-04-15", "total": 128.5}
    places = {item["value"]: item["bounds"] for item in layout if "value" in item}
    ground = ph.see.ground(screen, "all circles", LayoutReader(boxes), attributes=["color"])
    output = ph.see.extract(screen, schema_of(SCHEMA), LayoutReader(values, places))
    pictures = {
        "see-ground": ph.see.overlay(screen, ground),
        "see-count": ph.see.overlay(screen, ph.see.count(screen, "circles", LayoutReader(points))),
        "see-elements": ph.see.overlay(screen, ph.see.elements(screen, LayoutReader(kinds))),
        "see-read-polygons": ph.see.overlay(screen, ph.see.read_text(screen, LayoutReader(quads), polygons=True)),
        "see-extract": ph.see.overlay(screen, value_regions(output, screen, "page")),
    }
    assert len(ground.items) == len(rounds)
    assert len(output.fields) == len(values)
    assert all(field.is_confirmed for field in output.fields)
    policy = ph.load_policy("embedded")
    pictures["see-read"] = ph.see.overlay(text_screen, ph.see.read_text(text_screen, policy))
    policy.close()
    return pictures


def schema_of(schema: Mapping[str, object]) -> OutputSchema:
    """Return a JSON schema as `--schema` reads it."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(schema))
        return load_schema(str(path))


def page_html(*, is_upright: bool = False) -> str:
    """Return the page with its parts, or those with upright text alone."""
    parts = [
        f'<{attributes} style="left: {left}px; top: {top}px; {styles}">{text}'
        + ("" if attributes.startswith("input") else f"</{attributes.split()[0]}>")
        for attributes, left, top, styles, text in PARTS
        if not is_upright or not any(name in attributes for name in ("data-round", "data-quad", "checkbox"))
    ]
    return PAGE + "\n".join(parts)


def capture(page: Page, content: str) -> ph.Screen:
    page.set_content(content)
    return ph.Screen(np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    folder: Path = parser.parse_args().out
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chrome())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        screen = capture(page, page_html())
        layout = page.evaluate(READ_LAYOUT)
        text_screen = capture(page, page_html(is_upright=True))
        browser.close()
    for name, image in draw(screen, text_screen, layout).items():
        path = folder / f"{name}.png"
        image.quantize(64).save(path, optimize=True)
        print(f"wrote {path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
