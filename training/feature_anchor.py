"""Frames to cells, and how far an encoder has gone from what it was. Knows encoders; knows no data."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.processing.image import frames_to_patches

AT_ONCE = 30
FAINT = 0.01  # a direction in which cells vary by less than this share of the mean one counts no more than it would


def encode(visual: nn.Module, frames: np.ndarray[Any, Any]) -> Tensor:
    """Frames [B, H, W, 3] -> cell embeddings [B, cells, C]."""
    patches, grid = frames_to_patches(np.repeat(frames, 2, axis=0))  # a still picture fills both time slices
    device = next(visual.parameters()).device
    cells: Tensor = visual(patches.to(device), [grid])
    return cells.view(len(frames), -1, cells.shape[-1])


class FeatureAnchor:
    """An encoder as it was, for another to stay near it, in what tells its cells apart.

    A caret or the frame of a field with the focus changes a cell little, and a decoder acts by it: so differences count
    in every direction by how much cells vary in it (after Mahalanobis). frames: pages to learn that from, [N, H, W, 3].
    """

    def __init__(self, visual: nn.Module, frames: np.ndarray[Any, Any]) -> None:
        self.visual = copy.deepcopy(visual).requires_grad_(False)
        with torch.no_grad():
            parts = [encode(self.visual, frames[start : start + AT_ONCE]) for start in range(0, len(frames), AT_ONCE)]
        spread, directions = torch.linalg.eigh(torch.cov(torch.cat(parts).flatten(0, 1).float().T))
        self.scales = directions * (spread.clamp(min=0.0) + FAINT * spread.mean()).rsqrt()

    def moved(self, cells: Tensor, frames: np.ndarray[Any, Any]) -> Tensor:
        """How far cells [B, cells, C] of those frames have gone: 0 is not at all, about 2 as far as to another cell."""
        with torch.no_grad():
            before = encode(self.visual, frames)
        return ((cells - before).float() @ self.scales).square().mean()
