"""How questions share a picture: a head of tokens, then blocks of questions, and the decoder over them. Knows where
tokens lie and what may look where; knows no words and no losses.

Every token behind the head sees the head and, of its own block, what its question said before. So attention is computed
block by block, over the head and one block, and not over the whole row: its cost grows with the number of questions and
not with its square. Rows of one shape can be compiled whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.rope import apply_rotary, text_cos_sin
from model.nn.text_decoder import DecoderLayer, TextDecoder


@dataclass(frozen=True)
class PackedLayout:
    """Tokens of a row: first the head, then blocks of so many tokens each."""

    head: int
    block: int
    blocks: int

    @property
    def length(self) -> int:
        return self.head + self.block * self.blocks

    def keys(self, x: Tensor) -> Tensor:
        """[B, length, ...] -> what each block may look at [B * blocks, head + block, ...]: the head, and itself."""
        head = x[:, None, : self.head].expand(-1, self.blocks, *x[:, : self.head].shape[1:])
        own = x[:, self.head :].unflatten(1, (self.blocks, self.block))
        return torch.cat([head, own], dim=2).flatten(0, 1)

    def block_of(self, row: Tensor, token: Tensor) -> Tensor:
        """The number, among the blocks of all rows, of that in which tokens of rows lie; none of the head's."""
        return row * self.blocks + (token - self.head) // self.block

    def key_of(self, token: Tensor) -> Tensor:
        """The place of tokens among the keys of their own block."""
        return torch.where(token < self.head, token, self.head + (token - self.head) % self.block)


@dataclass(frozen=True)
class ForwardTrace:
    """What a pass left behind: of each layer its output [B, S, C], and of its attention the queries [B, heads, S, D],
    divided by the root of D, and the keys and values [B, kv heads, S, D]; out is the decoder's own output."""

    states: list[Tensor]
    queries: list[Tensor]
    keys: list[Tensor]
    values: list[Tensor]
    out: Tensor


def decode(
    decoder: TextDecoder, embeddings: Tensor, positions: Tensor, own: Tensor, rows: PackedLayout, compiled: bool
) -> ForwardTrace:
    """The decoder over embeddings [B, S, C] at positions [3, B, S].

    own: bool [B, blocks, block, block], True where a token of a block may look at another of it. The same as
    Decoder.forward behind a mask that says all this.
    """
    config = decoder.config
    cos, sin = text_cos_sin(positions, config.head_dim, config.mrope_section, config.rope_theta, embeddings.dtype)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    bias = torch.zeros(own.shape, device=own.device).masked_fill_(~own, float("-inf"))
    step, norm = _compiled() if compiled else (_layer, _norm)
    trace = ForwardTrace([], [], [], [], embeddings)
    x = embeddings
    for layer in decoder.layers:
        x, q, k, v = step(layer, x, cos, sin, bias, rows.head)
        for kept, one in zip((trace.states, trace.queries, trace.keys, trace.values), (x, q, k, v), strict=True):
            kept.append(one)
    return replace(trace, out=norm(decoder.norm, x))


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = norm(x)
    return out


def _layer(
    layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, head: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert isinstance(layer, DecoderLayer)
    own, read = layer.self_attn, layer.input_layernorm(x)
    batch, length, _ = x.shape
    blocks, block = bias.shape[1], bias.shape[2]
    q, k, v = (
        part.view(batch, length, -1, own.head_dim).transpose(1, 2)
        for part in (own.q_proj(read), own.k_proj(read), own.v_proj(read))
    )  # [B, heads, S, D]
    q, k = apply_rotary(q, cos, sin).to(v.dtype) * own.head_dim**-0.5, apply_rotary(k, cos, sin).to(v.dtype)
    kv_heads, size = k.shape[1], own.head_dim
    group = q.shape[1] // kv_heads
    asked = q.view(batch, kv_heads, group, length, size)

    causal = torch.full((head, head), float("-inf"), device=x.device).triu(1)
    scores = asked[:, :, :, :head].flatten(2, 3) @ k[:, :, :head].transpose(2, 3)  # [B, kv heads, group * head, head]
    seen = (scores.unflatten(2, (group, head)) + causal).softmax(-1).to(v.dtype)
    first = seen.flatten(2, 3) @ v[:, :, :head]
    first = first.unflatten(2, (group, head)).flatten(1, 2).transpose(1, 2)  # [B, head, heads, D]

    def spread(part: Tensor) -> Tensor:  # [B, kv heads, S, D] -> [B, kv heads, blocks, head + block, D]
        shared = part[:, :, None, :head].expand(-1, -1, blocks, -1, -1)
        return torch.cat([shared, part[:, :, head:].unflatten(2, (blocks, block))], dim=3)

    keys, values = spread(k), spread(v)
    asking = asked[:, :, :, head:].unflatten(3, (blocks, block)).transpose(2, 3)
    # asking: [B, kv heads, blocks, group, block, D]
    scores = asking.flatten(3, 4) @ keys.transpose(3, 4)  # [B, kv heads, blocks, group * block, head + block]
    mask = F.pad(bias, (head, 0))[:, None, :, None]  # [B, 1, blocks, 1, block, head + block]
    seen = (scores.unflatten(3, (group, block)) + mask).softmax(-1).to(v.dtype)
    rest = (seen.flatten(3, 4) @ values).unflatten(3, (group, block))  # [B, kv heads, blocks, group, block, D]
    rest = rest.permute(0, 2, 4, 1, 3, 5).reshape(batch, blocks * block, kv_heads * group, size)

    x = x + own.o_proj(torch.cat([first, rest], dim=1).flatten(2))
    return x + layer.mlp(layer.post_attention_layernorm(x)), q, k, v


@cache
def _compiled() -> tuple[Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]], Callable[..., Tensor]]:
    """_layer and _norm by torch's compiler, made once for all layers of a shape."""
    return torch.compile(_layer, dynamic=False), torch.compile(_norm, dynamic=False)
