"""Weights in 8 and 4 bits, for machines with little memory: the products stay in bfloat16. Knows matrices only.

8 bits: a scale for each row. 4 bits: a scale and an offset for each 32 weights of a row (128 in AWQ checkpoints), so 5
bits a weight in all. Rounded to nearest, nothing is calibrated. On the CPU the products are torch's own over packed
weights where few rows are asked for at once; elsewhere the weights are widened for the moment of the product.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import UsageError
from model.nn.qwen25vl import Qwen25VL

Bits = Literal[8, 4]
GROUP = 32  # weights of a row that share a scale, in 4 bits
FEW = 4  # rows up to which the CPU's own products are quicker than widening the weights first
BLOCK = 64  # rows of 4-bit weights that the CPU's product packs together


class Int8Linear(nn.Module):
    """x [..., K] -> [..., N] by weight int8 [N, K], scales [N] in x's dtype, bias [N] or None."""

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
    """Embeddings of 8 bits a number: ids -> rows, and, where they are tied, hidden states -> logits."""

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.product = Int8Linear(weight, scales, None)

    def forward(self, ids: Tensor) -> Tensor:
        return self.product.weight[ids].to(self.product.scales.dtype) * self.product.scales[ids].unsqueeze(-1)


class Int4Linear(nn.Module):
    """x [..., K] -> [..., N]. A weight is (q - 8) * scale + offset, with q of 0 to 15.

    pairs: [K / group, N, 2] of scale and offset in x's dtype. packed: uint8 [N, K / 2], in the order of the CPU's own
    product where order says it, else a byte holds the weights of columns 2n (low half) and 2n + 1.
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
        """From values [N, K] of 0 to 15, on the device where it will work."""
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
        """uint8 [N, K] of 0 to 15."""
        halves = torch.stack([self.packed & 15, self.packed >> 4], dim=-1)  # [N, K / 2, 2]
        if self.order is None:
            return halves.flatten(1)
        blocks = halves.view(len(halves) // BLOCK, -1, BLOCK)  # [N / 64, K, 64], rows of a block in that order
        back = torch.tensor(self.order, device=halves.device).argsort()
        return blocks[:, :, back].transpose(1, 2).reshape(len(halves), -1)


@lru_cache(maxsize=1)
def int4_pack_order() -> tuple[int, ...] | None:
    """In which order this processor's 4-bit product packs the rows of a block; None where it packs otherwise.

    torch says nothing of it, and it differs between processors, so numbered rows and columns are packed and looked at.
    """
    rows, columns = torch.arange(2 * BLOCK), torch.arange(GROUP)
    found = torch.zeros(2, 2, GROUP, BLOCK, dtype=torch.int64)  # rows and columns as [blocks, K, 64]
    for half in range(2):
        for axis, numbers in enumerate((rows[:, None], columns[None])):
            digits = (numbers >> 4 * half & 15).expand(len(rows), len(columns)).int().contiguous()
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(digits, 1)
            halves = torch.stack([packed & 15, packed >> 4], dim=-1)
            found[axis] += halves.view(2, GROUP, BLOCK).long() << 4 * half
    order = found[0, 0, 0]
    as_thought = (found[0] == order + BLOCK * torch.arange(2)[:, None, None]).all() and (
        found[1] == columns[None, :, None]
    ).all()
    return tuple(order.tolist()) if as_thought and order.sort().values.equal(torch.arange(BLOCK)) else None


def dequantize_int4(values: Tensor, pairs: Tensor) -> Tensor:
    """Weights [N, K] in the pairs' dtype, of values [N, K] of 0 to 15 and pairs [K / group, N, 2]."""
    scale, offset = pairs.transpose(0, 1).unsqueeze(-1).unbind(2)  # [N, K / group, 1]
    grouped = values.view(len(values), pairs.shape[0], -1).to(pairs.dtype) - 8
    return (grouped * scale + offset).flatten(1)


def to_int8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(int8 [N, K], scales [N]): of each row, the largest number is 127."""
    wide = weight.float()
    scales = (wide.abs().amax(1) / 127).clamp_(min=1e-8).to(dtype)
    return (wide / scales.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8), scales


def to_int4(weight: Tensor, dtype: torch.dtype, group: int = GROUP) -> tuple[Tensor, Tensor]:
    """(values uint8 [N, K] of 0 to 15, pairs [K / group, N, 2]): of each group, the ends are met."""
    wide = weight.float().view(len(weight), -1, group)
    low, high = wide.amin(-1), wide.amax(-1)  # [N, K / group]
    scale = ((high - low) / 15).clamp_(min=1e-8).to(dtype)
    offset = (low + 8 * scale.float()).to(dtype)
    values = ((wide - offset.float()[..., None]) / scale.float()[..., None] + 8).round_().clamp_(0, 15)
    return values.to(torch.uint8).flatten(1), torch.stack([scale, offset], dim=-1).transpose(0, 1).contiguous()


def quantize_linear(weight: Tensor, bias: Tensor | None, bits: Bits, dtype: torch.dtype) -> Int8Linear | Int4Linear:
    """A product in so many bits; in 8 where its shape does not divide into the blocks of 4."""
    bias = None if bias is None else bias.to(dtype)
    if bits == 4 and fits_four(*weight.shape):
        return Int4Linear.of(*to_int4(weight, dtype), bias)
    return Int8Linear(*to_int8(weight, dtype), bias)


def fits_four(rows: int, columns: int) -> bool:
    return rows % BLOCK == 0 and columns % GROUP == 0


def bits_for(name: str, bits: Bits) -> Bits:
    """How many bits a product of that name gets: the decoder's layers the fewest; eyes, words and last row 8."""
    return bits if name.startswith("model.layers.") else 8


def quantized_nbytes(name: str, shape: torch.Size, bits: Bits) -> int:
    """What a matrix of that name and shape takes: its values, and its scales of 2 bytes each."""
    rows, columns = shape[0], shape[1]
    if bits_for(name, bits) == 4 and fits_four(rows, columns):
        return rows * columns // 2 + rows * columns // GROUP * 4
    return rows * columns + rows * 2


def is_narrowed(name: str, owner: nn.Module) -> bool:
    """Whether a parameter is a matrix that is held in fewer bits: all products, and the embeddings."""
    return name.endswith(".weight") and isinstance(owner, nn.Linear | nn.Embedding)


def replace_with_quantized(model: Qwen25VL, name: str, weight: Tensor, bits: Bits, dtype: torch.dtype) -> None:
    """Let the module whose parameter `name` is (name.weight) be a narrow one with that weight; its bias is carried."""
    at = name.removesuffix(".weight")
    owner: Any = model.get_submodule(at)
    if isinstance(owner, nn.Embedding):
        replace(model, at, Int8Embedding(*to_int8(weight, dtype)))
        return
    replace(model, at, quantize_linear(weight, None, bits_for(name, bits), dtype))
    set_bias(model, at, owner.bias)


def set_bias(model: Qwen25VL, at: str, bias: Tensor | None) -> None:
    """Give the module there its bias, which may still be without numbers (on the meta device)."""
    owner: Any = model.get_submodule(at)
    owner.bias = None if bias is None else bias.detach()


def replace(model: Qwen25VL, at: str, module: nn.Module) -> None:
    parent, _, child = at.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, child, module)


@torch.no_grad()
def quantize_model(model: Qwen25VL, bits: Bits) -> Qwen25VL:
    """The model itself with its matrices in so many bits; what is not a matrix keeps its dtype, which must be half.

    UsageError for one in float32: the products over packed weights are quick in half precision alone.
    """
    if model.dtype == torch.float32:
        raise UsageError("weights of 8 and 4 bits are multiplied in bfloat16; load the model in bfloat16 first")
    owners = dict(model.named_modules())
    for name, weight in list(model.named_parameters()):
        if is_narrowed(name, owners[name.rpartition(".")[0]]):
            replace_with_quantized(model, name, weight.detach(), bits, model.dtype)
    return model
