"""YaRN: rotary frequencies for contexts longer than those that a checkpoint was trained on.

Frequencies that turn often within the trained context are kept, slow ones are divided by the factor, and those between
are blended; cos and sin are scaled. Source: arXiv 2309.00071, sections 3.2 to 3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class YarnScaling:
    """Parameters of YaRN, named as in `rope_scaling` of config.json.

    Args:
        factor: Ratio of the extended context to the trained one.
        original_max_position_embeddings: Tokens of the trained context.
        beta_fast: Frequencies with more turns in the trained context are kept.
        beta_slow: Frequencies with fewer turns in the trained context are divided by the factor.
        attention_factor: Scale of cos and sin.
        truncate: Round the bounds of the blended frequencies outwards to whole indices.
    """

    factor: float
    original_max_position_embeddings: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True

    @property
    def max_position_embeddings(self) -> int:
        """Tokens of the extended context."""
        return round(self.factor * self.original_max_position_embeddings)


def yarn_attention_factor(factor: float, mscale: float = 0.0, mscale_all_dim: float = 0.0) -> float:
    """Return the scale of cos and sin for a factor; `mscale` and `mscale_all_dim` count where both are set."""

    def scale(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    return scale(mscale) / scale(mscale_all_dim) if mscale and mscale_all_dim else scale(1.0)


def yarn_frequencies(frequencies: Tensor, theta: float, scaling: YarnScaling) -> Tensor:
    """Return the frequencies [D/2] of the extended context for those of the trained one."""
    import torch

    count = len(frequencies)

    def index(turns: float) -> float:
        """Return the index of the frequency that makes so many turns in the trained context."""
        wavelength = scaling.original_max_position_embeddings / (turns * 2 * math.pi)
        return count * math.log(wavelength) / math.log(theta)

    low, high = index(scaling.beta_fast), index(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * count - 1)
    if low == high:
        high += 0.001  # a step instead of a ramp
    indices = torch.arange(count, dtype=torch.float32, device=frequencies.device)
    interpolated = ((indices - low) / (high - low)).clamp(0, 1)
    return frequencies / scaling.factor * interpolated + frequencies * (1 - interpolated)
