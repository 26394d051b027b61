"""Weights in 8 and 4 bits for machines with little memory; products are computed in bfloat16.

8 bits: one scale per row. 4 bits: a scale and an offset per group of 32 weights of a row (128 in AWQ checkpoints),
about 5 bits per weight. Values are rounded to nearest, without calibration. On the CPU, products of few rows use
torch's kernels for packed weights; otherwise the weights are dequantized for the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import UsageError
from model.nn.qwen25vl import Qwen25VL
from model.nn.sparse_mlp import Experts

Bits = Literal[8, 4]
GROUP = 32  # weights of a row that share a scale in 4 bits
UNQUANTIZED = (".in_proj_a.weight", ".in_proj_b.weight")  # small, and their rounding adds up over all later tokens
FEW = 4  # input rows up to which the CPU's packed kernels are faster than dequantizing first
BLOCK = 64  # rows of 4-bit weights that the CPU kernel packs together


class Int8Linear(nn.Module):
    """Linear layer x [..., K] -> [..., N] with weight int8 [N, K], scales [N] in x's dtype and bias [N] or None."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight: Tensor
        self.scales: Tensor
        self.bias: Tensor | None
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if not x.is_cuda and len(rows) <= FEW:
            out = torch.ops.aten._weight_int8pack_mm(rows.contiguous(), self.weight, self.scales)
        else:
            out = F.linear(rows, self.weight.to(x.dtype)) * self.scales
        return (out if self.bias is None else out + self.bias).view(*x.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """Embedding in 8 bits: ids to rows, and where embeddings are tied (`product`), hidden states to logits."""

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.product = Int8Linear(weight, scales, None)

    def forward(self, ids: Tensor) -> Tensor:
        return self.product.weight[ids].to(self.product.scales.dtype) * self.product.scales[ids].unsqueeze(-1)


class Int4Linear(nn.Module):
    """Linear layer x [..., K] -> [..., N] whose weight is (q - 8) * scale + offset, with q from 0 to 15.

    Args:
        packed: uint8 [N, K / 2]; where `order` is None a byte holds columns 2n (low half) and 2n + 1.
        pairs: Scale and offset of each group, [K / group, N, 2] in x's dtype.
        bias: [N] or None.
        order: Row order within a block of the CPU kernel's packing, or None; see `int4_pack_order`.
    """

    def __init__(self, packed: Tensor, pairs: Tensor, bias: Tensor | None, order: tuple[int, ...] | None) -> None:
        super().__init__()
        self.packed: Tensor
        self.pairs: Tensor
        self.bias: Tensor | None
        self.register_buffer("packed", packed)
        self.register_buffer("pairs", pairs)
        self.register_buffer("bias", bias)
        self.group, self.order = packed.shape[1] * 2 // len(pairs), order

    @classmethod
    def of(cls, values: Tensor, pairs: Tensor, bias: Tensor | None) -> Int4Linear:
        """Return a layer of values [N, K] from 0 to 15, packed for the device that they are on."""
        order = None if values.is_cuda else int4_pack_order()
        if order is None:
            return cls((values[:, 0::2] | values[:, 1::2] << 4).to(torch.uint8), pairs, bias, None)
        return cls(torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1), pairs, bias, order)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        if self.order is not None and len(rows) <= FEW:
            out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, self.group, self.pairs)
        else:
            out = F.linear(rows, dequantize_int4(self.values(), self.pairs))
        return (out if self.bias is None else out + self.bias).view(*x.shape[:-1], -1)

    def values(self) -> Tensor:
        """Return the unpacked values, uint8 [N, K] from 0 to 15."""
        halves = torch.stack([self.packed & 15, self.packed >> 4], dim=-1)  # [N, K / 2, 2]
        if self.order is None:
            return halves.flatten(1)
        blocks = halves.view(len(halves) // BLOCK, -1, BLOCK)  # [N / 64, K, 64], rows of a block in that order
        inverse = torch.tensor(self.order, device=halves.device).argsort()
        return blocks[:, :, inverse].transpose(1, 2).reshape(len(halves), -1)


@dataclass(frozen=True)
class Int4Weight:
    """A weight [N, K] in 4 bits: values uint8 [N, K] from 0 to 15, and the pairs [K / group, N, 2] of `Int4Linear`."""

    values: Tensor
    pairs: Tensor

    @classmethod
    def cat(cls, weights: Sequence[Int4Weight]) -> Int4Weight:
        """Return the weight whose rows are those of several with one group size, in order."""
        values, pairs = [weight.values for weight in weights], [weight.pairs for weight in weights]
        return cls(torch.cat(values), torch.cat(pairs, dim=1))

    @property
    def shape(self) -> torch.Size:
        """Shape of the weight."""
        return self.values.shape

    @property
    def group(self) -> int:
        """Number of weights of a row that share a scale."""
        return self.values.shape[1] // len(self.pairs)

    def dequantize(self) -> Tensor:
        """Return the weight [N, K] in the pairs' dtype."""
        return dequantize_int4(self.values, self.pairs)

    def to_layer(self, device: str, dtype: torch.dtype) -> Int4Linear:
        """Return a layer without bias; dtype is that of its inputs, to which the pairs are rounded."""
        return Int4Linear.of(self.values.to(device), self.pairs.to(device, dtype), None)


@lru_cache(maxsize=1)
def int4_pack_order() -> tuple[int, ...] | None:
    """Return the row order in a block of this CPU's 4-bit kernel, or None where its packing differs otherwise.

    torch does not document it and it depends on the CPU, so numbered rows and columns are packed and read back.
    """
    rows, columns = torch.arange(2 * BLOCK), torch.arange(GROUP)
    positions = torch.zeros(2, 2, GROUP, BLOCK, dtype=torch.int64)  # rows and columns as [blocks, K, 64]
    for half in range(2):
        for axis, numbers in enumerate((rows[:, None], columns[None])):
            digits = (numbers >> 4 * half & 15).expand(len(rows), len(columns)).int().contiguous()
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(digits, 1)
            halves = torch.stack([packed & 15, packed >> 4], dim=-1)
            positions[axis] += halves.view(2, GROUP, BLOCK).long() << 4 * half
    order = positions[0, 0, 0]
    is_block_order = (positions[0] == order + BLOCK * torch.arange(2)[:, None, None]).all() and (
        positions[1] == columns[None, :, None]
    ).all()
    return tuple(order.tolist()) if is_block_order and order.sort().values.equal(torch.arange(BLOCK)) else None


def dequantize_int4(values: Tensor, pairs: Tensor) -> Tensor:
    """Return weights [N, K] in the pairs' dtype, of values [N, K] from 0 to 15 and pairs [K / group, N, 2]."""
    scale, offset = pairs.transpose(0, 1).unsqueeze(-1).unbind(2)  # [N, K / group, 1]
    grouped = values.view(len(values), pairs.shape[0], -1).to(pairs.dtype) - 8
    return (grouped * scale + offset).flatten(1)


def to_int8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return (int8 [N, K], scales [N]), scaled so that the largest magnitude of each row is 127."""
    wide = weight.float()
    scales = (wide.abs().amax(1) / 127).clamp_(min=1e-8).to(dtype)
    return (wide / scales.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8), scales


def to_int4(weight: Tensor, dtype: torch.dtype, group: int = GROUP) -> tuple[Tensor, Tensor]:
    """Return (values uint8 [N, K] from 0 to 15, pairs [K / group, N, 2]) that span each group's minimum and maximum."""
    wide = weight.float().view(len(weight), -1, group)
    low, high = wide.amin(-1), wide.amax(-1)  # [N, K / group]
    scale = ((high - low) / 15).clamp_(min=1e-8).to(dtype)
    offset = (low + 8 * scale.float()).to(dtype)
    values = ((wide - offset.float()[..., None]) / scale.float()[..., None] + 8).round_().clamp_(0, 15)
    return values.to(torch.uint8).flatten(1), torch.stack([scale, offset], dim=-1).transpose(0, 1).contiguous()


def quantize_linear(weight: Tensor, bias: Tensor | None, bits: Bits, dtype: torch.dtype) -> Int8Linear | Int4Linear:
    """Return a quantized linear layer; in 8 bits where the shape is no multiple of the 4-bit blocks."""
    bias = None if bias is None else bias.to(dtype)
    if bits == 4 and fits_int4(*weight.shape):
        return Int4Linear.of(*to_int4(weight, dtype), bias)
    return Int8Linear(*to_int8(weight, dtype), bias)


def fits_int4(rows: int, columns: int) -> bool:
    """Return whether a matrix of that shape divides into the blocks of the 4-bit format."""
    return rows % BLOCK == 0 and columns % GROUP == 0


def bits_for(name: str, bits: Bits) -> Bits:
    """Return the bits of a matrix by its name: only the decoder's layers get 4, everything else 8."""
    return bits if name.startswith("model.layers.") else 8


def quantized_nbytes(name: str, shape: torch.Size, bits: Bits) -> int:
    """Return the bytes of a quantized matrix, or of those of all experts, with their 2-byte scales."""
    *counts, rows, columns = shape if len(shape) == 2 else (shape[0], shape[2], shape[1])
    count = prod(counts)
    if bits_for(name, bits) == 4 and fits_int4(rows, columns):
        return count * (rows * columns // 2 + rows * columns // GROUP * 4)
    return count * (rows * columns + rows * 2)


def is_quantizable(name: str, owner: nn.Module) -> bool:
    """Return whether a parameter is quantized: matrices of experts, the weight of a linear layer or of an embedding."""
    if name.endswith(UNQUANTIZED):
        return False
    return isinstance(owner, Experts) or (name.endswith(".weight") and isinstance(owner, nn.Linear | nn.Embedding))


def replace_with_quantized(model: Qwen25VL, name: str, weight: Tensor, bits: Bits, dtype: torch.dtype) -> None:
    """Replace the module of parameter `name` by a quantized one with that weight, and keep its bias.

    The matrices of experts [E, K, N] become a list of quantized layers under the parameter's name.
    """
    parent, _, attribute = name.rpartition(".")
    if attribute != "weight":
        layers = (quantize_linear(matrix.t(), None, bits_for(name, bits), dtype) for matrix in weight)
        experts = model.get_submodule(parent)
        delattr(experts, attribute)  # a parameter cannot be replaced by a module
        setattr(experts, attribute, nn.ModuleList(layers))
        return
    module_name = name.removesuffix(".weight")
    owner: Any = model.get_submodule(module_name)
    if isinstance(owner, nn.Embedding):
        replace_module(model, module_name, Int8Embedding(*to_int8(weight, dtype)))
        return
    replace_module(model, module_name, quantize_linear(weight, None, bits_for(name, bits), dtype))
    set_bias(model, module_name, owner.bias)


def set_bias(model: Qwen25VL, module_name: str, bias: Tensor | None) -> None:
    """Set the bias of a module, which may still be on the meta device."""
    owner: Any = model.get_submodule(module_name)
    owner.bias = None if bias is None else bias.detach()


def replace_module(model: Qwen25VL, module_name: str, module: nn.Module) -> None:
    """Replace the submodule of that name."""
    parent, _, child = module_name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, child, module)


@torch.no_grad()
def quantize_model(model: Qwen25VL, bits: Bits) -> Qwen25VL:
    """Quantize the matrices of a half-precision model in place and return it; all else keeps its dtype.

    Raises:
        UsageError: The model is in float32, for which the kernels over packed weights do not pay.
    """
    if model.dtype == torch.float32:
        raise UsageError("int8 and int4 weights need a model in half precision; load it in bfloat16 first")
    owners = dict(model.named_modules())
    for name, weight in list(model.named_parameters()):
        if is_quantizable(name, owners[name.rpartition(".")[0]]):
            replace_with_quantized(model, name, weight.detach(), bits, model.dtype)
    return model
