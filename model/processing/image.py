"""Screenshots to patches: the size that an image is resized to, and its normalization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actions import UsageError

if TYPE_CHECKING:
    import torch

MEAN = (0.48145466, 0.4578275, 0.40821073)  # OPENAI_CLIP_MEAN, as in the official preprocessor_config.json
STD = (0.26862954, 0.26130258, 0.27577711)
TEMPORAL, MERGE = 2, 2
FACTOR = 14 * MERGE  # 28, the side of a merged patch of Qwen2.5-VL; image sides are multiples of it
MAX_RATIO = 200
CHUNK = 1024  # patches normalized at a time on the CPU, to stay in its cache


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Return the (height, width) that an image is resized to: multiples of `factor`, area in the limits, ratio kept.

    Source: transformers image_processing_qwen2_vl.py. Python's round, half to even, is part of the rule.

    Raises:
        UsageError: A side is zero, or the sides' ratio is above 200.
    """
    if min(height, width) < 1 or max(height, width) / min(height, width) > MAX_RATIO:
        raise UsageError(
            f"an image of {width}x{height} cannot be resized: sides must be positive, their ratio at most {MAX_RATIO}"
        )
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / beta / factor) * factor)
        new_width = max(factor, math.floor(width / beta / factor) * factor)
    elif new_height * new_width < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * beta / factor) * factor
        new_width = math.ceil(width * beta / factor) * factor
    return new_height, new_width


@dataclass(frozen=True)
class ImageLimits:
    """Pixel budget, patch size and normalization of a checkpoint's images.

    The defaults are those of Qwen2.5-VL's official preprocessor_config.json.
    """

    min_pixels: int = 56 * 56
    max_pixels: int = 16384 * 28 * 28
    factor: int = FACTOR
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    def __post_init__(self) -> None:
        if not 0 < self.min_pixels <= self.max_pixels:
            raise UsageError(
                f"a pixel budget needs 0 < min_pixels <= max_pixels, not {self.min_pixels} and {self.max_pixels}"
            )

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.factor // MERGE

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that a screenshot of that size is resized to."""
        new_height, new_width = smart_resize(height, width, self.factor, self.min_pixels, self.max_pixels)
        return new_width, new_height


HALF = (0.5, 0.5, 0.5)
DEFAULT_LIMITS: dict[str, ImageLimits] = {  # by model_type, where they differ from ImageLimits()
    "qwen3_vl": ImageLimits(256 * 256, 4096 * 4096, factor=32, mean=HALF, std=HALF),
}
DEFAULT_LIMITS |= dict.fromkeys(("qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), DEFAULT_LIMITS["qwen3_vl"])


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize uint8 [H, W, 3] to [height, width, 3], bicubic as in PIL; return the same array where the size fits."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def patchify(
    pixels: np.ndarray, limits: ImageLimits, device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Resize and normalize an image, and cut it into patches.

    Args:
        pixels: uint8 [H, W, 3].
        limits: Pixel budget.
        device: Where the patches are computed.

    Returns:
        Patches float32 [gh * gw, 1176] in Qwen2.5-VL, with columns in the order channel, time, row, column; the image
        fills both time slices. Rows run merged patch by merged patch (2x2). And the grid (1, gh, gw) in patches.
    """
    patches, grid = patchify_frame(pixels, limits, device)
    return patches.view(-1, 3, 1, limits.patch**2).expand(-1, -1, TEMPORAL, -1).flatten(1), grid


def patchify_frame(
    pixels: np.ndarray, limits: ImageLimits, device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Return the same as `patchify` with a single time slice: patches float32 [gh * gw, 588] in Qwen2.5-VL."""
    width, height = limits.resized(pixels.shape[1], pixels.shape[0])
    grid = 1, height // limits.patch, width // limits.patch
    return _normalize(resize(pixels, width, height)[None], 1, limits, device), grid


def frames_to_patches(
    frames: np.ndarray, device: str | torch.device = "cpu", limits: ImageLimits = ImageLimits()
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Cut frames uint8 [T, H, W, 3], with sides that are multiples of `limits.factor`, into patches.

    An odd last frame is repeated. Bytes are transferred to the device and normalized there in float32.

    Returns:
        Patches float32 [t * gh * gw, 1176] in Qwen2.5-VL, and the grid (t, gh, gw).
    """
    count, height, width, _ = frames.shape
    if count % TEMPORAL:
        frames = np.concatenate([frames, np.repeat(frames[-1:], TEMPORAL - count % TEMPORAL, axis=0)])
    grid = len(frames) // TEMPORAL, height // limits.patch, width // limits.patch
    return _normalize(frames, TEMPORAL, limits, device), grid


def _normalize(frames: np.ndarray, temporal: int, limits: ImageLimits, device: str | torch.device) -> torch.Tensor:
    """Return normalized float32 patches of `temporal` frames each, of frames uint8 [T, H, W, 3].

    Bytes are reordered by numpy before the conversion: numpy is many times faster at it than torch, and bytes are four
    times faster than floats.
    """
    import torch

    count, height, width, _ = frames.shape
    side = limits.patch
    t, rows, columns = count // temporal, height // limits.factor, width // limits.factor
    blocks = frames.reshape(t, temporal, rows, MERGE, side, columns, MERGE, side, 3)
    # t, merged row, merged column, row and column in it, channel, time, row and column in the patch
    by_patch = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    raw = torch.from_numpy(np.array(by_patch, order="C", copy=True)).to(device).view(-1, 3, temporal * side**2)
    mean = torch.tensor(limits.mean, device=raw.device)[:, None] * 255
    std = torch.tensor(limits.std, device=raw.device)[:, None] * 255
    if raw.device.type != "cpu":
        return raw.float().sub_(mean).div_(std).flatten(1)
    values = torch.from_numpy(
        np.empty(raw.shape, np.float32)
    )  # numpy requests huge pages, which are faster to allocate
    for part, raw_part in zip(values.split(CHUNK), raw.split(CHUNK), strict=True):
        part.copy_(raw_part).sub_(mean).div_(std)
    return values.flatten(1)
