"""Pictures that were seen before are not encoded again. Knows embeddings by key; knows no pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

BUDGET_BYTES = 512 << 20  # of embeddings: some 25 full-HD pictures of a 3B model in float32


class VisionCache:
    """Embeddings by key, the least recently used forgotten first when they exceed budget_bytes.

    A key stands for raw bytes, size, pixel limits and the weights' dtype: whatever the embeddings depend on.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self.bytes = self.hits = self.misses = 0
        self._held: OrderedDict[str, Tensor] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def get(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """The embeddings of a key, made if they are not there. One picture larger than the budget is not kept."""
        if key in self._held:
            self.hits += 1
            self._held.move_to_end(key)
            return self._held[key]
        self.misses += 1
        made = make()
        size = made.numel() * made.element_size()
        if size <= self.budget_bytes:
            self._held[key] = made
            self.bytes += size
        while self.bytes > self.budget_bytes:
            _, oldest = self._held.popitem(last=False)
            self.bytes -= oldest.numel() * oldest.element_size()
        return made

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()
        self.bytes = 0
