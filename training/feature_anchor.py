"""Keep the features of a vision encoder close to those of an earlier encoder."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.processing.image import frames_to_patches

FRAMES_PER_PASS = 30
MIN_RELATIVE_VARIANCE = 0.01  # smaller variances, relative to the mean one, are raised to about this

Frames = np.ndarray[Any, Any]  # uint8 [N, H, W, 3]


def encode_frames(visual: nn.Module, frames: Frames) -> Tensor:
    """Return the merged patch embeddings [B, cells, C] of frames [B, H, W, 3]."""
    patches, grid = frames_to_patches(np.repeat(frames, 2, axis=0))  # a still image fills both time slices
    device = next(visual.parameters()).device
    cells: Tensor = visual(patches.to(device), [grid])
    return cells.view(len(frames), -1, cells.shape[-1])


class FeatureAnchor:
    """A frozen copy of an encoder, and the distance of another encoder's features from its own.

    The distance is Mahalanobis': a difference counts relative to how much the features vary in its direction. A caret
    or
    a focus ring changes a feature little, but a decoder relies on it.

    Args:
        visual: The encoder to stay close to.
        frames: Pages [N, H, W, 3] from which the covariance of the features is estimated.
    """

    def __init__(self, visual: nn.Module, frames: Frames) -> None:
        self.visual = copy.deepcopy(visual).requires_grad_(False)
        starts = range(0, len(frames), FRAMES_PER_PASS)
        with torch.no_grad():
            parts = [encode_frames(self.visual, frames[start : start + FRAMES_PER_PASS]) for start in starts]
        variances, directions = torch.linalg.eigh(torch.cov(torch.cat(parts).flatten(0, 1).float().T))
        floor = MIN_RELATIVE_VARIANCE * variances.mean()
        self.scales = directions * (variances.clamp(min=0.0) + floor).rsqrt()

    def distance(self, cells: Tensor, frames: Frames) -> Tensor:
        """Return the mean squared distance of features [B, cells, C] of frames from the anchor's features.

        Equal features give 0; features of unrelated cells give about 2.
        """
        with torch.no_grad():
            anchor_cells = encode_frames(self.visual, frames)
        return ((cells - anchor_cells).float() @ self.scales).square().mean()
