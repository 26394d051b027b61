"""The picture encoder: patches -> one embedding for each merged cell. Knows no text.

Frames never look at each other, so pictures and frames of one size form a batch. Within a frame the cells are put in
the order of their windows, windows of one size side by side: windowed attention is then a reshape and one batched call
for each of the at most four sizes, full attention one call over the frame. Source: transformers
modeling_qwen2_5_vl.py; arXiv 2502.13923, section 2.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.attention import windowed_attention
from model.nn.config import VisionConfig
from model.nn.rope import apply_rotary, vision_rotary

ROWS = 512  # patches at a time


class RMSNorm(nn.Module):
    """x / rms(x) in float32, then the weight in x's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


@dataclass(frozen=True)
class WindowLayout:
    """Where a frame's cells go. Cells are merged 2x2 patches.

    order [cells]: window order -> raster order; groups: (windows, cells in each) side by side; rows, columns [patches]:
    each patch's place, in window order.
    """

    order: Tensor
    inverse: Tensor
    groups: tuple[tuple[int, int], ...]
    rows: Tensor
    columns: Tensor


@lru_cache(maxsize=256)
def layout(grid_h: int, grid_w: int, merge: int, window: int, device: torch.device) -> WindowLayout:
    """Layout of a frame of grid_h x grid_w patches; windows start at the top left, those at far edges are ragged."""
    with torch.inference_mode(False):  # it is kept, and training may use it later
        return _layout(grid_h // merge, grid_w // merge, merge, window, device)


def _layout(cells_h: int, cells_w: int, merge: int, window: int, device: torch.device) -> WindowLayout:
    cell = torch.arange(cells_h * cells_w).view(cells_h, cells_w)
    windows = [
        cell[top : top + window, left : left + window].reshape(-1)
        for top in range(0, cells_h, window)
        for left in range(0, cells_w, window)
    ]
    windows.sort(key=len, reverse=True)  # stable: windows of one size keep their order
    sizes = [len(one) for one in windows]
    groups = tuple((sizes.count(size), size) for size in sorted(set(sizes), reverse=True))
    order = torch.cat(windows)
    inner = torch.arange(merge)
    rows = (order // cells_w * merge).view(-1, 1, 1) + inner.view(1, -1, 1).expand(1, merge, merge)
    columns = (order % cells_w * merge).view(-1, 1, 1) + inner.view(1, 1, -1).expand(1, merge, merge)
    return WindowLayout(
        order.to(device),
        order.argsort().to(device),
        groups,
        rows.reshape(-1).to(device),
        columns.reshape(-1).to(device),
    )


class Attention(nn.Module):
    """Attention within windows, or over the frame."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, config.hidden_size * 3)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, spans: tuple[tuple[int, int], ...]
    ) -> Tensor:  # x [F, S, C], cos and sin [S, D]; spans: (windows, patches in each), side by side
        q, k, v = self.projected(x, cos, sin)
        return self.proj(windowed_attention(q, k, v, spans).reshape(x.shape))

    def projected(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q and k, turned, and v, each [F, S, heads, D]."""
        qkv = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1)
        q, k = (apply_rotary(part.float(), cos[:, None], sin[:, None]).to(x.dtype) for part in qkv[:, :, :2].unbind(2))
        return q, k, qkv[:, :, 2]


class MLP(nn.Module):
    """SwiGLU with bias."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.norm2 = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attn = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, spans: tuple[tuple[int, int], ...]) -> Tensor:
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._by_rows(x, cos, sin, spans)
        x = x + self.attn(self.norm1(x), cos, sin, spans)
        return x + self.mlp(self.norm2(x))

    def _by_rows(self, x: Tensor, cos: Tensor, sin: Tensor, spans: tuple[tuple[int, int], ...]) -> Tensor:
        """The same, all but the attention for ROWS patches at a time: what they become on the way stays in cache."""
        frames, length, width = x.shape
        q, k, v = (x.new_empty(frames, length, self.attn.heads, width // self.attn.heads) for _ in range(3))
        pieces = [slice(start, start + ROWS) for start in range(0, length, ROWS)]
        for piece in pieces:
            made = self.attn.projected(self.norm1(x[:, piece]), cos[piece], sin[piece])
            for whole, part in zip((q, k, v), made, strict=True):
                whole[:, piece] = part
        seen = windowed_attention(q, k, v, spans).view(x.shape)
        out = torch.empty_like(x)
        for piece in pieces:
            part = x[:, piece] + self.attn.proj(seen[:, piece])
            out[:, piece] = part + self.mlp(self.norm2(part))
        return out


class PatchEmbed(nn.Module):
    """One linear map of a patch's 1176 values. Checkpoints store it as a 3D convolution of the same values.

    A still picture fills both time slices alike, so its 588 values, given once, go through the sum of both slices'
    weights: the same sum with half the products.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        size = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, size, stride=size, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight  # [C, 3, T, 14, 14]
        if patches.shape[-1] * weight.shape[2] == weight[0].numel():
            weight = weight.sum(2)
        return F.linear(patches.to(weight.dtype), weight.flatten(1))


class PatchMerger(nn.Module):
    """Joins the four patches of a cell into one embedding of the decoder's width."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.joined = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(self.joined, self.joined), nn.GELU(), nn.Linear(self.joined, config.out_hidden_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x).reshape(*x.shape[:-2], -1, self.joined))


class VisionEncoder(nn.Module):
    """The whole encoder."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)

    def forward(self, patches: Tensor, grid_thw: Tensor | list[tuple[int, int, int]]) -> Tensor:
        """patches [N, 1176] of all pictures in a row, grids (t, h, w) in patches -> [N / 4, out_hidden_size].

        Of pictures alone the patches may also be [N, 588], their one time slice (see model.image.still).
        """
        grids = grid_thw.tolist() if isinstance(grid_thw, Tensor) else grid_thw
        sizes = [(h, w) for t, h, w in grids for _ in range(t)]  # one entry a frame
        frames = patches.split([h * w for h, w in sizes])
        cells = self.config.spatial_merge_size**2
        if len(set(sizes)) == 1:
            return self._encode(torch.stack(frames), *sizes[0]).flatten(0, 1)
        outputs: list[Tensor] = [patches.new_empty(0)] * len(sizes)
        for size in dict.fromkeys(sizes):
            places = [place for place, one in enumerate(sizes) if one == size]
            batch = self._encode(torch.stack([frames[place] for place in places]), *size)
            for place, cell_embeddings in zip(places, batch, strict=True):
                outputs[place] = cell_embeddings
        assert sum(len(one) for one in outputs) * cells == len(patches)
        return torch.cat(outputs)

    def _encode(self, patches: Tensor, grid_h: int, grid_w: int) -> Tensor:  # [F, h * w, 1176] -> [F, h * w / 4, C]
        config = self.config
        cells = config.spatial_merge_size**2
        plan = layout(grid_h, grid_w, config.spatial_merge_size, config.window_cells, patches.device)
        frames, length, _ = patches.shape
        ordered = patches.view(frames, length // cells, cells, -1)[:, plan.order].flatten(1, 2)
        x = self.patch_embed(ordered)  # [F, S, C]
        cos, sin = vision_rotary(plan.rows, plan.columns, config.head_dim)
        windows = tuple((count, size * cells) for count, size in plan.groups)
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, ((1, length),) if index in config.fullatt_block_indexes else windows)
        return self.merger(x)[:, plan.inverse]
