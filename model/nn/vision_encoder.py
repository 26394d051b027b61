"""The vision encoder: patches to one embedding per merged patch.

Frames do not attend to each other, so images and frames of one size form a batch. Within a frame the merged patches are
put in window order, windows of one size side by side: windowed attention is then a reshape and one batched call per
size (at most four), full attention one call over the frame. Source: transformers modeling_qwen2_5_vl.py; arXiv
2502.13923, section 2.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.attention import windowed_attention
from model.nn.config import VisionConfig
from model.nn.rope import apply_rotary, vision_rotary

ROWS = 512  # patches per block of `VisionBlock._by_rows`


class RMSNorm(nn.Module):
    """x / rms(x) in float32, times the weight in x's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        return self.weight * (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


@dataclass(frozen=True)
class WindowLayout:
    """Window order of the merged patches of a frame."""

    order: Tensor  # [merged patches]: raster index of each, in window order
    inverse: Tensor  # [merged patches]: the inverse permutation
    groups: tuple[tuple[int, int], ...]  # (windows, merged patches per window), side by side
    rows: Tensor  # [patches]: row of each patch, in window order
    columns: Tensor  # [patches]: column of each patch, in window order


@lru_cache(maxsize=256)
def layout(grid_h: int, grid_w: int, merge: int, window: int, device: torch.device) -> WindowLayout:
    """Return the layout of a frame of grid_h x grid_w patches.

    Windows start at the top left; those at the right and bottom edges are smaller.
    """
    with torch.inference_mode(False):  # the cached tensors must also work in training
        return _layout(grid_h // merge, grid_w // merge, merge, window, device)


def _layout(merged_h: int, merged_w: int, merge: int, window: int, device: torch.device) -> WindowLayout:
    indices = torch.arange(merged_h * merged_w).view(merged_h, merged_w)
    windows = [
        indices[top : top + window, left : left + window].reshape(-1)
        for top in range(0, merged_h, window)
        for left in range(0, merged_w, window)
    ]
    windows.sort(key=len, reverse=True)  # stable: windows of one size keep their order
    sizes = [len(window_indices) for window_indices in windows]
    groups = tuple((sizes.count(size), size) for size in sorted(set(sizes), reverse=True))
    order = torch.cat(windows)
    inner = torch.arange(merge)
    rows = (order // merged_w * merge).view(-1, 1, 1) + inner.view(1, -1, 1).expand(1, merge, merge)
    columns = (order % merged_w * merge).view(-1, 1, 1) + inner.view(1, 1, -1).expand(1, merge, merge)
    return WindowLayout(
        order.to(device),
        order.argsort().to(device),
        groups,
        rows.reshape(-1).to(device),
        columns.reshape(-1).to(device),
    )


class VisionAttention(nn.Module):
    """Attention within windows or over the whole frame."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, config.hidden_size * 3)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, windows: tuple[tuple[int, int], ...]
    ) -> Tensor:  # x [F, S, C], cos and sin [S, D]; windows: (count, patches per window), side by side
        q, k, v = self.project(x, cos, sin)
        return self.proj(windowed_attention(q, k, v, windows).reshape(x.shape))

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated q and k, and v, each [F, S, heads, D]."""
        qkv = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1)
        q, k = (apply_rotary(part.float(), cos[:, None], sin[:, None]).to(x.dtype) for part in qkv[:, :, :2].unbind(2))
        return q, k, qkv[:, :, 2]


class VisionMLP(nn.Module):
    """SwiGLU with bias."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class VisionBlock(nn.Module):
    """Attention and MLP, each with a pre-norm and a residual connection."""

    norm_type: ClassVar[type[nn.Module]] = RMSNorm  # called with size and epsilon
    mlp_type: ClassVar[type[nn.Module]] = VisionMLP

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = self.norm_type(config.hidden_size, config.rms_norm_eps)
        self.norm2 = self.norm_type(config.hidden_size, config.rms_norm_eps)
        self.attn = VisionAttention(config)
        self.mlp = self.mlp_type(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, windows: tuple[tuple[int, int], ...]) -> Tensor:
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._by_rows(x, cos, sin, windows)
        x = x + self.attn(self.norm1(x), cos, sin, windows)
        return x + self.mlp(self.norm2(x))

    def _by_rows(self, x: Tensor, cos: Tensor, sin: Tensor, windows: tuple[tuple[int, int], ...]) -> Tensor:
        """Compute `forward` on the CPU, all but the attention in blocks of ROWS patches, which stay in its cache."""
        frames, length, width = x.shape
        q, k, v = (x.new_empty(frames, length, self.attn.heads, width // self.attn.heads) for _ in range(3))
        blocks = [slice(start, start + ROWS) for start in range(0, length, ROWS)]
        for block in blocks:
            projected = self.attn.project(self.norm1(x[:, block]), cos[block], sin[block])
            for whole, part in zip((q, k, v), projected, strict=True):
                whole[:, block] = part
        attended = windowed_attention(q, k, v, windows).view(x.shape)
        out = torch.empty_like(x)
        for block in blocks:
            part = x[:, block] + self.attn.proj(attended[:, block])
            out[:, block] = part + self.mlp(self.norm2(part))
        return out


class PatchEmbed(nn.Module):
    """Linear projection of a patch's 1176 values, stored as a 3D convolution in checkpoints.

    The two time slices of an image are equal, so its 588 values go through the sum of both slices' weights: the same
    result with half the products.
    """

    def __init__(self, config: VisionConfig, bias: bool = False) -> None:
        super().__init__()
        size = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, size, stride=size, bias=bias)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight  # [C, 3, T, 14, 14]
        if patches.shape[-1] * weight.shape[2] == weight[0].numel():
            weight = weight.sum(2)
        return F.linear(patches.to(weight.dtype), weight.flatten(1), self.proj.bias)


class PatchMerger(nn.Module):
    """Merges 2x2 patches into one embedding of the decoder's width."""

    norm_type: ClassVar[type[nn.Module]] = RMSNorm  # called with size and epsilon

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merged_size = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = self.norm_type(config.hidden_size, config.rms_norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(self.merged_size, self.merged_size),
            nn.GELU(),
            nn.Linear(self.merged_size, config.out_hidden_size),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x).reshape(*x.shape[:-2], -1, self.merged_size))


class VisionEncoder(nn.Module):
    """Patch embedding, vision blocks and merger."""

    has_patch_bias: ClassVar[bool] = False
    block_type: ClassVar[type[VisionBlock]] = VisionBlock
    merger_type: ClassVar[type[nn.Module]] = PatchMerger

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config, self.has_patch_bias)
        self.blocks = nn.ModuleList(self.block_type(config) for _ in range(config.depth))
        self.merger = self.merger_type(config)

    def forward(self, patches: Tensor, grid_thw: Tensor | list[tuple[int, int, int]]) -> Tensor:
        """Return embeddings [N / 4, out_hidden_size] of patches [N, 1176] of all images and videos in order.

        grid_thw: (t, h, w) in patches of each. For images alone the patches may also be [N, 588], one time slice; see
        `model.processing.image.patchify_frame`.
        """
        grids = grid_thw.tolist() if isinstance(grid_thw, Tensor) else grid_thw
        sizes = [(h, w) for t, h, w in grids for _ in range(t)]  # one entry per frame
        frames = patches.split([h * w for h, w in sizes])
        merge_area = self.config.spatial_merge_size**2
        if len(set(sizes)) == 1:
            return self.encode_frames(torch.stack(frames), *sizes[0]).flatten(0, 1)
        outputs: list[Tensor] = [patches.new_empty(0)] * len(sizes)
        for size in dict.fromkeys(sizes):
            indices = [index for index, frame_size in enumerate(sizes) if frame_size == size]
            batch = self.encode_frames(torch.stack([frames[index] for index in indices]), *size)
            for index, frame_embeddings in zip(indices, batch, strict=True):
                outputs[index] = frame_embeddings
        assert sum(map(len, outputs)) * merge_area == len(patches)
        return torch.cat(outputs)

    def encode_frames(self, patches: Tensor, grid_h: int, grid_w: int) -> Tensor:
        """Return embeddings [F, h * w / 4, C] of patches [F, h * w, D] of frames of one size."""
        config = self.config
        merge_area = config.spatial_merge_size**2
        plan = layout(grid_h, grid_w, config.spatial_merge_size, config.window_cells, patches.device)
        frames, length, _ = patches.shape
        ordered = patches.view(frames, length // merge_area, merge_area, -1)[:, plan.order].flatten(1, 2)
        x = self.patch_embed(ordered)  # [F, S, C]
        cos, sin = vision_rotary(plan.rows, plan.columns, config.head_dim)
        windows = tuple((count, size * merge_area) for count, size in plan.groups)
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, ((1, length),) if index in config.fullatt_block_indexes else windows)
        return self.merger(x)[:, plan.inverse]
