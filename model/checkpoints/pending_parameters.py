"""A model whose parameters are loaded one by one, from files of any format."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints import memory_check
from model.nn import quantization
from model.nn.quantization import Int4Weight
from model.nn.qwen25vl import Qwen25VL

Weight: TypeAlias = Tensor | Int4Weight

ADAPTER_MARKS = (".lora_", ".base_layer.", "base_model.model.")  # parts of tensor names that PEFT adds
EXPERT = re.compile(r"^(?P<experts>.*\.mlp\.experts)\.(?P<index>\d+)\.(?P<matrix>gate_proj|up_proj|down_proj)\.weight$")


class PendingParameters:
    """A model on the meta device, and which of its parameters have not been loaded yet.

    Beside the names of the model's parameters, those of one expert's matrices are known: EXPERTS.N.gate_proj.weight,
    EXPERTS.N.up_proj.weight [width, C] and EXPERTS.N.down_proj.weight [C, width].

    Args:
        model: The model.
        source: Name of the checkpoint in error messages.
        device: Of the loaded parameters.
        dtype: Of the loaded parameters.
        bits: 8 or 4 to quantize the weights.
        keep_int4: Whether weights that are loaded in 4 bits stay so.
        settings: What states the shapes, in error messages.
    """

    def __init__(
        self,
        model: Qwen25VL,
        source: str,
        device: str,
        dtype: torch.dtype,
        bits: quantization.Bits | None,
        keep_int4: bool,
        settings: str = "config.json",
    ) -> None:
        self.model, self.source, self.settings = model, source, settings
        self.device, self.dtype, self.bits, self.keep_int4 = device, dtype, bits, keep_int4
        self._owners = dict(model.named_modules())
        self._missing = dict(model.named_parameters())
        self._stacks: dict[str, _ExpertStack] = {}

    def missing(self) -> dict[str, torch.Size]:
        """Return the shapes of the parameters that have not been loaded yet."""
        return {name: parameter.shape for name, parameter in self._missing.items()}

    def check_memory(self, is_int4: Callable[[str], bool]) -> None:
        """Raise UsageError when the device has too little free memory for the weights.

        Args:
            is_int4: Whether the checkpoint has a parameter in 4 bits.
        """

        def nbytes(name: str, parameter: Tensor) -> int:
            bits = self.bits or (4 if self.keep_int4 and is_int4(name) else None)
            if bits and quantization.is_quantizable(name, self._owners[name.rpartition(".")[0]]):
                return quantization.quantized_nbytes(name, parameter.shape, bits)
            return parameter.numel() * self.dtype.itemsize

        dtype_name = str(self.dtype).removeprefix("torch.")
        precision = f"int{self.bits}" if self.bits else "4 bits" if self.keep_int4 else dtype_name
        required = sum(nbytes(name, parameter) for name, parameter in self._missing.items())
        memory_check.check_fits(required, self.device, f"{Path(self.source).name} in {precision}")

    def shape(self, name: str, file_name: str) -> torch.Size:
        """Return the shape of a parameter that has not been loaded yet, or of a matrix of an expert.

        Args:
            name: Name of the parameter.
            file_name: Name of the tensor in the file, for error messages.

        Raises:
            UsageError: The model has no such parameter, or it was loaded already.
        """
        match = EXPERT.match(name)
        if match is not None:
            is_down = match["matrix"] == "down_proj"
            stacked = self._missing.get(f"{match['experts']}.{'down_proj' if is_down else 'gate_up_proj'}")
            if stacked is not None and int(match["index"]) < stacked.shape[0]:
                _, columns, rows = stacked.shape
                return torch.Size((rows if is_down else rows // 2, columns))
        parameter = self._missing.get(name)
        if parameter is None:
            if any(mark in file_name for mark in ADAPTER_MARKS):
                raise UsageError(
                    f"{self.source} has the adapter tensor '{file_name}': its LoRA weights were not merged. Merge them "
                    "(peft: model.merge_and_unload().save_pretrained(FOLDER)) and load that folder"
                )
            raise UsageError(
                f"{self.source} has a tensor '{file_name}' that {self.model.config.name} does not; "
                "it is of another architecture"
            )
        return parameter.shape

    def load(self, name: str, weight: Weight, file_name: str) -> None:
        """Set a parameter or a matrix of an expert, quantized where bits are requested.

        Args:
            name: Name of the parameter.
            weight: Its values; a tensor is not referred to afterwards.
            file_name: Name of the tensor in the file, for error messages.

        Raises:
            UsageError: The model has no such parameter, or it has another shape.
        """
        shape = self.shape(name, file_name)
        if weight.shape != shape:
            raise UsageError(
                f"{self.source}: '{file_name}' is {list(weight.shape)} where {self.settings} says {list(shape)}; "
                f"{self.settings} and the weights are not of one checkpoint"
            )
        if name in self._missing:
            del self._missing[name]
            self._set(name, weight)
        else:
            self._add_to_stack(name, weight)

    def _set(self, name: str, weight: Weight) -> None:
        module_name, _, attribute = name.rpartition(".")
        if isinstance(weight, Int4Weight):
            if self._keeps(weight) and isinstance(self._owners[module_name], nn.Linear):
                layer = weight.to_layer(self.device, self.dtype)
                original: Any = self.model.get_submodule(module_name)
                quantization.replace_module(self.model, module_name, layer)
                quantization.set_bias(self.model, module_name, original.bias)
                return
            weight = weight.dequantize()
        if self.bits and quantization.is_quantizable(name, self._owners[module_name]):
            quantization.replace_with_quantized(self.model, name, weight.to(self.device), self.bits, self.dtype)
            return
        loaded = weight.to(device=self.device, dtype=self.dtype)
        owner = self.model.get_submodule(module_name)  # may be quantized by now
        is_parameter = attribute in owner._parameters
        setattr(owner, attribute, nn.Parameter(loaded, requires_grad=False) if is_parameter else loaded)

    def _keeps(self, weight: Int4Weight) -> bool:
        return self.keep_int4 and len(weight.values) % quantization.BLOCK == 0

    def _add_to_stack(self, name: str, weight: Weight) -> None:
        """Add a matrix of an expert, and set the parameter of all of them when it is the last."""
        match = EXPERT.match(name)
        assert match is not None
        is_down = match["matrix"] == "down_proj"
        stacked_name = f"{match['experts']}.{'down_proj' if is_down else 'gate_up_proj'}"
        parameter = self._missing[stacked_name]
        if stacked_name not in self._stacks:
            is_packed = bool(self.bits) or (isinstance(weight, Int4Weight) and self._keeps(weight))
            self._stacks[stacked_name] = _ExpertStack(self, stacked_name, parameter.shape, is_packed)
        stack = self._stacks[stacked_name]
        stack.add(int(match["index"]), match["matrix"], weight)
        if stack.is_complete():
            del self._missing[stacked_name], self._stacks[stacked_name]
            experts = self.model.get_submodule(match["experts"])
            attribute = stacked_name.rpartition(".")[2]
            delattr(experts, attribute)  # a parameter cannot be replaced by a module
            setattr(experts, attribute, stack.result())

    def check_complete(self) -> None:
        """Raise UsageError when a parameter has not been loaded."""
        if set(self._missing) == {"lm_head.weight"}:
            raise UsageError(
                f"{self.source} has no lm_head.weight, and tie_word_embeddings in its config.json is false: set it to "
                "true if the model was trained with tied embeddings; otherwise the export dropped the output layer, "
                "and the checkpoint must be saved again"
            )
        if self._missing:
            raise UsageError(
                f"{self.source} lacks {len(self._missing)} tensors, '{min(self._missing)}' first; "
                "download the checkpoint again"
            )


class _ExpertStack:
    """One matrix of each expert of a layer: one tensor for all, or a list of layers where they are packed."""

    def __init__(self, pending: PendingParameters, name: str, shape: torch.Size, is_packed: bool) -> None:
        self._pending, self._name, self._is_packed = pending, name, is_packed
        self._matrices = ("down_proj",) if name.endswith(".down_proj") else ("gate_proj", "up_proj")
        self._remaining = {(index, matrix) for index in range(shape[0]) for matrix in self._matrices}
        self._parts: dict[tuple[int, str], Weight] = {}  # of experts of whom a matrix is missing
        self._layers: dict[int, nn.Module] = {}
        # [E, K, N], as the parameter; see model.nn.sparse_mlp
        self._tensor = None if is_packed else torch.empty(shape, dtype=pending.dtype, device=pending.device)

    def add(self, index: int, matrix: str, weight: Weight) -> None:
        """Add a matrix [N, K] of an expert."""
        self._remaining.discard((index, matrix))
        if self._tensor is not None:
            dense = weight.dequantize() if isinstance(weight, Int4Weight) else weight
            start = self._matrices.index(matrix) * len(dense)
            self._tensor[index, :, start : start + len(dense)] = dense.t().to(self._tensor)
            return
        self._parts[index, matrix] = weight.clone() if isinstance(weight, Tensor) else weight
        if all((index, other) in self._parts for other in self._matrices):
            self._layers[index] = self._layer([self._parts.pop((index, other)) for other in self._matrices])

    def _layer(self, parts: list[Weight]) -> nn.Module:
        """Return the layer of an expert's matrices, one below the other."""
        pending = self._pending
        packed = [part for part in parts if isinstance(part, Int4Weight)]
        if pending.keep_int4 and len(packed) == len(parts) and len({part.group for part in packed}) == 1:
            return Int4Weight.cat(packed).to_layer(pending.device, pending.dtype)
        dense = torch.cat([part.dequantize() if isinstance(part, Int4Weight) else part.float() for part in parts])
        if pending.bits:
            bits = quantization.bits_for(self._name, pending.bits)
            return quantization.quantize_linear(dense.to(pending.device), None, bits, pending.dtype)
        layer = nn.Linear(dense.shape[1], dense.shape[0], bias=False, device="meta")
        layer.weight = nn.Parameter(dense.to(pending.device, pending.dtype), requires_grad=False)
        return layer

    def is_complete(self) -> bool:
        """Return whether no matrix of any expert is missing."""
        return not self._remaining

    def result(self) -> nn.Parameter | nn.ModuleList:
        """Return what the model has for the experts."""
        if self._tensor is not None:
            return nn.Parameter(self._tensor, requires_grad=False)
        return nn.ModuleList(self._layers[index] for index in range(len(self._layers)))
