"""The Gated DeltaNet of Qwen3.5's recurrent layers: a short convolution, the gated delta rule and a gated norm.

It has no keys and values of earlier tokens but a state of fixed size (`model.nn.kv_cache.LayerState`). Source:
transformers modeling_qwen3_5.py; arXiv 2412.06464.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.config import TextConfig
from model.nn.delta_rule import delta_rule
from model.nn.kv_cache import KVCache, LayerState

EPSILON = 1e-6  # of the lengths of queries and keys; a constant in the reference code


class GatedRMSNorm(nn.Module):
    """x / rms(x) times the weight, then times silu(gate) in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        x32 = x.float()
        normalized = self.weight * (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)
        return (normalized * F.silu(gate.float())).to(x.dtype)


class GatedDeltaNet(nn.Module):
    """Linear attention in place of a decoder layer's attention; several value heads share one key head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        delta, hidden = config.delta, config.hidden_size
        assert delta is not None
        self.sizes = delta
        channels = 2 * delta.key_width + delta.value_width  # queries, keys, values
        self.in_proj_qkv = nn.Linear(hidden, channels, bias=False)
        self.in_proj_z = nn.Linear(hidden, delta.value_width, bias=False)  # the gate of the norm
        self.in_proj_b = nn.Linear(hidden, delta.value_heads, bias=False)
        self.in_proj_a = nn.Linear(hidden, delta.value_heads, bias=False)
        self.conv1d = nn.Conv1d(channels, channels, delta.kernel_size, groups=channels, bias=False)
        self.dt_bias = nn.Parameter(torch.ones(delta.value_heads))
        self.A_log = nn.Parameter(torch.zeros(delta.value_heads))
        self.norm = GatedRMSNorm(delta.value_size, config.rms_norm_eps)
        self.out_proj = nn.Linear(delta.value_width, hidden, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None, cache: KVCache | None, layer: int) -> Tensor:
        """Return [B, S, C] of x [B, S, C].

        Args:
            x: Hidden states.
            mask: The attention's mask, bool [B or 1, 1, S, T], which tells padding on the left; None for none.
            cache: Its state of the layer is the one before x, and is replaced by the one after x; None for none.
            layer: Index of the layer.
        """
        batch, length, _ = x.shape
        sizes = self.sizes
        if mask is not None:  # the last token attends to all but padding; a padding token of zeros changes no state
            x = x * mask[:, 0, -1, -length:, None]
        past = cache.states[layer] if cache is not None else None
        mixed = self.in_proj_qkv(x).transpose(1, 2)  # [B, channels, S]
        if past is None:
            columns = F.pad(mixed, (sizes.kernel_size - 1, 0))
            state = x.new_zeros(batch, sizes.value_heads, sizes.key_size, sizes.value_size, dtype=torch.float32)
        else:
            columns, state = torch.cat([past.convolution, mixed], dim=-1), past.recurrent
        convolved = F.silu(F.conv1d(columns, self.conv1d.weight, groups=self.conv1d.groups)).transpose(1, 2)
        widths = [sizes.key_width, sizes.key_width, sizes.value_width]
        q, k, v = (
            part.reshape(batch, length, heads, -1).transpose(1, 2).float()
            for part, heads in zip(
                convolved.split(widths, dim=-1), (sizes.key_heads, sizes.key_heads, sizes.value_heads), strict=True
            )
        )  # [B, heads, S, D]
        q, k = (
            (part * torch.rsqrt(part.pow(2).sum(-1, keepdim=True) + EPSILON)).repeat_interleave(
                sizes.value_heads // sizes.key_heads, dim=1
            )
            for part in (q, k)
        )
        beta = self.in_proj_b(x).sigmoid().float().transpose(1, 2)  # [B, heads, S]
        step = F.softplus(self.in_proj_a(x).float() + self.dt_bias)
        log_decay = (-self.A_log.float().exp() * step).transpose(1, 2)
        out, state = delta_rule(q * sizes.key_size**-0.5, k, v, log_decay, beta, state)
        if cache is not None:
            # a copy, since a view would keep the columns of all tokens
            cache.states[layer] = LayerState(columns[:, :, -(sizes.kernel_size - 1) :].clone(), state)
        gate = self.in_proj_z(x).view(batch, length, sizes.value_heads, -1)
        out = self.norm(out.transpose(1, 2).to(x.dtype), gate)
        return self.out_proj(out.reshape(batch, length, -1))
