"""Positions: the three-axis ids of text, pictures and videos, and rotary tables. Knows no weights.

Every token has a time, a row and a column. Text moves all three together; a picture's tokens share one time and spread
over rows and columns; a video's frames advance in time by the seconds between them. Source: arXiv 2502.13923, section
2.1.2, and the original rule of the authors' code (transformers 4.49 to 4.51): text after a video starts behind the
largest position so far. transformers 5.19 to 5.23 start it max(rows, columns) behind the video's first position
instead; `rule="hf5"` repeats that, for comparisons.

Checkpoints with flat positions (TextConfig.flat_rope: OpenCUA) count a picture's cells like words, on all three axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from actions import InvalidActionError
from model.nn.config import Config

Rule = Literal["original", "hf5"]


def vision_positions(grid: tuple[int, int, int], merge: int, seconds_per_step: float, flat: bool = False) -> Tensor:
    """[3, t * h/2 * w/2] positions of one picture or video relative to its first, axes time, row, column.

    grid is (t, h, w) in patches; seconds_per_step is time positions per temporal patch (0 for a still picture).
    """
    t, h, w = grid[0], grid[1] // merge, grid[2] // merge
    if flat:
        return torch.arange(t * h * w).expand(3, -1)
    times = (torch.arange(t) * seconds_per_step).long()
    return torch.stack(
        [
            times.view(-1, 1, 1).expand(t, h, w).reshape(-1),
            torch.arange(h).view(1, -1, 1).expand(t, h, w).reshape(-1),
            torch.arange(w).view(1, 1, -1).expand(t, h, w).reshape(-1),
        ]
    )


def image_position_span(grid: tuple[int, int, int], merge: int, flat: bool = False) -> int:
    """How far behind a picture's first position the text after it begins."""
    return grid[0] * grid[1] * grid[2] // merge**2 if flat else max(grid[1:]) // merge


def position_ids(
    input_ids: Tensor,
    config: Config,
    attention_mask: Tensor | None = None,
    image_grid_thw: Tensor | Sequence[Sequence[int]] | None = None,
    video_grid_thw: Tensor | Sequence[Sequence[int]] | None = None,
    second_per_grid_ts: Tensor | Sequence[float] | None = None,
    rule: Rule = "original",
) -> tuple[Tensor, Tensor]:
    """Positions [3, B, S] of ids [B, S], and per row the next position minus S, [B, 1], for what is generated after.

    Padding (attention_mask 0) gets position 1. BadCall when the placeholders do not match the grids.
    """
    images = iter(_rows(image_grid_thw))
    videos = iter(_rows(video_grid_thw))
    seconds = iter(_rows(second_per_grid_ts))
    merge, one_axis = config.vision.spatial_merge_size, config.text.flat_rope
    positions = torch.ones(3, *input_ids.shape, dtype=torch.long)
    deltas = torch.zeros(len(input_ids), 1, dtype=torch.long)
    for row, ids in enumerate(input_ids.tolist()):
        keep = [True] * len(ids) if attention_mask is None else attention_mask[row].bool().tolist()
        parts: list[Tensor] = []
        current, largest = 0, -1  # next position of a text, and the largest given so far
        tokens = [token for token, kept in zip(ids, keep, strict=True) if kept]
        kinds = {config.image_token_id: "image", config.video_token_id: "video"}
        for kind, run in groupby(tokens, key=lambda token: kinds.get(token, "text")):
            left = len(list(run))
            if kind == "text":
                parts.append((torch.arange(left) + current).expand(3, -1))
                current, largest = current + left, max(largest, current + left - 1)
                continue
            while left > 0:  # pictures without text between them share one run of placeholders
                grid = next(images if kind == "image" else videos, None)
                if grid is None:
                    raise InvalidActionError(
                        f"the prompt has more {kind} placeholders than {kind} grids; give one grid for each"
                    )
                step = 0.0 if kind == "image" else next(seconds, 1.0) * config.vision.tokens_per_second
                shape = int(grid[0]), int(grid[1]), int(grid[2])
                block = vision_positions(shape, merge, step, one_axis) + current
                left -= block.shape[1]
                parts.append(block)
                largest = max(largest, int(block.max()))
                current = largest + 1 if rule == "original" else current + image_position_span(shape, merge, one_axis)
            if left < 0:
                raise InvalidActionError(
                    f"a {kind} has {-left} more cells than placeholders; each merged cell needs one"
                )
        flat = torch.cat(parts, dim=1) if parts else torch.zeros(3, 0, dtype=torch.long)
        positions[:, row, torch.tensor(keep, dtype=torch.bool)] = flat
        deltas[row] = current - len(ids)
    if next(images, None) is not None or next(videos, None) is not None:
        raise InvalidActionError(
            "there are more picture grids than placeholders in the prompt; each picture needs its run of them"
        )
    return positions.to(input_ids.device), deltas.to(input_ids.device)


def _rows(values: Tensor | Sequence | None) -> list:
    if values is None:
        return []
    return values.tolist() if isinstance(values, Tensor) else list(values)


def text_cos_sin(
    positions: Tensor, head_dim: int, section: tuple[int, int, int], theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """cos and sin, each [B, S, head_dim], of positions [3, B, S]: computed in float32, then in the activations' dtype.

    The first section[0] frequencies turn with time, the next with rows, the last with columns.
    """
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)  # [D/2]
    angles = positions.float().unsqueeze(-1) * inverse  # [3, B, S, D/2]
    chosen = torch.cat([part[axis] for axis, part in enumerate(angles.split(section, dim=-1))], dim=-1)  # [B, S, D/2]
    doubled = torch.cat([chosen, chosen], dim=-1)
    return doubled.cos().to(dtype), doubled.sin().to(dtype)


def vision_rotary(rows: Tensor, columns: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """cos and sin, each float32 [N, head_dim], of patches at rows [N] and columns [N]."""
    quarter = torch.arange(0, head_dim // 2, 2, device=rows.device).float() / (head_dim // 2)
    inverse = 1.0 / 10000.0**quarter  # [head_dim / 4]
    angles = torch.cat([rows[:, None].float() * inverse, columns[:, None].float() * inverse], dim=-1)
    doubled = torch.cat([angles, angles], dim=-1)
    return doubled.cos(), doubled.sin()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + D/2) of the last axis; cos and sin broadcast."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
