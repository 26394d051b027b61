"""The Qwen3-VL network, as far as it differs from Qwen2.5-VL.

The vision encoder has LayerNorms, MLPs of two layers with GELU, learned position embeddings beside the rotary ones, and
full attention in all layers. The output of some inner layers is merged like that of the last one, and added to the
image tokens behind the first layers of the decoder (DeepStack, arXiv 2406.04334). What differs in the decoder is in its
config: RMSNorms on queries and keys, no biases, and interleaved rotary frequencies. Qwen3.5 has the encoder without
DeepStack, and a decoder with recurrent layers (`model.nn.delta_net`). Source: transformers modeling_qwen3_vl.py; arXiv
2511.21631.
"""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.config import VisionConfig
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import vision_rotary
from model.nn.vision_encoder import VisionBlock, VisionEncoder, layout


class GeluMLP(nn.Module):
    """Two layers with bias and the tanh form of GELU between them."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_fc2(F.gelu(self.linear_fc1(x), approximate="tanh"))


class Qwen3VisionBlock(VisionBlock):
    """A vision block with LayerNorms and `GeluMLP`."""

    norm_type = nn.LayerNorm
    mlp_type = GeluMLP


class Qwen3PatchMerger(nn.Module):
    """Merges 2x2 patches into one embedding of the decoder's width.

    is_norm_last: normalize the merged patch instead of each of its patches, as for DeepStack features.
    """

    def __init__(self, config: VisionConfig, is_norm_last: bool = False) -> None:
        super().__init__()
        self.merged_size = config.hidden_size * config.spatial_merge_size**2
        self.is_norm_last = is_norm_last
        self.norm = nn.LayerNorm(self.merged_size if is_norm_last else config.hidden_size, config.rms_norm_eps)
        self.linear_fc1 = nn.Linear(self.merged_size, self.merged_size)
        self.linear_fc2 = nn.Linear(self.merged_size, config.out_hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:-2], -1, self.merged_size)
        merged = self.norm(x.reshape(shape)) if self.is_norm_last else self.norm(x).reshape(shape)
        return self.linear_fc2(F.gelu(self.linear_fc1(merged)))


class PositionEmbedding(nn.Module):
    """A square of learned position embeddings, interpolated to the grid of a frame."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.position_embeddings, config.hidden_size))

    def forward(self, rows: Tensor, columns: Tensor, grid_h: int, grid_w: int) -> Tensor:
        """Return float32 embeddings [N, C] of patches at rows [N] and columns [N]."""
        side = isqrt(len(self.weight))
        square = self.weight.float().view(1, side, side, -1).permute(0, 3, 1, 2)  # [1, C, side, side]
        grid = F.interpolate(square, (grid_h, grid_w), mode="bilinear", align_corners=True)
        return grid[0, :, rows, columns].t()


class Qwen3VisionEncoder(VisionEncoder):
    """Patch and position embeddings, vision blocks, the merger, and one more merger per DeepStack feature.

    An embedding has its DeepStack features after it: [(1 + features) * out_hidden_size].
    """

    has_patch_bias = True
    block_type = Qwen3VisionBlock
    merger_type = Qwen3PatchMerger

    def __init__(self, config: VisionConfig) -> None:
        super().__init__(config)
        self.pos_embed = PositionEmbedding(config)
        self.deepstack_merger_list = nn.ModuleList(
            Qwen3PatchMerger(config, is_norm_last=True) for _ in config.deepstack_indexes
        )

    def encode_frames(self, patches: Tensor, grid_h: int, grid_w: int) -> Tensor:
        """Return embeddings [F, h * w / 4, (1 + features) * C] of patches [F, h * w, D] of frames of one size."""
        config = self.config
        plan = layout(grid_h, grid_w, config.spatial_merge_size, config.window_cells, patches.device)
        x = self.patch_embed(patches)
        x = x + self.pos_embed(plan.rows, plan.columns, grid_h, grid_w).to(x.dtype)
        cos, sin = vision_rotary(plan.rows, plan.columns, config.head_dim)
        features: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, ((1, x.shape[1]),))
            if index in config.deepstack_indexes:
                features.append(self.deepstack_merger_list[config.deepstack_indexes.index(index)](x))
        return torch.cat([self.merger(x), *features], dim=-1)


class Qwen3VL(Qwen25VL):
    """Qwen3-VL and Qwen3.5; parameters have the names and shapes of the released checkpoints."""

    encoder_type = Qwen3VisionEncoder
