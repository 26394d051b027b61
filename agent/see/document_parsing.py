"""Parse documents: a model reads the pages of an image or PDF file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from actions import Error, Screen, UsageError
from agent.policies.base import HasDialect, Policy, SupportsAnswers
from agent.see.document import Block, Document, DocumentPage
from agent.see.document_boxes import PageGeometry
from agent.see.document_html import ParsedHtml, parse_qwenvl_html
from agent.see.document_pages import DEFAULT_DPI, PageImage, open_pages
from agent.see.tile_joining import join_blocks
from agent.see.tiling import Tile, policy_limits, tiles
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateSpace
from model.processing.image import ImageLimits, resize

PROMPT = "QwenVL HTML "  # as the models were trained, with the space
MIN_CELLS, MAX_CELLS = 512, 2048  # merged patches of a page
LARGE_SHARE = 6  # of the pixels that a model sees of a page; a larger page is read in tiles
MAX_TOKENS = 8192  # of the reply to a page


class DocumentFormatError(Error):
    """Replies deviate from QwenVL HTML; the message has one line for each deviation."""


def parse_document(
    source: str | Path | Screen,
    policy: Policy,
    *,
    pages: Sequence[int] = (),
    dpi: int = DEFAULT_DPI,
    max_new_tokens: int = MAX_TOKENS,
    is_strict: bool = False,
    on_page: Callable[[DocumentPage], None] | None = None,
) -> Document:
    """Return the document that a file or a screenshot shows, as a model reads it.

    A page that is more than twice as high as wide, or very large, is read in tiles. A reply that reaches the token
    limit is read as far as it goes, and its page is marked.

    Args:
        source: An image or PDF file, or a screenshot.
        policy: A model that answers questions about images, trained on QwenVL HTML.
        pages: Numbers of the pages to read, from 1; all by default.
        dpi: Pixels per inch of PDF pages; boxes are in these pixels.
        max_new_tokens: Longest reply to a page or tile.
        is_strict: Raise an error if a reply deviates from the format.
        on_page: Called with each page when it was read.

    Raises:
        UsageError: The file cannot be read, or the model cannot answer questions.
        DocumentFormatError: In strict mode, the replies deviate from the format.
    """
    images: Iterable[PageImage] = (
        [PageImage(1, source)] if isinstance(source, Screen) else open_pages(Path(source), numbers=pages, dpi=dpi)
    )
    results: list[DocumentPage] = []
    for image in images:
        results.append(_parse_page(image, policy, max_new_tokens))
        if on_page is not None:
            on_page(results[-1])
    document = Document(pages=tuple(results))
    if is_strict and document.deviations:
        raise DocumentFormatError("\n".join(document.deviations))
    return document


def _parse_page(image: PageImage, policy: Policy, max_new_tokens: int) -> DocumentPage:
    blocks: tuple[Block, ...] = ()
    deviations: list[str] = []
    is_truncated = False
    page_tiles = tiles(image.screen.pixels, LARGE_SHARE * page_limits(policy_limits(policy)).max_pixels)
    for index, tile in enumerate(page_tiles, start=1):
        label = f"tile {index} of {len(page_tiles)}: " if len(page_tiles) > 1 else ""
        parsed = _parse_tile(image.screen, tile, policy, max_new_tokens)
        joined = join_blocks(blocks, parsed.blocks, tile)
        blocks = joined.blocks
        is_truncated = is_truncated or parsed.is_truncated
        deviations += [label + deviation for deviation in (*parsed.deviations, *joined.problems)]
    return DocumentPage(
        number=image.number,
        width=image.screen.width,
        height=image.screen.height,
        blocks=blocks,
        is_truncated=is_truncated,
        deviations=tuple(deviations),
    )


def _parse_tile(page: Screen, tile: Tile, policy: Policy, max_new_tokens: int) -> ParsedHtml:
    if not isinstance(policy, SupportsAnswers):
        raise UsageError(f"{policy.metadata['model']} answers no questions about images; use another --model")
    height = tile.bottom - tile.top
    limits = policy_limits(policy)
    width, resized_height = page_limits(limits).resized(page.width, height)
    pixels = resize(page.pixels[tile.top : tile.bottom], width, resized_height)
    screen = Screen(np.ascontiguousarray(pixels), timestamp=page.timestamp)
    reply = policy.answer(PROMPT, [screen], None, max_new_tokens=max_new_tokens, is_question_first=True)
    scale = coordinate_space(policy).scale
    model_size = (scale, scale) if scale else limits.resized(width, resized_height)
    geometry = PageGeometry(page.width, height, *model_size, top=tile.top)
    return parse_qwenvl_html(reply.text, geometry, is_truncated=reply.is_truncated)


def page_limits(limits: ImageLimits) -> ImageLimits:
    """Return the sizes of pages that the format was trained with, as far as a model's own limits permit them."""
    cell = limits.factor**2
    largest = max(min(MAX_CELLS * cell, limits.max_pixels), limits.min_pixels)
    return replace(limits, min_pixels=min(max(MIN_CELLS * cell, limits.min_pixels), largest), max_pixels=largest)


def coordinate_space(policy: Policy) -> CoordinateSpace:
    """Return the space of a policy's boxes: that of its points; pixels of the resized image where it has none."""
    dialect = policy.dialect if isinstance(policy, HasDialect) else None
    space = getattr(dialect, "SPACE", RESIZED_PIXELS)
    return space if isinstance(space, CoordinateSpace) else RESIZED_PIXELS
