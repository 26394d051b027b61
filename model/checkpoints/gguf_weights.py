"""Load the parameters of a model from GGUF files, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from actions import UsageError
from model.checkpoints.gguf_file import DOWNLOAD_AGAIN, INT4_TYPES, QUANTIZED_TYPES, GgufTensor
from model.checkpoints.gguf_names import EXPERTS, tensor_names
from model.checkpoints.pending_parameters import PendingParameters, Weight
from model.nn.config import Config
from model.nn.quantization import Int4Weight

Tensors = Mapping[str, GgufTensor]
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CHUNK = 1 << 21  # weights read at a time


def is_quantized(tensors: Tensors) -> bool:
    """Return whether a tensor of a model has less than 16 bits per weight."""
    return any(tensor.type_name in QUANTIZED_TYPES for tensor in tensors.values())


def is_int4(parameter: str, config: Config, tensors: Tensors) -> bool:
    """Return whether the engine has a layer for the values of a parameter as they are in the files.

    It has for matrices of the decoder's layers in groups of 32 weights.
    """
    names = tensor_names(parameter, config, tensors) if parameter.startswith("model.layers.") else ()
    return bool(names) and all(name in tensors and tensors[name].type_name in INT4_TYPES for name in names)


def load_parameters(pending: PendingParameters, config: Config, tensors: Tensors) -> None:
    """Load all parameters of a model.

    Raises:
        UsageError: The tensors are not those of the model.
    """
    missing = pending.missing()
    names = {parameter: tensor_names(parameter, config, tensors) for parameter in missing}
    unknown = sorted(set(tensors) - {name for group in names.values() for name in group})
    if unknown:
        pending.shape(unknown[0], unknown[0])  # raises the error for a parameter that the model does not have
    for parameter, group in names.items():
        if not all(name in tensors for name in group):
            continue  # reported by check_complete
        keeps_int4 = pending.keep_int4 and is_int4(parameter, config, tensors)
        matrices = parameter.rpartition(".")[2]
        if matrices in EXPERTS:
            for matrix, name in zip(_expert_matrices(matrices), group, strict=True):
                _load_experts(pending, parameter.rpartition(".")[0], matrix, tensors[name], name, keeps_int4)
        elif keeps_int4:
            pending.load(parameter, read_int4(tensors[group[0]]), group[0])
        else:
            values = _join(parameter, [read_tensor(tensors[name], pending.dtype) for name in group])
            pending.load(parameter, values, group[0])
            del values  # before the next one is read


def _expert_matrices(attribute: str) -> tuple[str, ...]:
    return ("down_proj",) if attribute == "down_proj" else ("gate_proj", "up_proj")


def _load_experts(
    pending: PendingParameters, module: str, matrix: str, tensor: GgufTensor, name: str, keeps_int4: bool
) -> None:
    if len(tensor.shape) != 3:
        raise UsageError(f"{tensor.file}: '{name}' is {list(tensor.shape)}, not one matrix for each expert")
    for index, part in enumerate(tensor.parts()):
        weight: Weight = read_int4(part) if keeps_int4 else read_tensor(part, pending.dtype)
        pending.load(f"{module}.{index}.{matrix}.weight", weight, name)


def _join(parameter: str, tensors: list[Tensor]) -> Tensor:
    """Return a parameter of its tensors: one, time slices of a convolution, or rows one below the other."""
    if parameter == "visual.patch_embed.proj.weight":
        return torch.stack(tensors, dim=2)
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def read_tensor(tensor: GgufTensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor on the CPU, dequantized, as a copy in memory.

    Raises:
        UsageError: The file is shorter than it states.
    """
    columns, rows = tensor.shape[-1], prod(tensor.shape[:-1])
    out, row_bytes = torch.empty(rows, columns, dtype=dtype), tensor.nbytes // rows
    step = max(1, CHUNK // columns)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        raw = _map(tensor, start * row_bytes, count * row_bytes)
        out[start : start + count] = _dequantize(raw.reshape(count, row_bytes), tensor.type_name)
    return out.view(tensor.shape)


def _dequantize(raw: np.ndarray, type_name: str) -> Tensor:
    """Return the weights of rows [N, bytes]."""
    if type_name in DTYPES:
        return torch.from_numpy(raw).view(DTYPES[type_name])
    from gguf import GGMLQuantizationType, quants

    return torch.from_numpy(quants.dequantize(raw, GGMLQuantizationType[type_name]))


def read_int4(tensor: GgufTensor) -> Int4Weight:
    """Return a matrix of one of INT4_TYPES: its values as they are in the file, and its pairs in float32.

    Source of the layouts: ggml-common.h, block_q4_0 and block_q4_K; ggml-quants.c.

    Raises:
        UsageError: The file is shorter than it states.
    """
    rows, columns = tensor.shape
    raw = torch.from_numpy(_map(tensor, 0, tensor.nbytes))
    if tensor.type_name == "Q4_0":  # 32 weights: a float16 scale, then 16 bytes with weights n and n + 16
        blocks = raw.view(rows, columns // 32, 18)
        scales = _float16(blocks[..., :2]).squeeze(-1)
        offsets, packed = torch.zeros_like(scales), blocks[..., 2:]
    else:  # 256 weights: scales of scales and of minima, 8 of each in 6 bits, 4 times 32 bytes for 2 x 32 weights
        blocks = raw.view(rows, columns // 256, 144)
        low, high, mixed = blocks[..., 4:16].unflatten(-1, (3, 4)).unbind(-2)
        scales = torch.cat([low & 63, (mixed & 15) | (low >> 2 & 48)], dim=-1) * _float16(blocks[..., :2])
        minima = torch.cat([high & 63, (mixed >> 4) | (high >> 2 & 48)], dim=-1) * _float16(blocks[..., 2:4])
        scales = scales.flatten(1)
        offsets, packed = 8 * scales - minima.flatten(1), blocks[..., 16:].unflatten(-1, (4, 32))
    values = torch.cat([packed & 15, packed >> 4], dim=-1).reshape(rows, columns)
    return Int4Weight(values, torch.stack([scales, offsets], dim=-1).transpose(0, 1).contiguous())


def _map(tensor: GgufTensor, offset: int, nbytes: int) -> np.ndarray:
    """Return some bytes of a tensor as an array over the file, whose pages are freed with it."""
    try:
        # "c": torch wants an array that can be written to; what is written does not reach the file
        return np.memmap(tensor.file, np.uint8, "c", tensor.offset + offset, (nbytes,))
    except (OSError, ValueError) as error:
        raise UsageError(f"{tensor.file} is damaged or incomplete ({error}); {DOWNLOAD_AGAIN}") from None


def _float16(pairs: Tensor) -> Tensor:
    """Return the numbers, float32 [..., 1], of bytes [..., 2]."""
    return pairs.contiguous().view(torch.float16).float()
