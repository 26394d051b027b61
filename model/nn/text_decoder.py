"""The text decoder: embeddings to hidden states, over a key-value cache."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.attention import causal_attention
from model.nn.config import TextConfig
from model.nn.delta_net import GatedDeltaNet
from model.nn.kv_cache import KVCache
from model.nn.rope import apply_rotary, text_rotary
from model.nn.sparse_mlp import SparseMLP
from model.nn.vision_encoder import RMSNorm


class CenteredRMSNorm(RMSNorm):
    """x / rms(x) times 1 + weight, all in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__(size, eps)
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        normalized = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        return (normalized * (1 + self.weight.float())).to(x.dtype)


def make_norm(config: TextConfig, size: int) -> RMSNorm:
    """Return the kind of RMSNorm that a config names."""
    return (CenteredRMSNorm if config.centered_norms else RMSNorm)(size, config.rms_norm_eps)


class Attention(nn.Module):
    """Grouped-query attention: several query heads share one key-value head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.use_gqa = config.num_attention_heads != config.num_key_value_heads
        width, kv_width = (
            heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.has_gate = config.attention_gate  # of a head's output; q_proj has it after the head's query
        self.q_proj = nn.Linear(config.hidden_size, width * (2 if self.has_gate else 1), bias=config.attention_bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=config.attention_bias)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = make_norm(config, config.head_dim) if config.qk_norm else None
        self.k_norm = make_norm(config, config.head_dim) if config.qk_norm else None

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None, layer: int
    ) -> Tensor:  # x [B, S, C], cos and sin [B, 1, S, R], mask bool [B or 1, 1, S, T] or None
        batch, length, _ = x.shape
        query = self.q_proj(x)
        gate = None
        if self.has_gate:
            query, gate = query.view(batch, length, -1, 2 * self.head_dim).chunk(2, dim=-1)
        q, k, v = (
            part.reshape(batch, length, -1, self.head_dim).transpose(1, 2)
            for part in (query, self.k_proj(x), self.v_proj(x))
        )  # [B, heads, S, D]
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # [B, kv heads, T, D]
        if cache is not None and mask is None:
            out = causal_attention(q, k, v)
        else:
            is_causal = mask is None and length > 1
            out = F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, enable_gqa=self.use_gqa)
        out = out.transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(out if gate is None else out * gate.reshape(out.shape).sigmoid())


class MLP(nn.Module):
    """SwiGLU without bias."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """Attention and an MLP, dense or of experts, each with a pre-norm and a residual connection."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config, config.hidden_size)
        self.post_attention_layernorm = make_norm(config, config.hidden_size)
        self.self_attn = Attention(config)
        self.mlp = SparseMLP(config) if config.num_experts else MLP(config)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None, layer: int
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, cache, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class RecurrentLayer(nn.Module):
    """A decoder layer with a Gated DeltaNet in place of the attention."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config, config.hidden_size)
        self.post_attention_layernorm = make_norm(config, config.hidden_size)
        self.linear_attn = GatedDeltaNet(config)
        self.mlp = MLP(config)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None, layer: int
    ) -> Tensor:
        x = x + self.linear_attn(self.input_layernorm(x), mask, cache, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextDecoder(nn.Module):
    """Token embeddings, decoder layers and the final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        # zeros: torch's random initialization on the meta device would import its compiler, seconds and 70 MB
        rows, width = config.vocab_size, config.hidden_size
        self.embed_tokens = nn.Embedding(rows, width, _weight=torch.zeros(rows, width))
        recurrent = config.delta.layers if config.delta else ()
        self.layers = nn.ModuleList(
            (RecurrentLayer if layer in recurrent else DecoderLayer)(config)
            for layer in range(config.num_hidden_layers)
        )
        self.norm = make_norm(config, config.hidden_size)

    def forward(
        self, embeddings: Tensor, positions: Tensor, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Return hidden states [B, S, C] of embeddings at positions [3, B, S].

        Args:
            embeddings: [B, S, C], or [B, S, (1 + K) * C] with K DeepStack features after each embedding, which are
                added to the outputs of the first K layers.
            positions: [3, B, S]; see `model.nn.rope.position_ids`.
            mask: bool [B or 1, 1, S, T], True where a token may attend; None for causal attention over the whole cache.
            cache: Filled with this call's keys and values, and states of recurrent layers; None for none.
        """
        config = self.config
        cos, sin = text_rotary(config, positions, embeddings.dtype)
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        x, *features = embeddings.split(config.hidden_size, dim=-1)
        for index, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, cache, index)
            if index < len(features):
                x = x + features[index]
        if cache is not None:
            cache.length += embeddings.shape[1]
        return self.norm(x)


def attention_mask(valid: Tensor | None, length: int, past: int, device: torch.device) -> Tensor | None:
    """Return a causal mask without padding, bool [B or 1, 1, length, past + length]; None where plain causal suffices.

    valid: [B, past + length], 0 for padding, or None.
    """
    if valid is None or bool(valid.bool().all()):
        return None
    queries = torch.arange(past, past + length, device=device).view(-1, 1)
    causal = (torch.arange(past + length, device=device) <= queries).view(1, 1, length, -1)
    # a row of padding must attend to something, or softmax gives NaN: to itself, and its output is never used
    diagonal = torch.eye(length, past + length, dtype=torch.bool, device=device).roll(past, dims=1)
    return causal & valid.bool()[:, None, None, :] | diagonal
