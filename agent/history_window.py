"""HistoryWindow: which earlier steps, and which of their screenshots, are in the prompt.

The history is append-only, so that an engine can reuse the KV cache of the previous prompt: from one step to the next
the list only grows at its end, and a step shown with its screenshot keeps it. Dropping the oldest entry at every step
would change the beginning of every prompt, so entries are evicted in blocks: the list grows to its limit, then half of
the limit is evicted at once.

    steps = 4, step by step:  0 | 01 | 012 | 0123 | 234 | 2345 | 456 | 4567 | ...

The selection depends on the number of steps alone, so a prompt can be rebuilt from a trace and the two settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actions import Step, UsageError
from model.dialects.base import HistoryStep


@dataclass(frozen=True)
class HistoryWindow:
    """The limits of a prompt's history. The current screenshot is always shown and counts toward neither."""

    steps: int  # earlier steps in the prompt, at most
    images: int  # of these, how many with their screenshot, at most

    def __post_init__(self) -> None:
        if self.steps < 0 or self.images < 0:
            raise UsageError(f"history_steps and pictures must be 0 or more, not {self.steps} and {self.images}")

    def shrink(self) -> HistoryWindow | None:
        """Return a window with half the images, or with half the steps when it has no images; None at zero."""
        if self.images:
            return HistoryWindow(self.steps, self.images // 2)
        return HistoryWindow(self.steps // 2, 0) if self.steps else None

    def select(self, steps: Sequence[Step]) -> tuple[HistoryStep, ...]:
        """Return the steps to show, oldest first, each with or without its screenshot."""
        first = evicted_count(len(steps), self.steps)
        # limited by the steps, else images would be evicted at other times than steps
        first_image = evicted_count(len(steps), min(self.images, self.steps))
        return tuple(HistoryStep(step, first + index >= first_image) for index, step in enumerate(steps[first:]))


def evicted_count(count: int, limit: int) -> int:
    """Return how many of the oldest of `count` entries are evicted, in whole blocks, so that at most `limit` stay."""
    if count <= limit:
        return 0
    block = max(1, (limit + 1) // 2)
    return -((limit - count) // block) * block
