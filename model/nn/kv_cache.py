"""The key-value cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 256  # capacity is a multiple of this


@dataclass(frozen=True)
class LayerState:
    """What a recurrent layer keeps of all tokens so far; its tensors are never changed in place."""

    convolution: Tensor  # [B, channels, kernel size - 1]: inputs of the convolution at the last tokens
    recurrent: Tensor  # float32 [B, heads, Dk, Dv]


@dataclass(frozen=True)
class CacheSnapshot:
    """A length of a cache, and the states that its recurrent layers had at that length."""

    length: int
    states: tuple[LayerState | None, ...]  # None for layers with attention

    @property
    def bytes(self) -> int:
        """Memory of the states."""
        tensors = [tensor for state in self.states if state for tensor in (state.convolution, state.recurrent)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class KVCache:
    """Keys and values of all layers for a batch, with spare capacity so that appending a token copies nothing.

    A forward pass appends to every layer first and advances `length` afterwards. While the capacity of a layer grows,
    its old tensors and its new ones exist side by side. A recurrent layer has a state instead, which cannot be cut
    back: `restore` returns to a length of which there is a snapshot.

    Args:
        layers: Number of decoder layers.
        capacity: Tokens to allocate at first.
        limit: Most tokens the capacity grows to, 0 for no limit; the caller must not append more.
    """

    def __init__(self, layers: int, capacity: int = BLOCK, limit: int = 0) -> None:
        self.length = 0
        self.limit = limit
        self._capacity = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self.states: list[LayerState | None] = [None] * layers  # of recurrent layers

    @property
    def bytes(self) -> int:
        """Allocated memory, in use or not."""
        tensors = [tensor for tensor in (*self._keys, *self._values) if tensor is not None]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) + self.snapshot().bytes

    @property
    def capacity(self) -> int:
        """Tokens for which memory is allocated."""
        return self._capacity

    def full_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values with all capacity, [B, heads, capacity, D]; the layer must not be empty."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None
        assert values is not None
        return keys, values

    def reserve(self, count: int) -> int:
        """Make room for `count` more tokens in every layer in use; return a number that changes when memory moves."""
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            if keys is not None and values is not None and keys.shape[2] < self.length + count:
                self._grow(layer, self.length + count, keys, values)
        return 0 if self._keys[0] is None else self._keys[0].data_ptr()

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write [B, heads, S, D] at `length`; return views of all [B, heads, length + S, D]."""
        end = self.length + keys.shape[2]
        old_keys, old_values = self._keys[layer], self._values[layer]
        if old_keys is None or old_values is None or old_keys.shape[2] < end:
            old_keys, old_values = self._grow(layer, end, keys, values)
        old_keys[:, :, self.length : end] = keys
        old_values[:, :, self.length : end] = values
        return old_keys[:, :, :end], old_values[:, :, :end]

    def truncate(self, length: int) -> None:
        """Drop all but the first `length` tokens; the capacity stays.

        Raises:
            ValueError: The cache holds fewer tokens, or has recurrent layers and is not emptied.
        """
        if not 0 <= length <= self.length or (0 < length < self.length and any(self.states)):
            raise ValueError(f"cannot truncate a cache of {self.length} tokens to {length}")
        if not length:
            self.states = [None] * len(self.states)
        self.length = length

    def snapshot(self) -> CacheSnapshot:
        """Return the present length and states; nothing is copied."""
        return CacheSnapshot(self.length, tuple(self.states))

    def restore(self, snapshot: CacheSnapshot) -> None:
        """Return to a snapshot of this cache; keys and values before its length must not have changed since.

        Raises:
            ValueError: The cache holds fewer tokens.
        """
        if snapshot.length > self.length:
            raise ValueError(f"cannot restore a cache of {self.length} tokens to {snapshot.length}")
        self.length, self.states = snapshot.length, list(snapshot.states)

    def _grow(self, layer: int, end: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Enlarge a layer to at least `end` tokens; keys and values give shape, dtype and device."""
        old_keys, old_values = self._keys[layer], self._values[layer]
        self._capacity = max(self._capacity, -(-end // BLOCK) * BLOCK)
        if old_keys is not None and self._capacity < 2 * old_keys.shape[2]:
            self._capacity = 2 * old_keys.shape[2]
        if self.limit:
            self._capacity = max(end, min(self._capacity, self.limit))
        new_keys, new_values = self._reallocated(old_keys, keys), self._reallocated(old_values, values)
        self._keys[layer], self._values[layer] = new_keys, new_values
        return new_keys, new_values

    def _reallocated(self, old: Tensor | None, like: Tensor) -> Tensor:
        batch, heads, _, size = like.shape
        new = torch.zeros(batch, heads, self._capacity, size, dtype=like.dtype, device=like.device)
        if old is not None:
            new[:, :, : self.length] = old[:, :, : self.length]
        return new
