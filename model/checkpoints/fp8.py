"""FP8 checkpoints: 8-bit floating-point weights with a scale per block, row or tensor.

Beside a weight X of float8_e4m3fn stands X_scale_inv or X_scale, by which it is multiplied: [rows / 128, columns / 128]
for blocks of 128 x 128 (the last may be smaller), [rows, 1] for rows, one number for the whole tensor. Sources:
transformers integrations/finegrained_fp8.py; compressed-tensors, format "float-quantized".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from actions import UsageError

SCALES = ("_scale_inv", "_scale")  # suffixes of the name of the weight
ACTIVATION_SCALES = (".input_scale", "activation_scale", ".k_scale", ".v_scale")  # of 8-bit products, not computed here
CHUNK_ROWS = 4096  # rows dequantized at a time in float32


class Fp8Format:
    """Assembles the weights of a checkpoint whose quantization_config names FP8.

    Args:
        block_size: Rows and columns of a block; None where scales are per row or tensor.
        dtype: Dtype of the dequantized weights.
    """

    def __init__(self, block_size: tuple[int, int] | None, dtype: torch.dtype) -> None:
        self._block_size, self._dtype = block_size, dtype
        self._weights: dict[str, Tensor] = {}  # without their scale, which is in a later file
        self._scales: dict[str, Tensor] = {}

    def take(self, name: str, tensor: Tensor, shape_of: Callable[[str], torch.Size]) -> list[tuple[str, Tensor]]:
        """Return the weights that are complete with this tensor; see `model.checkpoints.quantized_formats`."""
        if name.endswith(ACTIVATION_SCALES):
            return []
        suffix = next((suffix for suffix in SCALES if name.endswith(suffix)), "")
        weight_name = name.removesuffix(suffix)
        if suffix:
            self._scales[weight_name] = tensor.clone()
        elif tensor.dtype == torch.float8_e4m3fn:
            if weight_name not in self._scales:
                self._weights[weight_name] = tensor.clone()
                return []
            return [(name, self._dequantize(tensor, self._scales.pop(weight_name), name))]
        else:
            return [(name, tensor)]  # a weight that is not quantized
        if weight_name not in self._weights:
            return []
        weight = self._weights.pop(weight_name)
        return [(weight_name, self._dequantize(weight, self._scales.pop(weight_name), weight_name))]

    def is_int4(self, name: str) -> bool:
        """Return whether a parameter is in 4 bits."""
        return False

    def _dequantize(self, weight: Tensor, scale: Tensor, name: str) -> Tensor:
        """Return a weight [..., N, K] in the requested dtype."""
        scale = scale.reshape(1, 1) if scale.numel() == 1 else scale.unsqueeze(-1) if scale.dim() == 1 else scale
        block = self._block_of(weight.shape, scale.shape)
        if block is None:
            expected = f"{self._block_size[0]} x {self._block_size[1]} weights" if self._block_size else "a row"
            raise UsageError(
                f"'{name}' is {list(weight.shape)} and its scale {list(scale.shape)}, which is not one scale for "
                f"{expected} or the tensor; config.json and the weights are not of one checkpoint"
            )
        rows, columns = weight.shape[-2:]
        out = torch.empty(weight.shape, dtype=self._dtype)
        wide = scale.float().repeat_interleave(block[1], -1)[..., :columns]  # one scale for each column
        for start in range(0, rows, CHUNK_ROWS):
            values = weight[..., start : start + CHUNK_ROWS, :].float()
            row_scales = wide[..., torch.arange(start, start + values.shape[-2]) // block[0], :]
            out[..., start : start + CHUNK_ROWS, :] = (values * row_scales).to(self._dtype)
        return out

    def _block_of(self, weight: torch.Size, scale: torch.Size) -> tuple[int, int] | None:
        """Return how many rows and columns of a weight share a scale, None where the shapes do not fit."""
        if len(weight) < 2 or scale[:-2] not in (weight[:-2], torch.Size()):
            return None
        rows, columns = weight[-2:]
        candidates = [*([self._block_size] if self._block_size else []), (rows, columns), (1, columns)]
        for block in candidates:
            if scale[-2:] == (-(-rows // block[0]), -(-columns // block[1])):
                return block
        return None


def read_fp8_block_size(quantization: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    """Return the block size in a quantization_config of the method "fp8"; None for scales per row or tensor.

    Raises:
        UsageError: The weights have another format.
    """
    if quantization.get("fmt") not in (None, "e4m3"):
        raise UsageError(
            f"{source}: FP8 weights of fmt {quantization['fmt']!r:.40} cannot be loaded, only those of e4m3; "
            "use the original checkpoint"
        )
    return _block_size(quantization.get("weight_block_size"), "weight_block_size", source)


def read_compressed_block_size(quantization: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    """Return the block size in a quantization_config of the method "compressed-tensors", as `read_fp8_block_size` does.

    Raises:
        UsageError: The weights have another format.
    """
    groups = quantization.get("config_groups")
    weights = [
        group["weights"]
        for group in (groups.values() if isinstance(groups, Mapping) else ())
        if isinstance(group, Mapping) and isinstance(group.get("weights"), Mapping)
    ]
    kinds = {
        (quantization.get("format"), scheme.get("type"), scheme.get("num_bits"), scheme.get("strategy"))
        for scheme in weights
    }
    if not kinds or any(
        (kind, value_type, bits) != ("float-quantized", "float", 8) or strategy not in ("tensor", "channel", "block")
        for kind, value_type, bits, strategy in kinds
    ):
        scheme_names = ", ".join(sorted(" ".join(map(str, kind)) for kind in kinds)) or str(quantization.get("format"))
        raise UsageError(
            f"{source}: compressed-tensors weights of {scheme_names:.80} cannot be loaded, only float-quantized ones "
            "of 8 bits with a scale per tensor, channel or block; use the original checkpoint"
        )
    sizes = {_block_size(scheme.get("block_structure"), "block_structure", source) for scheme in weights}
    sizes.discard(None)
    if len(sizes) > 1:
        raise UsageError(
            f"{source}: weights quantized in blocks of several sizes cannot be loaded; use the original checkpoint"
        )
    return sizes.pop() if sizes else None


def _block_size(value: object, key: str, source: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(size) is int and size > 0 for size in value):
        rows, columns = value
        return rows, columns
    raise UsageError(
        f"{source}: {key} must be two positive whole numbers, not {value!r:.60}; download the checkpoint again"
    )
