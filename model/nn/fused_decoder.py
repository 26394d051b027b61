"""The text decoder with fused projections, for inference.

The weights of q, k and v become rows of one tensor, and those of gate and up of another. The model's own parameters
become views of them, so nothing is stored twice and the state dict is unchanged. The result equals that of TextDecoder
up to the order of summation.
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
from model.nn.rope import text_rotary
from model.nn.text_decoder import MLP, DecoderLayer, TextDecoder
from model.nn.vision_encoder import RMSNorm

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _FusedLayer:
    """The functions of one layer: qkv maps [..., C] to [..., (heads + 2 kv heads) * D], mlp to [..., C]."""

    first: RMSNorm
    qkv: Product
    qk_norms: tuple[RMSNorm, RMSNorm] | None  # of queries and of keys
    o: Product
    second: RMSNorm
    mlp: Product


class FusedDecoder:
    """The layers of a decoder for one context (batch 1); called like the decoder, with a cache and without a mask."""

    def __init__(self, decoder: TextDecoder) -> None:
        self.decoder, self.config = decoder, decoder.config
        self._addresses: list[tuple[Tensor, int]] = []  # each fused parameter and its data pointer after fusing
        self.layers = [self._fuse_layer(layer) for layer in decoder.layers if isinstance(layer, DecoderLayer)]
        self.heads = self.config.num_attention_heads
        self.kv_heads = self.config.num_key_value_heads

    @property
    def is_stale(self) -> bool:
        """Whether the model's weights have moved since, as to another dtype, so that they must be fused again."""
        return any(parameter.data_ptr() != address for parameter, address in self._addresses)

    def __call__(self, embeddings: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """Return hidden states [1, S, C] of embeddings at positions [3, 1, S], appended to the cache.

        Embeddings are [1, S, C], or wider with DeepStack features; see `TextDecoder.forward`.
        """
        config, length = self.config, embeddings.shape[1]
        cos, sin = text_rotary(config, positions, embeddings.dtype)
        cos, sin = cos[0][:, None], signed(sin[0])[:, None]  # [S, 1, D]
        x, *features = embeddings[0].split(config.hidden_size, dim=-1)  # [S, C]

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.append(index, k.transpose(0, 1)[None], v.transpose(0, 1)[None])
            return causal_attention(q.transpose(0, 1)[None], keys, values)[0].transpose(0, 1)

        x = self.run(x, cos, sin, attend, features)
        cache.length += length
        return x[None]

    def run(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        attend: Callable[[int, Tensor, Tensor, Tensor], Tensor],
        features: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return hidden states [S, C].

        Args:
            x: Embeddings [S, C].
            cos: [S, 1, D].
            sin: Signed sine [S, 1, D]; see `signed`.
            attend: Called as attend(layer, q, k, v) with [S, heads, D] each; returns the shape of q.
            features: DeepStack features [S, C], added to the outputs of the first layers.
        """
        length, size = len(x), self.config.head_dim
        rotated = self.heads + self.kv_heads
        for index, layer in enumerate(self.layers):
            qkv = layer.qkv(normed(layer.first, x)).view(length, -1, size)
            qk = qkv[:, :rotated]
            if layer.qk_norms is not None:
                parts = qk.split([self.heads, self.kv_heads], dim=1)
                qk = torch.cat([normed(norm, part) for norm, part in zip(layer.qk_norms, parts, strict=True)], dim=1)
            first, second = qk.chunk(2, dim=-1)
            qk = (qk * cos).add_(torch.cat([second, first], dim=-1).mul_(sin))
            out = attend(index, qk[:, : self.heads], qk[:, self.heads :], qkv[:, rotated:])
            x = x + layer.o(out.reshape(length, -1))
            x = x + layer.mlp(normed(layer.second, x))
            if index < len(features):
                x = x + features[index]
        return normed(self.decoder.norm, x)

    def _fuse_layer(self, layer: DecoderLayer) -> _FusedLayer:
        attention = layer.self_attn
        q_norm, k_norm = attention.q_norm, attention.k_norm
        return _FusedLayer(
            layer.input_layernorm,
            self._fuse([attention.q_proj, attention.k_proj, attention.v_proj]),
            None if q_norm is None or k_norm is None else (q_norm, k_norm),
            attention.o_proj,
            layer.post_attention_layernorm,
            self._fuse_mlp(layer.mlp) if isinstance(layer.mlp, MLP) else layer.mlp,
        )

    def _fuse_mlp(self, mlp: MLP) -> Product:
        gate_up, down = self._fuse([mlp.gate_proj, mlp.up_proj]), mlp.down_proj

        def product(x: Tensor) -> Tensor:
            gate, up = gate_up(x).chunk(2, dim=-1)
            return down(F.silu(gate).mul_(up))

        return product

    def _fuse(self, products: Sequence[nn.Module]) -> Product:
        """Return one function for several products of one input, with the results side by side."""
        if all(type(product) is nn.Linear for product in products):
            weight = self._stack_rows(products, "weight", by_columns=True)
            bias = None if products[0].bias is None else self._stack_rows(products, "bias")
            return lambda x: F.linear(x, weight, bias)
        if all(isinstance(product, Int8Linear) for product in products):
            parts = [self._stack_rows(products, name) for name in ("weight", "scales")]
            return Int8Linear(
                parts[0], parts[1], None if products[0].bias is None else self._stack_rows(products, "bias")
            )
        return lambda x: torch.cat([product(x) for product in products], dim=-1)

    def _stack_rows(self, owners: Sequence[nn.Module], name: str, by_columns: bool = False) -> Tensor:
        """Concatenate the owners' tensors of that name, and make each a view of the result.

        by_columns: store the result column by column in float32 on the CPU, where the product of one row is up to twice
        as fast then and that of many rows no slower. In half precision it is the other way round.
        """
        tensors: list[Tensor] = [getattr(item, name) for item in owners]
        whole = torch.cat([item.detach() for item in tensors])
        if by_columns and whole.dtype == torch.float32 and whole.device.type == "cpu":
            whole = whole.t().contiguous().t()
        for tensor, part in zip(tensors, whole.split([len(item) for item in tensors]), strict=True):
            tensor.data = part
            self._addresses.append((tensor, part.data_ptr()))
        return whole


_ATTRIBUTE = "_fused"  # of the decoder: all contexts of a model share one, else each would move its weights again


def fused(decoder: TextDecoder) -> FusedDecoder | None:
    """Return the fused decoder, made at the first call.

    None for one with recurrent layers, and for one in training, whose weights must stay apart.
    """
    if decoder.config.delta is not None or any(parameter.requires_grad for parameter in decoder.parameters()):
        return None
    instance: FusedDecoder | None = decoder.__dict__.get(_ATTRIBUTE)
    if instance is None or instance.decoder is not decoder or instance.is_stale:
        with torch.inference_mode(False), torch.no_grad():  # the views must also work in training
            instance = FusedDecoder(decoder)
        decoder.__dict__[_ATTRIBUTE] = instance
    return instance


def normed(norm: RMSNorm, x: Tensor) -> Tensor:
    """Apply an RMSNorm, in torch's fused kernel where its rounding is the same."""
    if x.dtype == torch.float32:
        return F.rms_norm(x, x.shape[-1:], norm.weight, norm.eps)
    return norm(x)


def signed(sin: Tensor) -> Tensor:
    """Return sin [..., D] with its first half negated, the factor of a head's exchanged halves."""
    first, second = sin.chunk(2, dim=-1)
    return torch.cat([-first, second], dim=-1)
