"""Where heads of the decoder's attention look, and what it costs that they look elsewhere. Knows batches and layers.

A head's attention is computed from the queries and keys of a pass, for the tokens that are asked alone: no pass keeps
its weights of attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.packed_attention import ForwardTrace
from training.packing import Batch

Head = tuple[int, int]  # a layer, and which of its heads


class AttentionProbe:
    """The attention of a model's heads over a batch, from what a pass over it left."""

    def __init__(self, batch: Batch, trace: ForwardTrace) -> None:
        self.packer, self.batch, self.trace = batch.packer, batch, trace

    def at_cells(self, heads: Sequence[Head], looks: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """For (picture, token) of questions: cross-entropy of the attention of heads with the wanted cells
        [looks, cells], and how often the strongest cell is one of them, each a mean over the heads."""
        loss = right = wanted.new_zeros(())
        first = self.packer.first_cell
        for head in heads if len(looks) else ():
            spread = self.attention(head, looks)[:, first : first + self.packer.cells]
            loss = loss - (wanted * spread).sum(-1).mean() / len(heads)
            right = right + hit(spread, wanted) / len(heads)
        return loss, right.detach()

    def back(self, heads: Sequence[Head], looks: Tensor) -> tuple[Tensor, Tensor]:
        """The same for (picture, token, earlier token): the attention of heads with the earlier token."""
        loss = right = self.batch.wanted.new_zeros(())
        for head in heads if len(looks) else ():
            spread, earlier = self.attention(head, looks[:, :2]), self.batch.rows.key_of(looks[:, 2])
            loss = loss + F.nll_loss(spread, earlier) / len(heads)
            right = right + (spread.argmax(-1) == earlier).float().mean() / len(heads)
        return loss, right.detach()

    def taken(self, heads: Sequence[Head], looks: Tensor, projections: Sequence[Tensor]) -> Tensor:
        """What heads bring to tokens (picture, token) of questions from where they look, summed as it is added to the
        states there [looks, C]; projections: of each head's layer, from all its heads [C, heads * D]."""
        found: list[Tensor] = []
        for head, projection in zip(heads, projections, strict=True):
            layer, number = head
            values = self.trace.values[layer]
            group, size = number * values.shape[1] // self.trace.queries[layer].shape[1], values.shape[-1]
            block = self.batch.rows.block_of(*looks.unbind(1))
            seen = segment_matmul(
                block, self.attention(head, looks).exp().to(values.dtype), self.batch.rows.keys(values[:, group])
            )
            found.append(seen @ projection[:, number * size : (number + 1) * size].T)
        return torch.stack(found).sum(0)

    def attention(self, head: Head, looks: Tensor) -> Tensor:
        """Logarithms of how much tokens (picture, token) of questions look at each key of their block
        [looks, head + block], by one head."""
        layer, number = head
        rows, queries, keys = self.batch.rows, self.trace.queries[layer], self.trace.keys[layer]
        group = number * keys.shape[1] // queries.shape[1]
        row, token = looks.unbind(1)
        q = queries[:, number][row, token]
        block = rows.block_of(row, token)
        scores = by_row(block, q, rows.keys(keys[:, group]))
        seen = self.batch.own.flatten(0, 1)[block, (token - rows.head) % rows.block]  # [looks, block]
        return scores.float().masked_fill(F.pad(~seen, (rows.head, 0)), float("-inf")).log_softmax(-1)


def hit(spread: Tensor, wanted: Tensor) -> Tensor:
    """How often the strongest cell is a wanted one."""
    return wanted.gather(1, spread.argmax(-1, keepdim=True)).gt(0).float().mean()


def by_row(row: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """Products of each q [looks, D] with the k [R, S, D] of its row -> [looks, S]."""
    return segment_matmul(row, q, k.transpose(1, 2))


def segment_matmul(row: Tensor, share: Tensor, x: Tensor) -> Tensor:
    """Products of each share [looks, S] with the x [R, S, D] of its row -> [looks, D]."""
    order = row.argsort(stable=True)
    counts = torch.bincount(row, minlength=len(x))
    slot = torch.empty_like(row)
    slot[order] = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
    padded = share.new_zeros(len(x), int(counts.max()), share.shape[-1]).index_put((row, slot), share)
    return (padded @ x)[row, slot]
