"""Weights quantized to FP8, block by block."""

from __future__ import annotations

import torch
from torch import Tensor


def quantize(weight: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return FP8 values, scales, and the weight that they stand for, block by block; 0 is the whole side."""
    rows, columns = (size or side for size, side in zip(block, weight.shape, strict=True))
    values, exact = torch.empty_like(weight, dtype=torch.float8_e4m3fn), torch.empty_like(weight)
    scales = torch.empty(-(-len(weight) // rows), -(-weight.shape[1] // columns))
    for i in range(len(scales)):
        for j in range(scales.shape[1]):
            part = (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
            scales[i, j] = weight[part].abs().max() / 448
            values[part] = (weight[part] / scales[i, j]).to(torch.float8_e4m3fn)
            exact[part] = values[part].float() * scales[i, j]
    return values, scales, exact
