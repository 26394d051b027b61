"""A cache of image embeddings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

BUDGET_BYTES = 512 << 20  # about 25 full-HD images of a 3B model in float32


class VisionCache:
    """Embeddings by key, with the least recently used evicted first.

    A key must cover all that the embeddings depend on: pixels, size, and the weights' dtype and device.

    Attributes:
        bytes: Memory of the cached embeddings.
        hits: Requests served from the cache.
        misses: Requests that had to be computed.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self.bytes = self.hits = self.misses = 0
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._embeddings

    def get(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """Return the embeddings of a key, calling `make` if missing; an image larger than the budget is not cached."""
        if key in self._embeddings:
            self.hits += 1
            self._embeddings.move_to_end(key)
            return self._embeddings[key]
        self.misses += 1
        embeddings = make()
        size = embeddings.numel() * embeddings.element_size()
        if size <= self.budget_bytes:
            self._embeddings[key] = embeddings
            self.bytes += size
        while self.bytes > self.budget_bytes:
            _, oldest = self._embeddings.popitem(last=False)
            self.bytes -= oldest.numel() * oldest.element_size()
        return embeddings

    def clear(self) -> None:
        """Drop all embeddings."""
        self._embeddings.clear()
        self.bytes = 0
