"""Load and save the weights of a checkpoint.

Files are memory-mapped and read one tensor at a time, so only the model's own weights stay in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints import awq, memory_check
from model.checkpoints.files import EMBEDDED_FOLDER, INDEX, SINGLE, check_format, resolve_checkpoint, shard_files
from model.nn import quantization
from model.nn.architectures import make_model
from model.nn.config import read_config
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import Rule

__all__ = ["EMBEDDED_FOLDER", "INDEX", "SINGLE", "load_model", "resolve_checkpoint", "save_model", "shard_files"]

# Names in files -> parameter names of Qwen25VL and its siblings; the first match applies. Qwen2.5-VL's files on the Hub
# have the flat layout, which Qwen25VL has too; Qwen3-VL's and those of transformers 4.52 and later the nested one.
NAME_MAP: tuple[tuple[str, str], ...] = (
    (r"^model\.visual\.", "visual."),
    (r"^model\.language_model\.", "model."),
    (r"^language_model\.", ""),  # OpenCUA: the decoder is a Qwen2 model
    (r"^vision_tower\.", "visual."),
)


def map_name(name: str) -> str:
    """Return the parameter name of a tensor in a file."""
    for pattern, replacement in NAME_MAP:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


EXPERTS = re.compile(r"\.mlp\.experts\.(gate_up|down)_proj$")


def has_transposed_experts(files: list[Path], shapes: Mapping[str, torch.Size]) -> bool:
    """Return whether the files have the experts' matrices as [E, N, K], as transformers 5 saves them.

    Those of the Hub are [E, K, N], like the parameters whose shapes are given by name. A square matrix does not tell,
    and only one of an expert's two can be square.
    """
    for file in files:
        with _reading(file), safe_open(file, framework="pt") as handle:
            for name in handle.keys():  # noqa: SIM118
                expected = shapes.get(map_name(name)) if EXPERTS.search(name) else None
                if expected is not None and expected[1] != expected[2]:
                    shape: list[int] = handle.get_slice(name).get_shape()
                    return shape == [expected[0], expected[2], expected[1]]
    return False


DRAFT_PREFIX = "mtp."  # of Qwen3.5's layer that drafts tokens for speculative decoding, which is not computed
ADAPTER_MARKS = (".lora_", ".base_layer.", "base_model.model.")  # parts of tensor names that PEFT adds
REOPEN_SHARE = 0.04  # share of all bytes read through one memory map before it is closed, which frees its pages


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise UsageError where a file cannot be read."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"{file} is damaged or incomplete ({str(error)[:160]}); delete it and download the checkpoint again"
        ) from None


def _tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield (name in the file, tensor); a tensor is valid only until the next one is requested."""
    budget = max(16 << 20, int(sum(file.stat().st_size for file in files) * REOPEN_SHARE))
    for file in files:
        with _reading(file):
            with safe_open(file, framework="pt") as handle:
                names = list(handle.keys())
            while names:
                read_bytes = 0
                with safe_open(file, framework="pt") as handle:
                    while names and read_bytes < budget:
                        tensor = handle.get_tensor(names[0])
                        read_bytes += tensor.numel() * tensor.element_size()
                        yield names.pop(0), tensor
                        del tensor


def load_model(
    path_or_hub_id: str | Path,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    mrope: Rule = "original",
    bits: quantization.Bits | None = None,
) -> Qwen25VL:
    """Load a checkpoint in evaluation mode.

    Supported are Qwen2.5-VL, Qwen3-VL (dense and with experts), Qwen3.5 (dense) and Qwen2-VL, their fine-tunes,
    OpenCUA, AWQ builds and "embedded".
    Files are read one tensor at a time, so the weights are the only large allocation.

    Args:
        path_or_hub_id: "embedded", a checkpoint folder, or a Hub id that `agent models pull` has fetched.
        device: "cpu", "cuda" or "cuda:N".
        dtype: Dtype of weights and activations; None for bfloat16 on CUDA and with quantized weights, else float32.
        mrope: Rule for the positions of text after a video; see `model.nn.rope`.
        bits: 8 or 4 to quantize the weights (see `model.nn.quantization`). An AWQ checkpoint stays in its own 4 bits
            unless a dtype or 8 bits are requested.

    Returns:
        The model on the device; call it with token ids to get logits (see `Qwen25VL.forward`).

    Raises:
        UsageError: The checkpoint is missing, damaged, in an unsupported format, or larger than the free memory.
    """
    folder = resolve_checkpoint(path_or_hub_id)
    check_format(folder)
    config = read_config(folder)
    files = shard_files(folder)
    group = awq.read_group_size(folder)
    keep_awq = group is not None and bits != 8 and (bits == 4 or dtype is None)
    if dtype is None:
        dtype = torch.bfloat16 if bits or keep_awq or device.startswith("cuda") else torch.float32
    if bits and dtype == torch.float32:
        raise UsageError("int8 and int4 weights cannot be used in float32; leave the dtype out, or use bfloat16")
    with torch.device("meta"):
        model = make_model(config, mrope)
    pending = _PendingParameters(model, folder, device, dtype, bits)
    pending.check_memory(keep_awq)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    is_transposed = bool(config.text.num_experts) and has_transposed_experts(files, shapes)
    packed: dict[str, dict[str, Tensor]] = {}
    for file_name, tensor in _tensors(files):
        name = map_name(file_name)
        awq_part = awq.split_name(name) if group is not None else None
        if awq_part is not None and group is not None:
            module_name, kind = awq_part
            packed.setdefault(module_name, {})[kind] = tensor.clone()
            if len(packed[module_name]) == len(awq.KINDS):
                shape = pending.pop(f"{module_name}.weight", file_name).shape
                values, pairs = awq.unpack_weight(packed.pop(module_name), shape, group, module_name, torch.float32)
                pending.load_int4(module_name, values, pairs, keep_awq)
        elif name == "lm_head.weight" and config.text.tie_word_embeddings:
            continue  # a copy of the embeddings, which some tools save twice
        elif name.startswith(DRAFT_PREFIX) and config.text.delta:
            continue
        else:
            parameter = pending.pop(name, file_name)
            if is_transposed and EXPERTS.search(name) and tensor.dim() == 3:
                tensor = tensor.transpose(1, 2)
            if parameter.shape != tensor.shape:
                raise UsageError(
                    f"{folder}: '{file_name}' is {list(tensor.shape)} where config.json says {list(parameter.shape)}; "
                    "config.json and the weights are not of one checkpoint"
                )
            pending.load(name, tensor)
        del tensor
    pending.check_complete()
    return model.eval()


class _PendingParameters:
    """A model on the meta device, and which of its parameters have not been loaded yet."""

    def __init__(
        self, model: Qwen25VL, folder: Path, device: str, dtype: torch.dtype, bits: quantization.Bits | None
    ) -> None:
        self.model, self.folder = model, folder
        self.device, self.dtype, self.bits = device, dtype, bits
        self._owners = dict(model.named_modules())
        self._missing = dict(model.named_parameters())

    def check_memory(self, keep_awq: bool) -> None:
        """Raise UsageError when the device has too little free memory for the weights."""

        def nbytes(name: str, parameter: Tensor) -> int:
            is_awq = keep_awq and name.startswith("model.layers.")
            bits = self.bits or (4 if is_awq else None)
            if bits and quantization.is_quantizable(name, self._owners[name.rpartition(".")[0]]):
                return quantization.quantized_nbytes(name, parameter.shape, bits)
            return parameter.numel() * self.dtype.itemsize

        precision = f"int{self.bits}" if self.bits else "4 bits" if keep_awq else _dtype_name(self.dtype)
        required = sum(nbytes(name, parameter) for name, parameter in self._missing.items())
        memory_check.check_fits(required, self.device, f"{self.folder.name} in {precision}")

    def pop(self, name: str, file_name: str) -> Tensor:
        """Return the parameter of that name on the meta device, and mark it as loaded."""
        parameter = self._missing.pop(name, None)
        if parameter is None:
            if any(mark in file_name for mark in ADAPTER_MARKS):
                raise UsageError(
                    f"{self.folder} has the adapter tensor '{file_name}': its LoRA weights were not merged. Merge them "
                    "(peft: model.merge_and_unload().save_pretrained(FOLDER)) and load that folder"
                )
            raise UsageError(
                f"{self.folder} has a tensor '{file_name}' that {self.model.config.name} does not; "
                "it is of another architecture"
            )
        return parameter

    def load(self, name: str, tensor: Tensor) -> None:
        """Set a parameter, quantized where bits are requested."""
        module_name, _, attribute = name.rpartition(".")
        if self.bits and quantization.is_quantizable(name, self._owners[module_name]):
            quantization.replace_with_quantized(self.model, name, tensor.to(self.device), self.bits, self.dtype)
            return
        loaded = tensor.to(device=self.device, dtype=self.dtype)
        owner = self.model.get_submodule(module_name)  # may be quantized by now
        is_parameter = attribute in owner._parameters
        setattr(owner, attribute, nn.Parameter(loaded, requires_grad=False) if is_parameter else loaded)

    def load_int4(self, module_name: str, values: Tensor, pairs: Tensor, keep_awq: bool) -> None:
        """Set a weight of 4 bits, packed as it is or dequantized."""
        if not keep_awq or len(values) % quantization.BLOCK:
            self.load(f"{module_name}.weight", quantization.dequantize_int4(values, pairs))
            return
        layer = quantization.Int4Linear.of(values.to(self.device), pairs.to(self.device, self.dtype), None)
        original: Any = self.model.get_submodule(module_name)
        quantization.replace_module(self.model, module_name, layer)
        quantization.set_bias(self.model, module_name, original.bias)

    def check_complete(self) -> None:
        """Raise UsageError when a parameter has not been loaded."""
        if set(self._missing) == {"lm_head.weight"}:
            raise UsageError(
                f"{self.folder} has no lm_head.weight, and tie_word_embeddings in its config.json is false: set it to "
                "true if the model was trained with tied embeddings; otherwise the export dropped the output layer, "
                "and the checkpoint must be saved again"
            )
        if self._missing:
            raise UsageError(
                f"{self.folder} lacks {len(self._missing)} tensors, '{min(self._missing)}' first; "
                "download the checkpoint again"
            )


def save_model(
    model: Qwen25VL,
    folder: Path,
    dtype: torch.dtype,
    metadata: Mapping[str, object] | None = None,
    shard_bytes: int | None = None,
) -> list[Path]:
    """Write the weights in the flat layout of the Hub; the caller writes config.json and the tokenizer.

    Args:
        model: The model to save.
        folder: Created if missing.
        dtype: Dtype of the tensors in the files.
        metadata: Added to the metadata of each file.
        shard_bytes: Most bytes of tensors per file, with an index beside the files; None for a single file.

    Returns:
        The paths of the .safetensors files.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    shards: list[dict[str, Tensor]] = [{}]
    free_bytes = shard_bytes
    for name, tensor in tensors.items():
        if free_bytes is not None and shard_bytes is not None:
            if tensor.nbytes > free_bytes and shards[-1]:
                shards.append({})
                free_bytes = shard_bytes
            free_bytes -= tensor.nbytes
        shards[-1][name] = tensor
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    for name, shard in zip(names, shards, strict=True):
        partial = folder / f"{name}.partial"
        save_file(shard, partial, metadata={"format": "pt", **{k: str(v) for k, v in (metadata or {}).items()}})
        partial.replace(folder / name)
    if count > 1:
        weight_map = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in names]


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
