"""The MLP of a mixture of experts: a router selects a few of many small MLPs for each token.

Source: transformers modeling_qwen3_vl_moe.py; arXiv 2505.09388.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.config import TextConfig


class Router(nn.Module):
    """Scores the experts for each token; never quantized, since rounding would select other experts."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.count = config.num_experts_per_tok
        self.weight = nn.Parameter(torch.zeros(config.num_experts, config.hidden_size))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return shares and indices of the selected experts of x [N, C], [N, count] each; shares sum to 1."""
        probabilities = F.linear(x, self.weight).softmax(-1, dtype=torch.float32)
        shares, indices = probabilities.topk(self.count, dim=-1)
        return (shares / shares.sum(-1, keepdim=True)).to(x.dtype), indices


class Experts(nn.Module):
    """SwiGLU MLPs without bias; the matrices of all are one tensor, or a list of quantized layers."""

    gate_up_proj: Tensor | nn.ModuleList  # [E, C, 2 * width]: gates, then values
    down_proj: Tensor | nn.ModuleList  # [E, width, C]

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        count, hidden, width = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.zeros(count, hidden, 2 * width))
        self.down_proj = nn.Parameter(torch.zeros(count, width, hidden))

    def forward(self, x: Tensor, shares: Tensor, indices: Tensor) -> Tensor:
        """Return the sums [N, C] of the experts' outputs, weighted by their shares, of x [N, C]."""
        out = torch.zeros_like(x)
        for index in indices.unique().tolist():
            tokens, ranks = (indices == index).nonzero(as_tuple=True)
            gate, up = _product(self.gate_up_proj, index, x[tokens]).chunk(2, dim=-1)
            part = _product(self.down_proj, index, F.silu(gate) * up)
            out.index_add_(0, tokens, part * shares[tokens, ranks, None])
        return out


def _product(matrices: Tensor | nn.ModuleList, index: int, x: Tensor) -> Tensor:
    """Return the product of x [n, K] with one expert's matrix."""
    if isinstance(matrices, Tensor):
        return x @ matrices[index]
    product: Tensor = matrices[index](x)
    return product


class SparseMLP(nn.Module):
    """A router and its experts."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        out: Tensor = self.experts(rows, *self.gate(rows))
        return out.view_as(x)
