"""Contexts of random ids and images for sessions; see helpers.parity."""

from __future__ import annotations

from torch import Tensor

from helpers import parity
from model.engine.cuda_graphs import VisionGraphs
from model.engine.session import ImageSegment, Segment, split_segments
from model.engine.vision_cache import VisionCache
from model.nn.qwen25vl import Qwen25VL


class ImageEncoder:
    """Encodes the images of `inputs` through a vision cache; `keys` are those that were computed."""

    def __init__(self, model: Qwen25VL, inputs: parity.ModelInputs) -> None:
        assert inputs.image_grid_thw is not None
        assert inputs.pixel_values is not None
        grids = [(1, int(h), int(w)) for _, h, w in inputs.image_grid_thw]
        patches = inputs.pixel_values.split([h * w for _, h, w in grids])
        self.images = [ImageSegment(f"image {n}", grid, grid[1] * grid[2] // 4) for n, grid in enumerate(grids)]
        self.patches = {image.key: part for image, part in zip(self.images, patches, strict=True)}
        self.encoder, self.cache, self.keys = VisionGraphs(model.visual), VisionCache(), list[str]()

    def __call__(self, image: ImageSegment) -> Tensor:
        def encode() -> Tensor:
            self.keys.append(image.key)
            return self.encoder(self.patches[image.key], image.grid)

        return self.cache.get(image.key, encode)

    def context(self, ids: list[int]) -> list[Segment]:
        """Return the segments of ids, as many of the images as they have."""
        count = sum(1 for before, token in zip([0, *ids], ids, strict=False) if token == parity.IMAGE != before)
        return split_segments(ids, parity.IMAGE, self.images[:count])
