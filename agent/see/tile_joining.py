"""Join what a model read in tiles of an image that overlap, so that nothing is there twice or cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import product
from typing import TypeVar

from agent.extraction.output import Box
from agent.see.document import Block, DocumentTable, Heading, ItemList, Paragraph
from agent.see.results import TextRegion
from agent.see.tiling import Tile

Part = TypeVar("Part")
SAME_SHARE = 0.5  # of the smaller of two boxes that is inside the other, for one line that was read twice
EDGE_PX = 12  # a box that ends so near to the end of a tile may be cut there
MIN_COMMON_WORDS = 3  # of a text that two tiles share


def join_regions(first: Sequence[TextRegion], second: Sequence[TextRegion], tile: Tile) -> list[TextRegion]:
    """Return the text of two tiles, boxes in pixels of the image: of a line in both, the one farther from the cut.

    Args:
        first: The text above, down to row `tile.top + tile.overlap`.
        second: The text in `tile`.
        tile: The lower tile.
    """
    if not tile.overlap:
        return [*first, *second]
    zone_bottom = tile.top + tile.overlap
    dropped: set[int] = set()
    dropped_below: set[int] = set()
    for i, above in enumerate(first):
        for j, below in enumerate(second):
            if above.box[3] <= tile.top or below.box[1] >= zone_bottom or not is_same_place(above.box, below.box):
                continue
            if zone_bottom - above.box[3] >= below.box[1] - tile.top:
                dropped_below.add(j)
            else:
                dropped.add(i)
    kept = [region for i, region in enumerate(first) if i not in dropped]
    return [*kept, *(region for j, region in enumerate(second) if j not in dropped_below)]


def is_same_place(a: Box, b: Box) -> bool:
    """Return whether half of the smaller box is inside the other one."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared > 0 and shared >= SAME_SHARE * smaller


@dataclass(frozen=True)
class JoinedBlocks:
    """The blocks of two tiles, and what could not be joined, one sentence each."""

    blocks: tuple[Block, ...]
    problems: tuple[str, ...] = ()


def join_blocks(first: Sequence[Block], second: Sequence[Block], tile: Tile) -> JoinedBlocks:
    """Return the blocks of two tiles: of one in both, the whole one; two parts of one are joined at what they share.

    Args:
        first: The blocks above, down to row `tile.top + tile.overlap`.
        second: The blocks in `tile`.
        tile: The lower tile.
    """
    if not tile.overlap:
        return JoinedBlocks((*first, *second))
    zone_bottom = tile.top + tile.overlap
    above: list[Block | None] = [*first]
    below: list[Block | None] = [*second]
    problems = []
    for i, j in product(range(len(first)), range(len(second))):
        upper, lower = above[i], below[j]
        if upper is None or lower is None or not _can_be_same(upper, lower, tile):
            continue
        if upper.box is None and (i, j) != (len(first) - 1, 0):
            continue
        is_upper_whole = upper.box is not None and upper.box[3] <= zone_bottom - EDGE_PX
        is_lower_whole = lower.box is not None and lower.box[1] >= tile.top + EDGE_PX
        if is_upper_whole or is_lower_whole:
            if upper.box is not None and lower.box is not None and is_same_place(upper.box, lower.box):
                above[i], below[j] = (upper, None) if is_upper_whole else (None, lower)
        elif (joined := _joined(upper, lower)) is not None:
            above[i], below[j] = joined, None
        elif upper.box is not None:
            problems.append(
                f"rows {tile.top} to {zone_bottom} are in two tiles, and no text is common to both: it can be there "
                "twice, or cut"
            )
    kept = tuple(block for block in (*above, *below) if block is not None)
    return JoinedBlocks(kept, tuple(dict.fromkeys(problems)))


def _can_be_same(upper: Block, lower: Block, tile: Tile) -> bool:
    """Return whether two blocks can show the same part of the page, or parts of one block."""
    if upper.type != lower.type:
        return False
    if upper.box is None or lower.box is None:
        return upper.box is lower.box
    is_in_zone = upper.box[3] > tile.top and lower.box[1] < tile.top + tile.overlap
    a, b = upper.box, lower.box
    common_width = min(a[2], b[2]) - max(a[0], b[0])
    is_aligned = common_width >= SAME_SHARE * min(a[2] - a[0], b[2] - b[0])
    return is_in_zone and is_aligned and min(a[3], b[3]) > max(a[1], b[1])


def _joined(upper: Block, lower: Block) -> Block | None:
    """Return two parts of a block as one, None where they share nothing."""
    box = None
    if upper.box is not None and lower.box is not None:
        lefts, tops, rights, bottoms = zip(upper.box, lower.box, strict=True)
        box = min(lefts), min(tops), max(rights), max(bottoms)
    if isinstance(upper, Paragraph | Heading) and isinstance(lower, Paragraph | Heading):
        text = join_texts(upper.text, lower.text)
        return None if text is None else upper.model_copy(update={"box": box, "text": text})
    if isinstance(upper, ItemList) and isinstance(lower, ItemList):
        item_texts = [[item.text for item in part.items] for part in (upper, lower)]
        items = _join_sequences(upper.items, lower.items, item_texts)
        return None if items is None else upper.model_copy(update={"box": box, "items": items})
    if isinstance(upper, DocumentTable) and isinstance(lower, DocumentTable):
        texts = [[" | ".join(cell.text for cell in row) for row in table.rows] for table in (upper, lower)]
        rows = _join_sequences(upper.rows, lower.rows, texts)
        return None if rows is None else upper.model_copy(update={"box": box, "rows": rows})
    return None


def join_texts(upper: str, lower: str) -> str | None:
    """Return two texts that share words at the end of one and the start of the other as one, None where they do not.

    What stands after the common words in the upper text, and before them in the lower one, is cut off by a tile's end.
    """
    words, others = upper.split(" "), lower.split(" ")
    match = SequenceMatcher(None, words, others, autojunk=False).find_longest_match()
    if match.size < min(MIN_COMMON_WORDS, len(words), len(others)):
        return None
    return " ".join([*words[: match.a + match.size], *others[match.b + match.size :]])


def _join_sequences(
    upper: Sequence[Part], lower: Sequence[Part], texts: Sequence[Sequence[str]]
) -> tuple[Part, ...] | None:
    match = SequenceMatcher(None, texts[0], texts[1], autojunk=False).find_longest_match()
    if not match.size:
        return None
    return (*upper[: match.a + match.size], *lower[match.b + match.size :])
