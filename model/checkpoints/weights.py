"""Load and save the weights of a checkpoint.

Files are memory-mapped and read one tensor at a time, so only the model's own weights stay in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from actions import UsageError
from model.checkpoints.files import EMBEDDED_FOLDER, INDEX, SINGLE, check_format, resolve_checkpoint, shard_files
from model.checkpoints.gguf_settings import indexed_tensors
from model.checkpoints.gguf_weights import is_int4, is_quantized, load_parameters
from model.checkpoints.pending_parameters import PendingParameters
from model.checkpoints.quantized_formats import QuantizedFormat, read_format, read_method
from model.nn import quantization
from model.nn.architectures import make_model
from model.nn.config import Config, read_config
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
    OpenCUA, builds in AWQ and FP8, and "embedded". A mixture of experts has one tensor for all experts of a layer, or
    one each.
    Files are read one tensor at a time, so the weights are the only large allocation.

    Args:
        path_or_hub_id: "embedded", a checkpoint folder, a Hub id that `agent models pull` has fetched, or a GGUF file
            of Qwen2-VL, Qwen2.5-VL or Qwen3-VL.
        device: "cpu", "cuda" or "cuda:N".
        dtype: Dtype of weights and activations; None for bfloat16 on CUDA and with weights of less than 16 bits in AWQ
            checkpoints and GGUF files, else float32.
        mrope: Rule for the positions of text after a video; see `model.nn.rope`.
        bits: 8 or 4 to quantize the weights (see `model.nn.quantization`). An AWQ checkpoint stays in its own 4 bits
            unless a dtype or 8 bits are requested, and so do Q4_0 and Q4_K in the decoder's layers of a GGUF file.
            Its other weights and those in FP8 are dequantized.

    Returns:
        The model on the device; call it with token ids to get logits (see `Qwen25VL.forward`).

    Raises:
        UsageError: The checkpoint is missing, damaged, in an unsupported format, or larger than the free memory.
    """
    folder = resolve_checkpoint(path_or_hub_id)
    check_format(folder)
    config = read_config(folder)
    files = shard_files(folder)
    tensors = indexed_tensors(folder)  # of GGUF files; none for other checkpoints
    is_packed = is_quantized(tensors) or read_method(folder) == "awq"
    keep_int4 = is_packed and bits != 8 and (bits == 4 or dtype is None)
    if dtype is None:
        dtype = torch.bfloat16 if bits or is_packed or device.startswith("cuda") else torch.float32
    if bits and dtype == torch.float32:
        raise UsageError("int8 and int4 weights cannot be used in float32; leave the dtype out, or use bfloat16")
    with torch.device("meta"):
        model = make_model(config, mrope)
    if tensors:
        pending = PendingParameters(model, str(files[0]), device, dtype, bits, keep_int4, settings="the metadata")
        pending.check_memory(lambda name: is_int4(name, config, tensors))
        load_parameters(pending, config, tensors)
    else:
        pending = PendingParameters(model, str(folder), device, dtype, bits, keep_int4)
        _load_safetensors(pending, config, files, read_format(folder, dtype))
    pending.check_complete()
    return model.eval()


def _load_safetensors(
    pending: PendingParameters, config: Config, files: list[Path], quantized_format: QuantizedFormat
) -> None:
    pending.check_memory(quantized_format.is_int4)
    is_transposed = bool(config.text.num_experts) and has_transposed_experts(files, pending.missing())
    for file_name, tensor in _tensors(files):
        name = map_name(file_name)
        if name == "lm_head.weight" and config.text.tie_word_embeddings:
            continue  # a copy of the embeddings, which some tools save twice
        if name.startswith(DRAFT_PREFIX) and config.text.delta:
            continue
        for weight_name, weight in quantized_format.take(name, tensor, partial(pending.shape, file_name=file_name)):
            if is_transposed and EXPERTS.search(weight_name) and isinstance(weight, Tensor) and weight.dim() == 3:
                weight = weight.transpose(1, 2)
            pending.load(weight_name, weight, file_name)
        del tensor


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
