"""The decoder as inference wants it: fewer, wider products, and no work that training alone needs. Knows tensors only.

The weights of q, k and v become rows of one tensor, those of gate and up of another; the model's own parameters stay,
under their names, as views of them, so nothing is held twice and a state dict is what it was. The result is that of
model.text.Decoder up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.attention import causal_attention
from model.nn.kv_cache import KVCache
from model.nn.quantization import Int8Linear
from model.nn.rope import text_cos_sin
from model.nn.text_decoder import DecoderLayer, TextDecoder
from model.nn.vision_encoder import RMSNorm

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Parts:
    """One layer. qkv: [..., C] -> [..., (heads + 2 kv heads) * D]; gate_up: [..., C] -> [..., 2 * width]."""

    first: RMSNorm
    qkv: Product
    o: Product
    second: RMSNorm
    gate_up: Product
    down: Product


class FusedDecoder:
    """A decoder's layers for one context, batch 1. Called like the decoder itself, with a cache and without a mask."""

    def __init__(self, decoder: TextDecoder) -> None:
        self.decoder, self.config = decoder, decoder.config
        self._homes: list[tuple[Tensor, int]] = []  # a parameter, and where its numbers lay when it was joined
        self.layers = [self._parts(layer) for layer in decoder.layers if isinstance(layer, DecoderLayer)]
        self.heads = self.config.num_attention_heads
        self.kv_heads = self.config.num_key_value_heads

    @property
    def stale(self) -> bool:
        """Whether the model's weights have moved since, to another dtype, say; then a new one must be made."""
        return any(one.data_ptr() != home for one, home in self._homes)

    def __call__(self, embeddings: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """embeddings [1, S, C], positions [3, 1, S] -> hidden states [1, S, C], behind all that the cache holds."""
        config, length = self.config, embeddings.shape[1]
        cos, sin = text_cos_sin(positions, config.head_dim, config.mrope_section, config.rope_theta, embeddings.dtype)
        x, cos, sin = embeddings[0], cos[0][:, None], signed(sin[0])[:, None]  # [S, C], [S, 1, D]

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.append(index, k.transpose(0, 1)[None], v.transpose(0, 1)[None])
            return causal_attention(q.transpose(0, 1)[None], keys, values)[0].transpose(0, 1)

        x = self.run(x, cos, sin, attend)
        cache.length += length
        return x[None]

    def run(
        self, x: Tensor, cos: Tensor, sin: Tensor, attend: Callable[[int, Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Hidden states [S, C]; cos and signed sin [S, 1, D]; attend(layer, q, k, v), each [S, heads, D] -> like q."""
        length, size = len(x), self.config.head_dim
        turned = self.heads + self.kv_heads
        for index, layer in enumerate(self.layers):
            qkv = layer.qkv(normed(layer.first, x)).view(length, -1, size)
            qk = qkv[:, :turned]
            near, far = qk.chunk(2, dim=-1)
            qk = (qk * cos).add_(torch.cat([far, near], dim=-1).mul_(sin))
            out = attend(index, qk[:, : self.heads], qk[:, self.heads :], qkv[:, turned:])
            x = x + layer.o(out.reshape(length, -1))
            gate, up = layer.gate_up(normed(layer.second, x)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate).mul_(up))
        return normed(self.decoder.norm, x)

    def _parts(self, layer: DecoderLayer) -> _Parts:
        attention, mlp = layer.self_attn, layer.mlp
        return _Parts(
            layer.input_layernorm,
            self._joined([attention.q_proj, attention.k_proj, attention.v_proj]),
            attention.o_proj,
            layer.post_attention_layernorm,
            self._joined([mlp.gate_proj, mlp.up_proj]),
            mlp.down_proj,
        )

    def _joined(self, products: Sequence[nn.Module]) -> Product:
        """Several products of one input as one, their results side by side."""
        if all(type(one) is nn.Linear for one in products):
            weight = self._rows(products, "weight", by_columns=True)
            bias = None if products[0].bias is None else self._rows(products, "bias")
            return lambda x: F.linear(x, weight, bias)
        if all(isinstance(one, Int8Linear) for one in products):
            parts = [self._rows(products, name) for name in ("weight", "scales")]
            return Int8Linear(parts[0], parts[1], None if products[0].bias is None else self._rows(products, "bias"))
        return lambda x: torch.cat([one(x) for one in products], dim=-1)

    def _rows(self, owners: Sequence[nn.Module], name: str, by_columns: bool = False) -> Tensor:
        """The owners' tensors of that name as one, of which theirs become views.

        by_columns: in float32 on the CPU it lies in memory column by column: one row is multiplied up to twice as fast
        so, and many are no slower. In half precision it is the other way round.
        """
        tensors: list[Tensor] = [getattr(one, name) for one in owners]
        whole = torch.cat([one.detach() for one in tensors])
        if by_columns and whole.dtype == torch.float32 and whole.device.type == "cpu":
            whole = whole.t().contiguous().t()
        for tensor, piece in zip(tensors, whole.split([len(one) for one in tensors]), strict=True):
            tensor.data = piece
            self._homes.append((tensor, piece.data_ptr()))
        return whole


_MADE = "_fused"  # where a decoder keeps it: all contexts of a model share one, or each would move its weights again


def fused(decoder: TextDecoder) -> FusedDecoder | None:
    """The decoder fused, made when it is first asked for; None for one in training: its weights stay apart."""
    if any(one.requires_grad for one in decoder.parameters()):
        return None
    made: FusedDecoder | None = decoder.__dict__.get(_MADE)
    if made is None or made.decoder is not decoder or made.stale:
        with torch.inference_mode(False), torch.no_grad():
            made = FusedDecoder(decoder)
        decoder.__dict__[_MADE] = made
    return made


def normed(norm: RMSNorm, x: Tensor) -> Tensor:
    """The norm in one pass where its rounding is the same."""
    if x.dtype == torch.float32:
        return F.rms_norm(x, x.shape[-1:], norm.weight, norm.eps)
    return norm(x)


def signed(sin: Tensor) -> Tensor:
    """sin [..., D] with its first half negated: what the halves of a head, exchanged, are multiplied by."""
    near, far = sin.chunk(2, dim=-1)
    return torch.cat([-near, far], dim=-1)
