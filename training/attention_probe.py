"""Attention of single decoder heads over a batch, and losses on where they attend.

Attention is recomputed from the queries and keys of a forward pass, for the probed tokens alone, so no pass has to keep
its attention weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.packed_attention import ForwardTrace
from training.packing import PackedBatch

Head = tuple[int, int]  # layer, attention head


class AttentionProbe:
    """The attention of a model's heads over a batch, computed from the trace of its forward pass."""

    def __init__(self, batch: PackedBatch, trace: ForwardTrace) -> None:
        self.packer, self.batch, self.trace = batch.packer, batch, trace

    def to_cells(self, heads: Sequence[Head], tokens: Tensor, target_cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the attention to image cells, and its accuracy, both as means over the heads.

        Args:
            heads: The probed heads.
            tokens: (row, token) of each query [n, 2].
            target_cells: Target distribution over the cells [n, cells]. A query is right if its strongest cell is in
            it.
        """
        loss = accuracy = target_cells.new_zeros(())
        first = self.packer.first_cell
        for head in heads if len(tokens) else ():
            log_attention = self.log_attention(head, tokens)[:, first : first + self.packer.cells]
            loss = loss - (target_cells * log_attention).sum(-1).mean() / len(heads)
            accuracy = accuracy + cell_accuracy(log_attention, target_cells) / len(heads)
        return loss, accuracy.detach()

    def to_tokens(self, heads: Sequence[Head], tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same for attention to earlier tokens; tokens: (row, token, earlier token) [n, 3]."""
        loss = accuracy = self.batch.target_cells.new_zeros(())
        for head in heads if len(tokens) else ():
            log_attention = self.log_attention(head, tokens[:, :2])
            targets = self.batch.layout.key_index(tokens[:, 2])
            loss = loss + F.nll_loss(log_attention, targets) / len(heads)
            accuracy = accuracy + (log_attention.argmax(-1) == targets).float().mean() / len(heads)
        return loss, accuracy.detach()

    def head_outputs(self, heads: Sequence[Head], tokens: Tensor, projections: Sequence[Tensor]) -> Tensor:
        """Return the summed contribution of heads to the residual stream at tokens [n, C].

        Args:
            heads: The probed heads.
            tokens: (row, token) of each query [n, 2].
            projections: The output projection of each head's layer [C, heads * D].
        """
        outputs: list[Tensor] = []
        for head, projection in zip(heads, projections, strict=True):
            layer, number = head
            values = self.trace.values[layer]
            group, size = number * values.shape[1] // self.trace.queries[layer].shape[1], values.shape[-1]
            block = self.batch.layout.block_index(*tokens.unbind(1))
            attended = segment_matmul(
                block,
                self.log_attention(head, tokens).exp().to(values.dtype),
                self.batch.layout.keys_by_block(values[:, group]),
            )
            outputs.append(attended @ projection[:, number * size : (number + 1) * size].T)
        return torch.stack(outputs).sum(0)

    def log_attention(self, head: Head, tokens: Tensor) -> Tensor:
        """Return the log attention of one head from tokens (row, token) to each key of a block: [n, head + block]."""
        layer, number = head
        layout, queries, keys = self.batch.layout, self.trace.queries[layer], self.trace.keys[layer]
        group = number * keys.shape[1] // queries.shape[1]
        row, token = tokens.unbind(1)
        q = queries[:, number][row, token]
        block = layout.block_index(row, token)
        scores = segment_scores(block, q, layout.keys_by_block(keys[:, group]))
        visible = self.batch.own.flatten(0, 1)[block, (token - layout.head) % layout.block]  # [n, block]
        return scores.float().masked_fill(F.pad(~visible, (layout.head, 0)), float("-inf")).log_softmax(-1)


def cell_accuracy(scores: Tensor, target_cells: Tensor) -> Tensor:
    """Return the fraction of queries whose highest-scoring cell has a positive target."""
    return target_cells.gather(1, scores.argmax(-1, keepdim=True)).gt(0).float().mean()


def segment_scores(segment: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """Return the products of each q [n, D] with the k [segments, S, D] of its segment [n, S]."""
    return segment_matmul(segment, q, k.transpose(1, 2))


def segment_matmul(segment: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """Return the product of each row of weights [n, S] with the x [segments, S, D] of its segment [n, D]."""
    order = segment.argsort(stable=True)
    counts = torch.bincount(segment, minlength=len(x))
    slot = torch.empty_like(segment)
    slot[order] = torch.arange(len(segment), device=segment.device) - (counts.cumsum(0) - counts)[segment[order]]
    padded = weights.new_zeros(len(x), int(counts.max()), weights.shape[-1]).index_put((segment, slot), weights)
    return (padded @ x)[segment, slot]
