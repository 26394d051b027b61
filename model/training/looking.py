"""Where heads of the decoder's attention look, and what it costs that they look elsewhere. Knows batches and layers.

A head's attention is computed once more from what its layer reads, for the tokens that are asked alone: the model's own
path stays as it is, with no weights of attention kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model.qwen25vl import Qwen25VL
from model.rope import rotate, text_rotary
from model.text import Layer
from model.training.batches import Batch, Packer


def layer_of(model: Qwen25VL, index: int) -> Layer:
    layer = model.model.layers[index]
    assert isinstance(layer, Layer)
    return layer


def looking(
    model: Qwen25VL,
    packer: Packer,
    heads: Sequence[tuple[int, int]],
    read: Mapping[int, Tensor],
    batch: Batch,
    looks: Tensor,
    wanted: Tensor,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the attention of heads with the wanted cells, and how often the strongest cell is one of them,
    each a mean over the heads. read: what the attention of each layer reads."""
    loss = right = wanted.new_zeros(())
    if not len(looks):
        return loss, right
    for head in heads:
        spread = attention(model, head, read[head[0]], batch, looks)
        spread = spread[:, packer.first_cell : packer.first_cell + packer.cells]
        loss = loss - (wanted * spread).sum(-1).mean() / len(heads)
        right = right + hit(spread, wanted) / len(heads)
    return loss, right.detach()


def looking_back(
    model: Qwen25VL, heads: Sequence[tuple[int, int]], read: Mapping[int, Tensor], batch: Batch, looks: Tensor
) -> tuple[Tensor, Tensor]:
    """The same for (picture, token, earlier token): the attention of heads with the earlier token."""
    loss = right = batch.wanted.new_zeros(())
    for head in heads if len(looks) else ():
        spread = attention(model, head, read[head[0]], batch, looks[:, :2])
        loss = loss + F.nll_loss(spread, looks[:, 2]) / len(heads)
        right = right + (spread.argmax(-1) == looks[:, 2]).float().mean() / len(heads)
    return loss, right.detach()


def hit(spread: Tensor, wanted: Tensor) -> Tensor:
    """How often the strongest cell is a wanted one."""
    return wanted.gather(1, spread.argmax(-1, keepdim=True)).gt(0).float().mean()


def by_row(row: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """Products of each q [looks, D] with the k [B, S, D] of its row -> [looks, S]; looks lie row by row."""
    counts = torch.bincount(row, minlength=len(k))
    slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    padded = q.new_zeros(len(k), int(counts.max()), q.shape[-1]).index_put((row, slot), q)
    return (padded @ k.transpose(1, 2))[row, slot]


def attention(model: Qwen25VL, where: tuple[int, int], x: Tensor, batch: Batch, looks: Tensor) -> Tensor:
    """Logarithms of how much tokens (picture, token) look at each token of their row [looks, S], by a layer's head."""
    config = model.config.text
    layer, head = where
    own = layer_of(model, layer).self_attn
    size = config.head_dim
    group = head * config.num_key_value_heads // config.num_attention_heads
    cos, sin = text_rotary(batch.positions, size, config.mrope_section, config.rope_theta, x.dtype)
    of_q, of_k = slice(head * size, (head + 1) * size), slice(group * size, (group + 1) * size)
    weight_q, bias_q = own.q_proj.weight[of_q], own.q_proj.bias[of_q]
    weight_k, bias_k = own.k_proj.weight[of_k], own.k_proj.bias[of_k]
    row, token = looks.unbind(1)
    q = rotate(F.linear(x[row, token], weight_q, bias_q), cos[row, token], sin[row, token])  # [looks, D]
    k = rotate(F.linear(x, weight_k, bias_k), cos, sin)  # [B, S, D]
    scores = by_row(row, q, k) / size**0.5  # [looks, S]
    return scores.float().masked_fill(~batch.mask[row, 0, token], float("-inf")).log_softmax(-1)
