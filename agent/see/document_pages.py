"""The pages of an image or PDF file as pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actions import Screen, UsageError

PDF_POINTS_PER_INCH = 72
DEFAULT_DPI = 150
MAX_SIDE_PX = 8192  # of a PDF page; a larger one is rendered smaller


@dataclass(frozen=True)
class PageImage:
    """A page as pixels; `number` counts from 1."""

    number: int
    screen: Screen


def open_pages(path: Path, *, numbers: Sequence[int] = (), dpi: int = DEFAULT_DPI) -> Iterator[PageImage]:
    """Yield the pages of a file, one at a time.

    Args:
        path: An image, or a PDF file.
        numbers: The pages to yield, counted from 1; all if empty.
        dpi: Pixels per inch of PDF pages.

    Raises:
        UsageError: The file cannot be read, or it does not have one of the pages.
    """
    try:
        with path.open("rb") as file:
            is_pdf = b"%PDF-" in file.read(1024)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if is_pdf:
        yield from _open_pdf(path, numbers, dpi)
        return
    _check_numbers(path, numbers, 1)
    yield PageImage(1, Screen.open(path))


def _open_pdf(path: Path, numbers: Sequence[int], dpi: int) -> Iterator[PageImage]:
    try:
        import pypdfium2
    except ModuleNotFoundError:
        raise UsageError("PDF files need pypdfium2; install it with: pip install 'pixelhand[documents]'") from None
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise UsageError(f"{path} cannot be read as a PDF file: {error}") from None
    with closing(pdf):
        _check_numbers(path, numbers, len(pdf))
        for number in numbers or range(1, len(pdf) + 1):
            try:
                page = pdf[number - 1]
                scale = min(dpi / PDF_POINTS_PER_INCH, MAX_SIDE_PX / max(page.get_size()))
                image = page.render(scale=scale).to_pil().convert("RGB")
            except pypdfium2.PdfiumError as error:
                raise UsageError(f"page {number} of {path} cannot be rendered: {error}") from None
            yield PageImage(number, Screen(np.asarray(image)))


def _check_numbers(path: Path, numbers: Sequence[int], count: int) -> None:
    missing = [number for number in numbers if not 1 <= number <= count]
    if missing:
        pages = "one page" if count == 1 else f"{count} pages"
        raise UsageError(f"{path} has {pages}, and no page {missing[0]}; change --pages")


def parse_page_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers in a text such as "1-3,7"; () for "".

    Raises:
        UsageError: The text is not of this form.
    """
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, is_range, last = (piece.strip() for piece in part.partition("-"))
        ends = [first, last] if is_range else [first, first]
        if not all(end.isascii() and end.isdigit() and len(end) < 6 for end in ends) or int(ends[1]) < int(ends[0]):
            raise UsageError(f"--pages '{text}' is not of the form 1-3,7")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    return tuple(dict.fromkeys(numbers))
