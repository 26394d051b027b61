"""Position ids on three axes for text, images and videos, and rotary embeddings.

Every token has a time, a row and a column. Text advances all three together; the tokens of an image share one time and
spread over rows and columns; the frames of a video advance in time by the seconds between them. Source: arXiv
2502.13923, section 2.1.2, and the rule of the authors' code (transformers 4.49 to 4.51): text after a video starts
after the largest position so far. transformers 5.19 to 5.23 start it max(rows, columns) after the video's first
position instead; the rule "transformers5" reproduces that for comparisons.

Checkpoints with flat positions (TextConfig.flat_rope: OpenCUA) count the merged patches of an image like text tokens,
on all three axes. In Qwen3-VL the prompt tells the time of each frame of a video as text (Config.frame_timestamps), so
that frames have the positions of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from actions import InvalidActionError
from model.nn.config import Config, TextConfig
from model.nn.yarn import YarnScaling, yarn_frequencies

Rule = Literal["original", "transformers5"]


def vision_positions(grid: tuple[int, int, int], merge: int, seconds_per_step: float, flat: bool = False) -> Tensor:
    """Return positions [3, t * h/2 * w/2] of an image or video relative to its first; the axes are time, row, column.

    Args:
        grid: (t, h, w) in patches.
        merge: Patches per side of a merged patch.
        seconds_per_step: Time positions per temporal patch; 0 for an image.
        flat: Count merged patches on all axes; see `TextConfig.flat_rope`.
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
    """Return the distance from an image's first position to that of the text after it."""
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
    """Return position ids, and the offset from sequence index to position for generated tokens.

    Args:
        input_ids: Token ids [B, S].
        config: Placeholder ids and the size of a merged patch.
        attention_mask: [B, S], 0 for padding, which gets position 1.
        image_grid_thw: One (t, h, w) in patches per image.
        video_grid_thw: One (t, h, w) in patches per video.
        second_per_grid_ts: Seconds between two temporal patches of each video, where positions follow the time.
        rule: Where text after a video starts; see the module docstring.

    Returns:
        Positions [3, B, S], and per row the next position minus S, [B, 1].

    Raises:
        InvalidActionError: The placeholders do not match the grids.
    """
    images = iter(_rows(image_grid_thw))
    videos = iter(_frame_grids(_rows(video_grid_thw)) if config.frame_timestamps else _rows(video_grid_thw))
    seconds = iter(_rows(second_per_grid_ts))
    merge, is_flat, rate = config.vision.spatial_merge_size, config.text.flat_rope, config.vision.tokens_per_second
    positions = torch.ones(3, *input_ids.shape, dtype=torch.long)
    deltas = torch.zeros(len(input_ids), 1, dtype=torch.long)
    for row, ids in enumerate(input_ids.tolist()):
        keep = [True] * len(ids) if attention_mask is None else attention_mask[row].bool().tolist()
        parts: list[Tensor] = []
        current, largest = 0, -1  # next text position, and the largest position so far
        tokens = [token for token, kept in zip(ids, keep, strict=True) if kept]
        kinds = {config.image_token_id: "image", config.video_token_id: "video"}
        for kind, run in groupby(tokens, key=lambda token: kinds.get(token, "text")):
            left = len(list(run))
            if kind == "text":
                parts.append((torch.arange(left) + current).expand(3, -1))
                current, largest = current + left, max(largest, current + left - 1)
                continue
            while left > 0:  # images without text between them share one run of placeholders
                grid = next(images if kind == "image" else videos, None)
                if grid is None:
                    raise InvalidActionError(
                        f"the prompt has more {kind} placeholders than {kind} grids; pass one grid per {kind}"
                    )
                step = 0.0
                if kind == "video":
                    step = next(seconds, 1.0) * rate if rate else 1.0
                shape = int(grid[0]), int(grid[1]), int(grid[2])
                block = vision_positions(shape, merge, step, is_flat) + current
                left -= block.shape[1]
                parts.append(block)
                largest = max(largest, int(block.max()))
                current = largest + 1 if rule == "original" else current + image_position_span(shape, merge, is_flat)
            if left < 0:
                raise InvalidActionError(
                    f"the prompt lacks {-left} {kind} placeholders; each merged patch of the {kind} needs one"
                )
        flat = torch.cat(parts, dim=1) if parts else torch.zeros(3, 0, dtype=torch.long)
        positions[:, row, torch.tensor(keep, dtype=torch.bool)] = flat
        deltas[row] = current - len(ids)
    if next(images, None) is not None or next(videos, None) is not None:
        raise InvalidActionError(
            "there are more grids than placeholders in the prompt; each image and video needs a run of placeholders"
        )
    return positions.to(input_ids.device), deltas.to(input_ids.device)


def _rows(values: Tensor | Sequence | None) -> list:
    """Return a list of a tensor's or sequence's rows; [] for None."""
    if values is None:
        return []
    return values.tolist() if isinstance(values, Tensor) else list(values)


def _frame_grids(grids: list) -> list[tuple[int, int, int]]:
    """Return a grid (1, h, w) for each temporal patch of videos (t, h, w)."""
    return [(1, h, w) for t, h, w in grids for _ in range(int(t))]


def text_cos_sin(
    positions: Tensor,
    head_dim: int,
    section: tuple[int, int, int],
    theta: float,
    dtype: torch.dtype,
    interleaved: bool = False,
    yarn: YarnScaling | None = None,
) -> tuple[Tensor, Tensor]:
    """Return cos and sin, each [B, S, head_dim], of positions [3, B, S].

    They are computed in float32 and cast to `dtype`. The first section[0] frequencies turn with time, the next
    section[1] with rows, the last section[2] with columns. Interleaved, time, rows and columns take turns until rows
    and columns have their number of frequencies; the rest turn with time. `yarn` scales the frequencies and the result.
    """
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)  # [D/2]
    if yarn is not None:
        inverse = yarn_frequencies(inverse, theta, yarn)
    angles = positions.float().unsqueeze(-1) * inverse  # [3, B, S, D/2]
    if interleaved:
        chosen = angles[0].clone()
        for axis in (1, 2):
            chosen[..., axis : 3 * section[axis] : 3] = angles[axis, ..., axis : 3 * section[axis] : 3]
    else:
        chosen = torch.cat([part[axis] for axis, part in enumerate(angles.split(section, dim=-1))], dim=-1)
    doubled = torch.cat([chosen, chosen], dim=-1)
    scale = 1.0 if yarn is None else yarn.attention_factor
    return (doubled.cos() * scale).to(dtype), (doubled.sin() * scale).to(dtype)


def text_rotary(config: TextConfig, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos and sin, each [B, S, R], of positions [3, B, S] in a decoder that rotates R values of a head."""
    width = config.rotary_dim or config.head_dim
    return text_cos_sin(
        positions, width, config.mrope_section, config.rope_theta, dtype, config.interleaved_rope, config.yarn
    )


def vision_rotary(rows: Tensor, columns: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin, each float32 [N, head_dim], of patches at rows [N] and columns [N]."""
    quarter = torch.arange(0, head_dim // 2, 2, device=rows.device).float() / (head_dim // 2)
    inverse = 1.0 / 10000.0**quarter  # [head_dim / 4]
    angles = torch.cat([rows[:, None].float() * inverse, columns[:, None].float() * inverse], dim=-1)
    doubled = torch.cat([angles, angles], dim=-1)
    return doubled.cos(), doubled.sin()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (i, i + R/2) of the first R values of the last axis; cos and sin [..., R] broadcast."""
    width = cos.shape[-1]
    if width < x.shape[-1]:
        return torch.cat([apply_rotary(x[..., :width], cos, sin), x[..., width:]], dim=-1)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
