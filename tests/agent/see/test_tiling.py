"""Tiles of tall and large images: where they are cut, and that each line in them is read once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from actions import Reply, Screen
from agent.policies.base import load_dialect
from agent.policies.scripted import ScriptPolicy
from agent.report.drawing import font
from agent.see.document import Heading, ItemList, ListItem, Paragraph
from agent.see.document_parsing import parse_document
from agent.see.reading import read_text
from agent.see.results import TextRegion
from agent.see.tile_joining import join_blocks, join_regions, join_texts
from agent.see.tiling import OVERLAP_PX, Tile, tiles
from model.processing.image import ImageLimits

LINE_PX = 60
WIDTH, HEIGHT = 560, 5040


def tall_page(width: int = 800, height: int = 4000, rule_x: int | None = None) -> np.ndarray:
    """Return a page with a line of text every 60 rows, and a vertical rule where asked for."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for top in range(0, height - LINE_PX, LINE_PX):
        draw.text((20, top + 10), f"line at {top}", fill="black", font=font(30))
    if rule_x is not None:
        draw.line((rule_x, 0, rule_x, height), fill="black", width=2)
    return np.asarray(image)


def check_covers(parts: tuple[Tile, ...], height: int) -> None:
    assert parts[0].top == 0
    assert parts[-1].bottom == height
    for part, after in pairwise(parts):
        assert after.top == part.bottom - after.overlap


@pytest.mark.parametrize("size", [(800, 600), (1240, 1754), (800, 1600), (300, 1000), (1, 900)])
def test_page_of_usual_shape_is_one_tile(size: tuple[int, int]) -> None:
    assert tiles(tall_page(*size)) == (Tile(0, size[1]),)


@pytest.mark.parametrize("rule_x", [None, 400])
def test_tall_page_is_cut_between_lines(rule_x: int | None) -> None:
    pixels = tall_page(rule_x=rule_x)
    parts = tiles(pixels)
    check_covers(parts, 4000)
    assert len(parts) >= 4
    assert all(part.bottom - part.top <= 1200 and not part.overlap for part in parts)
    for part in parts[:-1]:
        assert (pixels[part.bottom - 2 : part.bottom + 2, :300] == 255).all()


def test_tiles_overlap_where_no_row_is_blank() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 400, 3), np.uint8)
    noise[5] = 255  # the only blank row is where no tile ends
    parts = tiles(noise)
    check_covers(parts, 3000)
    assert [part.overlap for part in parts] == [0] + [OVERLAP_PX] * (len(parts) - 1)
    assert all(part.bottom - part.top <= 1024 for part in parts)


def test_large_image_is_cut_to_its_budget() -> None:
    pixels = tall_page(2000, 2400)
    assert len(tiles(pixels)) == 1
    parts = tiles(pixels, 2_000_000)
    check_covers(parts, 2400)
    assert len(parts) >= 3
    assert all((part.bottom - part.top) * 2000 <= 2_000_000 for part in parts)


# ---- a rendered page in two columns without a row that is blank


@dataclass(frozen=True)
class Line:
    """A rendered line of text."""

    text: str
    box: tuple[int, int, int, int]


def render_columns() -> tuple[Screen, list[Line]]:
    """Return a tall page whose lines in the right column stand beside the gaps of the left one."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    lines = []
    for number in range(2 * (HEIGHT // 30) - 2):
        left, top = 20 + 280 * (number % 2), 4 + 30 * (number // 2) + 15 * (number % 2)
        text = f"line {number} of the page"
        draw.text((left, top), text, fill="black", font=font(20))
        lines.append(Line(text, draw.textbbox((left, top), text, font=font(20))))
    return Screen(np.asarray(image)), lines


class ColumnsReader(ScriptPolicy):
    """A model that reads whole lines right, reads a line that is cut as another text, and sees no line of which less
    than a third is left.

    Args:
        page: The whole page.
        lines: Its lines.
        form: Returns the reply that lists texts with boxes in a tile, for an image of a width and height.
    """

    def __init__(self, page: Screen, lines: Sequence[Line], form: Callable[..., str]) -> None:
        super().__init__([], load_dialect("qwen25", ImageLimits()))
        self.lines, self.form = lines, form
        self.tiles = list(tiles(page.pixels))

    def answer(self, question: str, screens: Sequence[Screen], schema: object, **_: object) -> Reply:
        tile, items = self.tiles.pop(0), []
        for line in self.lines:
            left, top, right, bottom = line.box
            shown_top, shown_bottom = max(top, tile.top), min(bottom, tile.bottom)
            if shown_bottom - shown_top < (bottom - top) / 3:
                continue
            text = line.text if (shown_top, shown_bottom) == (top, bottom) else f"l{line.text[2:9]}?"
            items.append((text, (left, shown_top - tile.top, right, shown_bottom - tile.top)))
        screen = screens[0]
        scale = screen.width / WIDTH, screen.height / (tile.bottom - tile.top)
        resized = self.dialect.limits.resized(screen.width, screen.height)  # type: ignore[attr-defined]
        scale = scale[0] * resized[0] / screen.width, scale[1] * resized[1] / screen.height
        return Reply(self.form([(text, [round(n * scale[i % 2]) for i, n in enumerate(box)]) for text, box in items]))


def test_each_line_of_tall_page_is_read_once() -> None:
    page, lines = render_columns()
    parts = tiles(page.pixels)
    assert len(parts) >= 4
    assert all(part.overlap for part in parts[1:])

    def form(items: Sequence[tuple[str, list[int]]]) -> str:
        return json.dumps([{"bbox_2d": box, "text_content": text} for text, box in items])

    result = read_text(page, ColumnsReader(page, lines, form))
    assert sorted(item.text for item in result.items) == sorted(line.text for line in lines)
    boxes = {line.text: line.box for line in lines}
    for item in result.items:
        assert max(abs(a - b) for a, b in zip(item.box, boxes[item.text], strict=True)) <= 2


def test_each_block_of_tall_page_is_parsed_once() -> None:
    page, lines = render_columns()

    def form(items: Sequence[tuple[str, list[int]]]) -> str:
        body = "".join(f'<p data-bbox="{" ".join(map(str, box))}">{text}</p>' for text, box in items)
        return f"```html\n<html><body>{body}</body></html>\n```"

    document = parse_document(page, ColumnsReader(page, lines, form))
    texts = [block.text for block in document.pages[0].blocks if isinstance(block, Paragraph)]
    assert sorted(texts) == sorted(line.text for line in lines)
    assert document.deviations == ()


# ---- joining

TILE = Tile(900, 2000, overlap=160)  # the tile above ends at row 1060


def test_line_on_cut_is_taken_from_its_tile() -> None:
    cut = TextRegion("Tota", (10, 1050, 90, 1060))
    whole = TextRegion("Total 12", (10, 1050, 90, 1070))
    upper, lower = TextRegion("Tax", (10, 905, 90, 925)), TextRegion("Tax", (10, 905, 90, 925))
    remnant = TextRegion("Tax?", (10, 900, 90, 912))
    assert join_regions([upper, cut], [lower, whole], TILE) == [upper, whole]
    assert join_regions([upper, cut], [remnant, whole], TILE) == [upper, whole]


def test_line_that_only_one_tile_has_is_kept() -> None:
    above, below = TextRegion("a", (10, 1000, 90, 1020)), TextRegion("b", (10, 1030, 90, 1050))
    assert join_regions([above], [below], TILE) == [above, below]
    assert join_regions([above], [], TILE) == [above]


def test_tiles_without_overlap_are_only_appended() -> None:
    region = TextRegion("a", (10, 1000, 90, 1020))
    assert join_regions([region], [region], Tile(1010, 2000)) == [region, region]


def test_paragraph_in_two_tiles_is_joined() -> None:
    upper = Paragraph(text="one two three four five six sev", box=(10, 800, 500, 1058))
    lower = Paragraph(text="ree four five six seven eight nine", box=(10, 902, 500, 1200))
    (block,) = join_blocks([upper], [lower], TILE).blocks
    assert block == Paragraph(text="one two three four five six seven eight nine", box=(10, 800, 500, 1200))


def test_list_in_two_tiles_is_joined() -> None:
    upper = ItemList(items=tuple(ListItem(text=text) for text in ("a", "b", "c", "d?")), box=(10, 800, 500, 1060))
    lower = ItemList(items=tuple(ListItem(text=text) for text in ("?", "c", "d", "e")), box=(10, 900, 500, 1200))
    (block,) = join_blocks([upper], [lower], TILE).blocks
    assert isinstance(block, ItemList)
    assert [item.text for item in block.items] == ["a", "b", "c", "d", "e"]


def test_blocks_with_nothing_common_are_reported() -> None:
    upper, lower = (
        Paragraph(text="a b c d", box=(10, 800, 500, 1060)),
        Paragraph(text="x y z", box=(10, 900, 500, 1200)),
    )
    joined = join_blocks([upper], [lower], TILE)
    assert joined.blocks == (upper, lower)
    assert "900 to 1060" in joined.problems[0]


def test_neighboring_blocks_are_both_kept() -> None:
    heading = Heading(level=1, text="A", box=(10, 920, 500, 952))
    upper, lower = Paragraph(text="a", box=(10, 950, 500, 1002)), Paragraph(text="b", box=(10, 1000, 500, 1200))
    assert join_blocks([heading, upper], [lower], TILE).blocks == (heading, upper, lower)


def test_texts_are_joined_at_common_words() -> None:
    assert join_texts("a b c d x", "y b c d e") == "a b c d e"
    assert join_texts("a b c", "c d e") is None
