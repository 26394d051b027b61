"""Pages of image and PDF files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from actions import UsageError
from agent.see.document_pages import MAX_SIDE_PX, open_pages, parse_page_numbers


def write_pdf(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Write a PDF file with an empty page of each size in points, each with a black square at its top left."""
    pages = []
    for width, height in sizes:
        image = Image.new("RGB", (width, height), "white")
        image.paste((0, 0, 0), (0, 0, 72, 72))
        pages.append(image)
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


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
