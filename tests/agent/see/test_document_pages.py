"""Pages of image and PDF files, and the tiles of tall pages."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from actions import UsageError
from agent.see.document_pages import MAX_SIDE_PX, Tile, open_pages, parse_page_numbers, tiles

LINE_PX = 60


def tall_page(width: int = 800, height: int = 4000, rule_x: int | None = None) -> np.ndarray:
    """Return a page with a line of text every 60 rows, and a vertical rule where asked for."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for top in range(0, height - LINE_PX, LINE_PX):
        draw.text((20, top + 10), f"line at {top}", fill="black", font=ImageFont.load_default(30))
    if rule_x is not None:
        draw.line((rule_x, 0, rule_x, height), fill="black", width=2)
    return np.asarray(image)


def write_pdf(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Write a PDF file with an empty page of each size in points, each with a black square at its top left."""
    pages = []
    for width, height in sizes:
        image = Image.new("RGB", (width, height), "white")
        image.paste((0, 0, 0), (0, 0, 72, 72))
        pages.append(image)
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


def check_covers(parts: tuple[Tile, ...], height: int) -> None:
    assert parts[0].top == 0
    assert parts[-1].bottom == height
    assert all(part.bottom == after.top for part, after in itertools.pairwise(parts))


@pytest.mark.parametrize("size", [(800, 600), (1240, 1754), (800, 1600), (300, 1000), (1, 900)])
def test_page_of_usual_shape_is_one_tile(size: tuple[int, int]) -> None:
    assert tiles(tall_page(*size)) == (Tile(0, size[1]),)


@pytest.mark.parametrize("rule_x", [None, 400])
def test_tall_page_is_cut_between_lines(rule_x: int | None) -> None:
    pixels = tall_page(rule_x=rule_x)
    parts = tiles(pixels)
    check_covers(parts, 4000)
    assert len(parts) >= 4
    assert all(part.bottom - part.top <= 1200 and part.is_clean for part in parts)
    for part in parts[:-1]:
        assert (pixels[part.bottom - 2 : part.bottom + 2, :300] == 255).all()


def test_page_without_blank_rows_is_cut_and_marked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 400, 3), np.uint8)
    noise[5] = 255  # the only blank row is where no tile ends
    parts = tiles(noise)
    check_covers(parts, 3000)
    assert [part.is_clean for part in parts] == [False] * (len(parts) - 1) + [True]


def test_pdf_pages_have_the_size_asked_for(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [(595, 842), (300, 200)])
    pages = list(open_pages(path, dpi=144))
    assert [(page.number, page.screen.width, page.screen.height) for page in pages] == [(1, 1190, 1684), (2, 600, 400)]
    assert (pages[0].screen.pixels[20, 20] < 30).all()
    assert (pages[0].screen.pixels[200, 200] > 225).all()


def test_only_chosen_pages_are_rendered(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [(100, 100 + 10 * n) for n in range(5)])
    assert [page.number for page in open_pages(path, numbers=(4, 2))] == [4, 2]
    with pytest.raises(UsageError, match="5 pages, and no page 6"):
        list(open_pages(path, numbers=(6,)))


def test_huge_pdf_page_is_rendered_smaller(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [(3000, 100)])
    (page,) = open_pages(path, dpi=600)
    assert page.screen.width == MAX_SIDE_PX


@pytest.mark.parametrize("content", [b"%PDF-1.7\nnothing", b"%PDF-", b"\x89PNG\r\n\x1a\n", b"", b"text"])
def test_damaged_file_is_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.pdf"):
        list(open_pages(path))


def test_image_has_one_page(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (50, 40), "red").save(path)
    (page,) = open_pages(path)
    assert (page.screen.width, page.screen.height) == (50, 40)
    with pytest.raises(UsageError, match="one page"):
        list(open_pages(path, numbers=(2,)))
    with pytest.raises(UsageError, match="cannot be read"):
        list(open_pages(tmp_path / "missing.png"))


@pytest.mark.parametrize(
    ("text", "numbers"), [("", ()), ("3", (3,)), ("1-3,7", (1, 2, 3, 7)), (" 2 , 2-3", (2, 3)), ("1,", (1,))]
)
def test_page_numbers_are_parsed(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_page_numbers(text) == numbers


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-", "1--2", "999999999", "²"])
def test_other_page_numbers_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1-3,7"):
        parse_page_numbers(text)
