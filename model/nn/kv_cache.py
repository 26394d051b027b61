"""The cache of keys and values. Knows tensors and lengths only."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256  # capacity grows in these


class KVCache:
    """Keys and values of all layers for a batch, with room ahead, so that appending a token copies nothing.

    length is what all layers hold; a forward pass puts into every layer first and then advances it. limit: a number of
    tokens that the room never grows beyond (0: none); whoever fills it keeps to it. While the room grows, what one
    layer had stands beside what it gets.
    """

    def __init__(self, layers: int, capacity: int = BLOCK, limit: int = 0) -> None:
        self.length = 0
        self.limit = limit
        self._capacity = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    @property
    def bytes(self) -> int:
        """What the room takes, filled or not."""
        held = [one for one in (*self._keys, *self._values) if one is not None]
        return sum(one.numel() * one.element_size() for one in held)

    @property
    def capacity(self) -> int:
        """Tokens that there is room for."""
        return self._capacity

    def full_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values with all their room, [B, heads, capacity, D]; once something was put there."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        return keys, values

    def reserve(self, count: int) -> int:
        """Have room for so many more in every layer that holds something; a number that changes when the room moves."""
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            if keys is not None and values is not None and keys.shape[2] < self.length + count:
                self._grow(layer, self.length + count, keys, values)
        return 0 if self._keys[0] is None else self._keys[0].data_ptr()

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, heads, S, D] behind length; returns views of all [B, heads, length + S, D]."""
        end = self.length + keys.shape[2]
        old_keys, old_values = self._keys[layer], self._values[layer]
        if old_keys is None or old_values is None or old_keys.shape[2] < end:
            old_keys, old_values = self._grow(layer, end, keys, values)
        old_keys[:, :, self.length : end] = keys
        old_values[:, :, self.length : end] = values
        return old_keys[:, :, :end], old_values[:, :, :end]

    def truncate(self, length: int) -> None:
        """Forget all behind the first `length` tokens; the room stays."""
        if not 0 <= length <= self.length:
            raise ValueError(f"a cache of {self.length} tokens cannot be cut to {length}")
        self.length = length

    def _grow(self, layer: int, end: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """More room for a layer whose tensors are like these."""
        old_keys, old_values = self._keys[layer], self._values[layer]
        self._capacity = max(self._capacity, -(-end // BLOCK) * BLOCK)
        if old_keys is not None and self._capacity < 2 * old_keys.shape[2]:
            self._capacity = 2 * old_keys.shape[2]
        if self.limit:
            self._capacity = max(end, min(self._capacity, self.limit))
        made = self._reallocated(old_keys, keys), self._reallocated(old_values, values)
        self._keys[layer], self._values[layer] = made
        return made

    def _reallocated(self, old: Tensor | None, like: Tensor) -> Tensor:
        batch, heads, _, size = like.shape
        new = torch.zeros(batch, heads, self._capacity, size, dtype=like.dtype, device=like.device)
        if old is not None:
            new[:, :, : self.length] = old[:, :, : self.length]
        return new
