"""Which earlier steps, and which of their pictures, the model is shown. Knows steps; knows no text and no model.

An engine can keep what it computed for a prompt as far as the next one begins with the same tokens.
So history is append-only: from one step to the next the shown list only grows at its end, and what was shown with a
picture keeps it. A list cannot grow for ever, and dropping its oldest entry at every step would change the beginning
every time; so it is cut in blocks: it grows to its limit, then half of the limit goes at once, and it grows again.

    history_steps = 4, step by step:  0 | 01 | 012 | 0123 | 234 | 2345 | 456 | 4567 | ...

What is shown depends on the number of steps alone, so a prompt can be rebuilt from a trace and the two settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actions import Step, UsageError
from model.dialects.base import HistoryStep


@dataclass(frozen=True)
class HistoryWindow:
    """history_steps: earlier steps shown at most; pictures: of how many of these the picture is shown too, at most.

    The present screen is always shown and counts as neither.
    """

    history_steps: int
    pictures: int

    def __post_init__(self) -> None:
        if self.history_steps < 0 or self.pictures < 0:
            raise UsageError(
                f"history_steps and pictures must be 0 or more, not {self.history_steps} and {self.pictures}"
            )

    def shrink(self) -> HistoryWindow | None:
        """Half the pictures, then none, then half the steps, then none; None when there is nothing to leave out."""
        if self.pictures:
            return HistoryWindow(self.history_steps, self.pictures // 2)
        return HistoryWindow(self.history_steps // 2, 0) if self.history_steps else None

    def select(self, steps: Sequence[Step]) -> tuple[HistoryStep, ...]:
        """The steps to show, oldest first, each with or without its picture."""
        first = evicted_count(len(steps), self.history_steps)
        first_picture = evicted_count(
            len(steps), min(self.pictures, self.history_steps)
        )  # or it would cut at times of its own
        return tuple(HistoryStep(step, first + n >= first_picture) for n, step in enumerate(steps[first:]))


def evicted_count(count: int, limit: int) -> int:
    """How many of the oldest of count entries are left out, so that at most limit stay: 0, or whole blocks of them."""
    if count <= limit:
        return 0
    block = max(1, (limit + 1) // 2)
    return -((limit - count) // block) * block
