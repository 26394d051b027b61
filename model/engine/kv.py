"""The cache of keys and values. Knows tensors and lengths only."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256  # capacity grows in these


class KVCache:
    """Keys and values of all layers for a batch, with room ahead, so that appending a token copies nothing.

    length is what all layers hold; a forward pass puts into every layer first and then advances it.
    """

    def __init__(self, layers: int, capacity: int = BLOCK) -> None:
        self.length = 0
        self._capacity = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, heads, S, D] behind length; returns views of all [B, heads, length + S, D]."""
        end = self.length + keys.shape[2]
        old_keys, old_values = self._keys[layer], self._values[layer]
        if old_keys is None or old_values is None or old_keys.shape[2] < end:
            self._capacity = max(self._capacity, -(-end // BLOCK) * BLOCK)
            if old_keys is not None and self._capacity < 2 * old_keys.shape[2]:
                self._capacity = 2 * old_keys.shape[2]
            old_keys = self._grown(old_keys, keys)
            old_values = self._grown(old_values, values)
            self._keys[layer], self._values[layer] = old_keys, old_values
        old_keys[:, :, self.length : end] = keys
        old_values[:, :, self.length : end] = values
        return old_keys[:, :, :end], old_values[:, :, :end]

    def _grown(self, old: Tensor | None, like: Tensor) -> Tensor:
        batch, heads, _, size = like.shape
        new = torch.empty(batch, heads, self._capacity, size, dtype=like.dtype, device=like.device)
        if old is not None:
            new[:, :, : self.length] = old[:, :, : self.length]
        return new
