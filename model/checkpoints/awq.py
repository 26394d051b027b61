"""AWQ checkpoints of the official layout: 4-bit weights with a scale and a zero point per group.

Version "gemm" packs eight values to a word: qweight int32 [K, N / 8], qzeros int32 [K / group, N / 8], scales float16
[K / group, N]; a weight is (q - zero) * scale. Nibble n of a word, from the low end, holds column ORDER[n] of its
eight. Source: AutoAWQ, awq/modules/linear/gemm.py and awq/utils/packing_utils.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from actions import UsageError
from model.nn.quantization import Int4Weight

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
KINDS = ("qweight", "qzeros", "scales")
GROUPS = (32, 64, 128, 256)


class AwqFormat:
    """Assembles the weights of a checkpoint whose quantization_config names AWQ.

    Args:
        quantization: The quantization_config.
        source: Its file, for error messages.

    Raises:
        UsageError: The weights are packed in another way than version "gemm" packs them.
    """

    def __init__(self, quantization: Mapping[str, Any], source: str) -> None:
        self._group = 0
        self._parts: dict[str, dict[str, Tensor]] = {}  # of weights of which a tensor is missing
        supported: dict[str, tuple[Any, ...]] = {
            "bits": (4,),
            "version": ("gemm", "GEMM"),
            "zero_point": (True,),
            "group_size": GROUPS,
        }
        old_keys = {"bits": "w_bit", "group_size": "q_group_size"}  # names in older files
        for key, allowed in supported.items():
            value = quantization.get(
                key, quantization.get(old_keys.get(key, key), allowed[0] if key in ("version", "zero_point") else None)
            )
            if isinstance(value, bool) != isinstance(allowed[0], bool) or value not in allowed:
                raise UsageError(
                    f"{source}: weights quantized with {key} {value!r:.40} cannot be loaded, only AWQ with "
                    f"{key} {' or '.join(map(str, allowed))}; use an AWQ checkpoint or the original one"
                )
            if key == "group_size":
                self._group = int(value)

    def take(
        self, name: str, tensor: Tensor, shape_of: Callable[[str], torch.Size]
    ) -> list[tuple[str, Tensor | Int4Weight]]:
        """Return the weights that are complete with this tensor; see `model.checkpoints.quantized_formats`."""
        module_name, _, kind = name.rpartition(".")
        if kind not in KINDS:
            return [(name, tensor)]
        parts = self._parts.setdefault(module_name, {})
        parts[kind] = tensor.clone()
        if len(parts) < len(KINDS):
            return []
        weight_name = f"{module_name}.weight"
        del self._parts[module_name]
        return [(weight_name, unpack_weight(parts, shape_of(weight_name), self._group, module_name))]

    def is_int4(self, name: str) -> bool:
        """Return whether a parameter is in 4 bits; AWQ quantizes the decoder's layers."""
        return name.startswith("model.layers.")


def unpack_int4(packed: Tensor) -> Tensor:
    """Unpack int32 [rows, N / 8] to uint8 [rows, N] from 0 to 15, columns in order."""
    shifts = torch.arange(0, 32, 4, device=packed.device)
    nibbles = packed.unsqueeze(-1) >> shifts & 15  # [rows, N / 8, 8], column ORDER[n] at index n
    inverse = torch.tensor(ORDER, device=packed.device).argsort()
    return nibbles[..., inverse].to(torch.uint8).flatten(1)


def pack(values: Tensor) -> Tensor:
    """Pack uint8 [rows, N] to int32 [rows, N / 8], the inverse of `unpack_int4`."""
    eights = values.view(len(values), -1, 8)[..., list(ORDER)].to(torch.int64)
    words = (eights << torch.arange(0, 32, 4, device=values.device)).sum(-1)
    return words.where(words < 1 << 31, words - (1 << 32)).to(torch.int32)


def unpack_weight(parts: Mapping[str, Tensor], shape: torch.Size, group: int, name: str) -> Int4Weight:
    """Return a weight of shape [N, K], with its pairs in float32.

    Raises:
        UsageError: The shapes of the tensors do not fit the weight.
    """
    rows, columns = shape
    shapes = {
        "qweight": [columns, rows // 8],
        "qzeros": [columns // group, rows // 8],
        "scales": [columns // group, rows],
    }
    for kind, expected in shapes.items():
        if list(parts[kind].shape) != expected or rows % 8 or columns % group:
            raise UsageError(
                f"'{name}.{kind}' is {list(parts[kind].shape)} where config.json says {expected} for groups of "
                f"{group}; config.json and the weights are not of one checkpoint"
            )
    values = unpack_int4(parts["qweight"]).t().contiguous()
    scales = parts["scales"].float()
    offsets = (8 - unpack_int4(parts["qzeros"]).float()) * scales
    return Int4Weight(values, torch.stack([scales, offsets], dim=-1))


def pack_weight(values: Tensor, zeros: Tensor, scales: Tensor) -> dict[str, Tensor]:
    """Return the packed tensors of a weight: values uint8 [N, K], zeros uint8 [K / group, N], scales [K / group, N]."""
    return {"qweight": pack(values.t().contiguous()), "qzeros": pack(zeros), "scales": scales.half()}
