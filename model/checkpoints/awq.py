"""AWQ checkpoints of the official layout: 4-bit weights with a scale and a zero point per group.

Version "gemm" packs eight values to a word: qweight int32 [K, N / 8], qzeros int32 [K / group, N / 8], scales float16
[K / group, N]; a weight is (q - zero) * scale. Nibble n of a word, from the low end, holds column ORDER[n] of its
eight. Source: AutoAWQ, awq/modules/linear/gemm.py and awq/utils/packing_utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actions import UsageError
from model.json_file import read_text

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
KINDS = ("qweight", "qzeros", "scales")
GROUPS = (32, 64, 128, 256)


def read_group_size(folder: Path) -> int | None:
    """Return the number of weights that share a scale, or None when the checkpoint is not quantized.

    Raises:
        UsageError: The checkpoint is quantized in another format.
    """
    path = folder / "config.json"
    try:
        data = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None  # read_config reports the damage
    quantization = data.get("quantization_config") if isinstance(data, Mapping) else None
    if quantization is None:
        return None
    if not isinstance(quantization, Mapping):
        raise UsageError(f"{path}: quantization_config must be an object, not {quantization!r:.60}; download it again")
    supported: dict[str, tuple[Any, ...]] = {
        "quant_method": ("awq",),
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
                f"{path}: weights quantized with {key} {value!r:.40} cannot be loaded, only AWQ with "
                f"{key} {' or '.join(map(str, allowed))}; use an AWQ checkpoint or the original one"
            )
        if key == "group_size":
            return int(value)
    return None


def split_name(name: str) -> tuple[str, str] | None:
    """Return (module name, kind) of a tensor of a packed weight, or None for any other tensor."""
    module_name, _, kind = name.rpartition(".")
    return (module_name, kind) if kind in KINDS else None


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


def unpack_weight(
    parts: Mapping[str, Tensor], shape: torch.Size, group: int, name: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return (values uint8 [N, K], pairs [K / group, N, 2] of scale and offset in `dtype`) of a weight of shape [N, K].

    See `model.nn.quantization.Int4Linear` for the pairs.

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
    return values, torch.stack([scales, offsets], dim=-1).to(dtype)


def pack_weight(values: Tensor, zeros: Tensor, scales: Tensor) -> dict[str, Tensor]:
    """Return the packed tensors of a weight: values uint8 [N, K], zeros uint8 [K / group, N], scales [K / group, N]."""
    return {"qweight": pack(values.t().contiguous()), "qzeros": pack(zeros), "scales": scales.half()}
