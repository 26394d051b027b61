"""The Qwen2-VL network, as far as it differs from Qwen2.5-VL.

The vision encoder has LayerNorms, MLPs of two layers, and full attention in all layers. Positions of videos count
temporal patches, whatever the time between them (VisionConfig.tokens_per_second). Source: transformers
modeling_qwen2_vl.py; arXiv 2409.12191.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.nn.config import VisionConfig
from model.nn.qwen25vl import Qwen25VL
from model.nn.vision_encoder import PatchMerger, VisionBlock, VisionEncoder


class QuickGeluMLP(nn.Module):
    """Two layers with bias and x * sigmoid(1.702 x), an approximation of GELU, between them."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.fc1(x)
        return self.fc2(inner * (1.702 * inner).sigmoid())


class Qwen2VisionBlock(VisionBlock):
    """A vision block with LayerNorms and `QuickGeluMLP`."""

    norm_type = nn.LayerNorm
    mlp_type = QuickGeluMLP


class Qwen2PatchMerger(PatchMerger):
    """The merger with a LayerNorm."""

    norm_type = nn.LayerNorm


class Qwen2VisionEncoder(VisionEncoder):
    """The vision encoder with these blocks and merger."""

    block_type = Qwen2VisionBlock
    merger_type = Qwen2PatchMerger


class Qwen2VL(Qwen25VL):
    """Qwen2-VL; parameters have the names and shapes of the released checkpoints."""

    encoder_type = Qwen2VisionEncoder
