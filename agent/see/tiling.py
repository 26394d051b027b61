"""Cut tall and large images into tiles that a model sees one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actions.screen import Pixels
from agent.policies.base import Policy
from model.processing.image import ImageLimits

TALL_RATIO = 2.0  # of height to width, above which an image is cut into tiles
TILE_RATIO = 1.5  # of a tile at most, about that of a sheet of paper
MIN_TILE_PX = 1024  # the tiles of a narrow image are at least as high
MIN_LARGE_TILE_PX = 320  # those of a wide image with more pixels than a model sees
SEARCHED_SHARE = 0.4  # of a tile, from its end, in which the row to cut at is searched
MIN_CONTRAST = 24  # of neighboring pixels, in gray values
OVERLAP_PX = 160  # shared by two tiles where no row is blank; twice the height of the largest lines


@dataclass(frozen=True)
class Tile:
    """The rows of an image from `top` to before `bottom`.

    Args:
        top: First row.
        bottom: Row after the last.
        overlap: Rows at its start that are also in the tile before; 0 where the cut between them crosses no content.
    """

    top: int
    bottom: int
    overlap: int = 0


def tiles(pixels: Pixels, max_pixels: int | None = None) -> tuple[Tile, ...]:
    """Return the tiles of an image from top to bottom: one, unless it is more than twice as high as wide, or too large.

    An image is cut where a row has the least content, in the middle of the longest run of such rows. Where that row is
    not blank, the tiles overlap, so that each line of text is whole in one of them.

    Args:
        pixels: The image.
        max_pixels: The most pixels of an image that is not cut; None for any number.
    """
    height, width = pixels.shape[:2]
    longest = max(MIN_TILE_PX, round(TILE_RATIO * width))
    is_large = max_pixels is not None and height * width > max_pixels
    if max_pixels is not None and is_large:
        longest = min(longest, max(MIN_LARGE_TILE_PX, max_pixels // width))
    if height <= longest or (height <= TALL_RATIO * width and not is_large):
        return (Tile(0, height),)
    contrast = np.abs(np.diff(pixels.astype(np.int16).mean(axis=2), axis=1)) >= MIN_CONTRAST
    content = contrast.sum(axis=1)  # edges in each row; vertical rules add the same to all rows
    blank = int(content.min())
    result: list[Tile] = []
    top = overlap = 0
    while height - top > longest:
        first = top + round(longest * (1 - SEARCHED_SHARE))
        row = first + _middle_of_longest_run(content[first : top + longest - OVERLAP_PX // 2])
        reach = 0 if int(content[row]) == blank else OVERLAP_PX // 2
        bottom = min(row + reach, height)
        result.append(Tile(top, bottom, overlap))
        top, overlap = row - reach, bottom - (row - reach)
    return (*result, Tile(top, height, overlap))


def policy_limits(policy: Policy) -> ImageLimits:
    """Return the image limits of a policy's model; those of Qwen2.5-VL where it has none."""
    for name in ("chat", "profile", "dialect"):
        limits = getattr(getattr(policy, name, None), "limits", None)
        if isinstance(limits, ImageLimits):
            return limits
    return ImageLimits()


def _middle_of_longest_run(values: np.ndarray) -> int:
    """Return the index in the middle of the longest run of the smallest value."""
    is_smallest = np.concatenate([[False], values == values.min(), [False]])
    edges = np.flatnonzero(np.diff(is_smallest.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    index = int((ends - starts).argmax())
    return int((starts[index] + ends[index]) // 2) if ends[index] - starts[index] > 1 else int(starts[index])
