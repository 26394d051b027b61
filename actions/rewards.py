"""The threshold from which a reward counts as success."""

from __future__ import annotations

SUCCESS_THRESHOLD = 1 - 1e-9  # rewards are floats: a sum that should be 1 may fall short by rounding


def is_success(reward: float) -> bool:
    """Return whether `reward` counts as success."""
    return reward >= SUCCESS_THRESHOLD
