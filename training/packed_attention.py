"""Decoder forward pass over packed rows: a shared head of tokens, then blocks that do not attend to each other.

Each token behind the head attends to the head and to the earlier tokens of its own question. Attention is computed
block
by block, over the head and one block, so that its cost grows linearly with the number of questions. Rows of one shape
can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import UsageError
from model.nn.rope import apply_rotary, text_rotary
from model.nn.text_decoder import DecoderLayer, TextDecoder


@dataclass(frozen=True)
class PackedLayout:
    """The layout of a row: the head, then blocks of equal length. All lengths are in tokens."""

    head: int
    block: int
    blocks: int

    @property
    def length(self) -> int:
        """The length of a row."""
        return self.head + self.block * self.blocks

    def keys_by_block(self, x: Tensor) -> Tensor:
        """Return the head and the block for each block: [B, length, ...] -> [B * blocks, head + block, ...]."""
        head = x[:, None, : self.head].expand(-1, self.blocks, *x[:, : self.head].shape[1:])
        own = x[:, self.head :].unflatten(1, (self.blocks, self.block))
        return torch.cat([head, own], dim=2).flatten(0, 1)

    def block_index(self, row: Tensor, token: Tensor) -> Tensor:
        """Return the index, among the blocks of all rows, of the block of each token (none of them in the head)."""
        return row * self.blocks + (token - self.head) // self.block

    def key_index(self, token: Tensor) -> Tensor:
        """Return the index of each token among the keys of its block."""
        return torch.where(token < self.head, token, self.head + (token - self.head) % self.block)


@dataclass(frozen=True)
class ForwardTrace:
    """Intermediate tensors of a forward pass, one of each per layer."""

    states: list[Tensor]  # output of the layer [B, S, C]
    queries: list[Tensor]  # divided by sqrt(D) [B, heads, S, D]
    keys: list[Tensor]  # [B, kv heads, S, D]
    values: list[Tensor]  # [B, kv heads, S, D]
    output: Tensor  # of the decoder [B, S, C]


def packed_forward(
    decoder: TextDecoder, embeddings: Tensor, positions: Tensor, own: Tensor, layout: PackedLayout, compiled: bool
) -> ForwardTrace:
    """Run the decoder over packed rows.

    Equal to `TextDecoder.forward` with the corresponding attention mask.

    Args:
        decoder: The decoder.
        embeddings: [B, S, C].
        positions: [3, B, S].
        own: bool [B, blocks, block, block], True where a token of a block attends to another token of it.
        layout: The layout of the rows.
        compiled: Use torch.compile.

    Raises:
        UsageError: The decoder has recurrent layers or gated attention.
    """
    config = decoder.config
    if config.delta is not None or config.attention_gate:
        raise UsageError("decoders with recurrent layers or gated attention, such as Qwen3.5's, cannot be trained here")
    cos, sin = text_rotary(config, positions, embeddings.dtype)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    bias = torch.zeros(own.shape, device=own.device).masked_fill_(~own, float("-inf"))
    run_layer, run_norm = _compiled() if compiled else (_layer, _norm)
    trace = ForwardTrace([], [], [], [], embeddings)
    x = embeddings
    for layer in decoder.layers:
        x, q, k, v = run_layer(layer, x, cos, sin, bias, layout.head)
        trace.states.append(x)
        trace.queries.append(q)
        trace.keys.append(k)
        trace.values.append(v)
    return replace(trace, output=run_norm(decoder.norm, x))


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = norm(x)
    return output


def _layer(
    layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, head: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert isinstance(layer, DecoderLayer)
    attention, normed = layer.self_attn, layer.input_layernorm(x)
    batch, length, _ = x.shape
    blocks, block = bias.shape[1], bias.shape[2]
    q, k, v = (
        part.view(batch, length, -1, attention.head_dim).transpose(1, 2)
        for part in (attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))
    )  # [B, heads, S, D]
    if attention.q_norm is not None and attention.k_norm is not None:
        q, k = attention.q_norm(q), attention.k_norm(k)
    q, k = apply_rotary(q, cos, sin).to(v.dtype) * attention.head_dim**-0.5, apply_rotary(k, cos, sin).to(v.dtype)
    kv_heads, size = k.shape[1], attention.head_dim
    group = q.shape[1] // kv_heads
    grouped_q = q.view(batch, kv_heads, group, length, size)

    causal = torch.full((head, head), float("-inf"), device=x.device).triu(1)
    scores = grouped_q[:, :, :, :head].flatten(2, 3) @ k[:, :, :head].transpose(2, 3)
    # scores: [B, kv heads, group * head, head]
    weights = (scores.unflatten(2, (group, head)) + causal).softmax(-1).to(v.dtype)
    head_output = weights.flatten(2, 3) @ v[:, :, :head]
    head_output = head_output.unflatten(2, (group, head)).flatten(1, 2).transpose(1, 2)  # [B, head, heads, D]

    def by_block(part: Tensor) -> Tensor:  # [B, kv heads, S, D] -> [B, kv heads, blocks, head + block, D]
        shared = part[:, :, None, :head].expand(-1, -1, blocks, -1, -1)
        return torch.cat([shared, part[:, :, head:].unflatten(2, (blocks, block))], dim=3)

    keys, values = by_block(k), by_block(v)
    block_q = grouped_q[:, :, :, head:].unflatten(3, (blocks, block)).transpose(2, 3)
    # block_q: [B, kv heads, blocks, group, block, D]
    scores = block_q.flatten(3, 4) @ keys.transpose(3, 4)  # [B, kv heads, blocks, group * block, head + block]
    mask = F.pad(bias, (head, 0))[:, None, :, None]  # [B, 1, blocks, 1, block, head + block]
    weights = (scores.unflatten(3, (group, block)) + mask).softmax(-1).to(v.dtype)
    block_output = (weights.flatten(3, 4) @ values).unflatten(3, (group, block))
    # block_output: [B, kv heads, blocks, group, block, D]
    block_output = block_output.permute(0, 2, 4, 1, 3, 5).reshape(batch, blocks * block, kv_heads * group, size)

    x = x + attention.o_proj(torch.cat([head_output, block_output], dim=1).flatten(2))
    return x + layer.mlp(layer.post_attention_layernorm(x)), q, k, v


@cache
def _compiled() -> tuple[Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]], Callable[..., Tensor]]:
    """Return compiled versions of _layer and _norm, shared by all layers of a shape."""
    return torch.compile(_layer, dynamic=False), torch.compile(_norm, dynamic=False)
