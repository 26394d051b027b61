"""The formats of quantized safetensors checkpoints, by the quantization_config in config.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from actions import UsageError
from model.checkpoints.awq import AwqFormat
from model.checkpoints.fp8 import Fp8Format, read_compressed_block_size, read_fp8_block_size
from model.checkpoints.pending_parameters import Weight
from model.json_file import read_text


class QuantizedFormat(Protocol):
    """Assembles the weights that a checkpoint stores as several tensors each."""

    def take(self, name: str, tensor: Tensor, shape_of: Callable[[str], torch.Size]) -> Sequence[tuple[str, Weight]]:
        """Return the names and values of the parameters that are complete with this tensor.

        Args:
            name: Name of the tensor.
            tensor: Its values, valid during the call.
            shape_of: Returns the shape of a parameter.

        Raises:
            UsageError: The tensors of a weight do not fit each other.
        """

    def is_int4(self, name: str) -> bool:
        """Return whether a parameter is in 4 bits."""


class PlainFormat:
    """Every tensor is a parameter."""

    def take(self, name: str, tensor: Tensor, shape_of: Callable[[str], torch.Size]) -> list[tuple[str, Weight]]:
        return [(name, tensor)]

    def is_int4(self, name: str) -> bool:
        return False


def read_method(folder: Path) -> str:
    """Return the quantization method in config.json, "" for a checkpoint that is not quantized.

    Raises:
        UsageError: The method is not supported.
    """
    method = _quantization_config(folder).get("quant_method", "")
    if method not in ("", "awq", "fp8", "compressed-tensors"):
        raise UsageError(
            f"{folder / 'config.json'}: weights quantized with quant_method {method!r:.40} cannot be loaded, only "
            "those of awq, fp8 and compressed-tensors (float-quantized); use such a checkpoint or the original one"
        )
    return str(method)


def read_format(folder: Path, dtype: torch.dtype) -> QuantizedFormat:
    """Return the format of a checkpoint.

    Args:
        folder: The checkpoint.
        dtype: Dtype of dequantized weights.

    Raises:
        UsageError: The checkpoint is quantized in a format that is not supported.
    """
    quantization, source = _quantization_config(folder), str(folder / "config.json")
    match read_method(folder):
        case "awq":
            return AwqFormat(quantization, source)
        case "fp8":
            return Fp8Format(read_fp8_block_size(quantization, source), dtype)
        case "compressed-tensors":
            return Fp8Format(read_compressed_block_size(quantization, source), dtype)
    return PlainFormat()


def _quantization_config(folder: Path) -> Mapping[str, object]:
    """Return the quantization_config, {} where there is none."""
    path = folder / "config.json"
    try:
        data = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}  # read_config reports the damage
    quantization = data.get("quantization_config") if isinstance(data, Mapping) else None
    if quantization is None:
        return {}
    if not isinstance(quantization, Mapping):
        raise UsageError(f"{path}: quantization_config must be an object, not {quantization!r:.60}; download it again")
    if not isinstance(quantization.get("quant_method"), str) or not quantization["quant_method"]:
        raise UsageError(f"{path}: quantization_config has no quant_method; download the checkpoint again")
    return quantization
