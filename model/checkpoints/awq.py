"""AWQ checkpoints of the official layout: 4-bit weights with a scale and a zero for each group, packed eight to a word.

Knows the packing and config.json's words about it; knows no modules. Version "gemm": qweight int32 [K, N / 8], qzeros
int32 [K / group, N / 8], scales float16 [K / group, N]; a weight is (q - zero) * scale. Half-byte n of a word, counted
from the low end, holds column ORDER[n] of its eight. Source: AutoAWQ, awq/modules/linear/gemm.py and
awq/utils/packing_utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actions import UsageError

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
KINDS = ("qweight", "qzeros", "scales")
GROUPS = (32, 64, 128, 256)


def read_group(folder: Path) -> int | None:
    """How many weights of a checkpoint share a scale; None where it is not quantised.

    UsageError for a quantisation of another kind.
    """
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever reads the sizes says what is wrong with it
    said = data.get("quantization_config") if isinstance(data, Mapping) else None
    if said is None:
        return None
    if not isinstance(said, Mapping):
        raise UsageError(f"{path}: quantization_config must be an object, not {said!r:.60}; download it again")
    wanted: dict[str, tuple[Any, ...]] = {
        "quant_method": ("awq",),
        "bits": (4,),
        "version": ("gemm", "GEMM"),
        "zero_point": (True,),
        "group_size": GROUPS,
    }
    short = {"bits": "w_bit", "group_size": "q_group_size"}  # as older files name them
    for key, known in wanted.items():
        value = said.get(key, said.get(short.get(key, key), known[0] if key in ("version", "zero_point") else None))
        if isinstance(value, bool) != isinstance(known[0], bool) or value not in known:
            raise UsageError(
                f"{path}: the weights are quantised with {key} {value!r:.40}, and this core reads AWQ with "
                f"{key} {' or '.join(map(str, known))} only; take an AWQ checkpoint, or the one that is not quantised"
            )
        if key == "group_size":
            return int(value)
    return None


def kind_of(name: str) -> tuple[str, str] | None:
    """(module, kind) of a tensor of a packed weight; None for any other."""
    at, _, kind = name.rpartition(".")
    return (at, kind) if kind in KINDS else None


def unpack(packed: Tensor) -> Tensor:
    """int32 [rows, N / 8] -> uint8 [rows, N] of 0 to 15, columns in their order."""
    shifts = torch.arange(0, 32, 4, device=packed.device)
    halves = packed.unsqueeze(-1) >> shifts & 15  # [rows, N / 8, 8], column ORDER[n] at place n
    back = torch.tensor(ORDER, device=packed.device).argsort()
    return halves[..., back].to(torch.uint8).flatten(1)


def pack(values: Tensor) -> Tensor:
    """The way back: uint8 [rows, N] -> int32 [rows, N / 8]."""
    eights = values.view(len(values), -1, 8)[..., list(ORDER)].to(torch.int64)
    words = (eights << torch.arange(0, 32, 4, device=values.device)).sum(-1)
    return words.where(words < 1 << 31, words - (1 << 32)).to(torch.int32)


def read(
    parts: Mapping[str, Tensor], shape: torch.Size, group: int, name: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(values uint8 [N, K], pairs [K / group, N, 2] of scale and offset in dtype) of one weight, shape [N, K].

    UsageError where the tensors' shapes are not those of such a weight. See model.engine.narrow for the pairs.
    """
    rows, columns = shape
    wanted = {
        "qweight": [columns, rows // 8],
        "qzeros": [columns // group, rows // 8],
        "scales": [columns // group, rows],
    }
    for kind, expected in wanted.items():
        if list(parts[kind].shape) != expected or rows % 8 or columns % group:
            raise UsageError(
                f"'{name}.{kind}' is {list(parts[kind].shape)} where config.json says {expected} for groups of "
                f"{group}; config.json and the weights are not of one checkpoint"
            )
    values = unpack(parts["qweight"]).t().contiguous()
    scales = parts["scales"].float()
    offsets = (8 - unpack(parts["qzeros"]).float()) * scales
    return values, torch.stack([scales, offsets], dim=-1).to(dtype)


def write(values: Tensor, zeros: Tensor, scales: Tensor) -> dict[str, Tensor]:
    """The three tensors of a weight: values uint8 [N, K], zeros uint8 [K / group, N], scales [K / group, N]."""
    return {"qweight": pack(values.t().contiguous()), "qzeros": pack(zeros), "scales": scales.half()}
