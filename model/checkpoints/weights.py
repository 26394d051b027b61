"""Checkpoint files -> a model, by a table of names. Knows folders, shards and dtypes; knows no pictures.

Files are memory-mapped and read one tensor at a time: the model's own weights are all that stays in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints import awq, memory_check
from model.nn import quantization
from model.nn.config import read_config
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import Rule

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent.parent / "embedded"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# Names in files -> names in Qwen25VL, the first that matches. Files on the hub have the flat layout, which is ours;
# transformers 4.52 and later saves the nested one.
NAME_MAP: tuple[tuple[str, str], ...] = (
    (r"^model\.visual\.", "visual."),
    (r"^model\.language_model\.", "model."),
    (r"^language_model\.", ""),  # a Qwen2 of its own, as OpenCUA has it
    (r"^vision_tower\.", "visual."),
)

# tokenization_*.py: a text in it is read (model.tiktoken_file); no file of a checkpoint is ever run
HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "tokenization_*.py"]


def map_name(name: str) -> str:
    for pattern, replacement in NAME_MAP:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def resolve_checkpoint(path_or_hub_id: str | Path) -> Path:
    """The folder of a checkpoint: "embedded", a folder, or a hub id (of what `agent models pull` fetched)."""
    text = str(path_or_hub_id)
    if text == EMBEDDED:
        return EMBEDDED_FOLDER
    folder = Path(text).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{text} is a file; a checkpoint is a folder with config.json beside its .safetensors")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise UsageError(
            f"no model '{text}': neither a folder nor a hub id like Qwen/Qwen2.5-VL-3B-Instruct; see `agent models`"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, allow_patterns=HUB_FILES, local_files_only=True))
    except Exception:  # nothing is fetched unasked: a checkpoint has gigabytes and a licence
        raise UsageError(f"model '{text}' is not on this disk; fetch it first: agent models pull {text}") from None


def shard_files(folder: Path) -> list[Path]:
    """The .safetensors files of a checkpoint, all of them there."""
    index = folder / INDEX
    if not index.exists():
        if (folder / SINGLE).exists():
            return [folder / SINGLE]
        raise UsageError(f"{folder} has neither {SINGLE} nor {INDEX}; only safetensors checkpoints can be loaded")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if not names or any(name != Path(name).name for name in names):
            raise ValueError("weight_map must name files of this folder")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{index} cannot be read ({error}); download the checkpoint again") from None
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise UsageError(
            f"{folder} lacks {len(missing)} of {len(names)} files, {missing[0]} first; download the checkpoint again"
        )
    return [folder / name for name in names]


REOPEN_SHARE = 0.04  # of the whole: what is read through one mapping before it is closed and its pages are let go


def _tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Every (name in the file, tensor) in turn; a tensor is only good until the next one is asked for."""
    budget = max(16 << 20, int(sum(file.stat().st_size for file in files) * REOPEN_SHARE))
    for file in files:
        try:
            with safe_open(file, framework="pt") as handle:
                names = list(handle.keys())
            while names:
                read = 0
                with safe_open(file, framework="pt") as handle:
                    while names and read < budget:
                        tensor = handle.get_tensor(names[0])
                        read += tensor.numel() * tensor.element_size()
                        yield names.pop(0), tensor
                        del tensor
        except (SafetensorError, OSError) as error:
            raise UsageError(
                f"{file} is damaged or not whole ({str(error)[:160]}); delete it and download the checkpoint again"
            ) from None


def load_model(
    path_or_hub_id: str | Path,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    mrope: Rule = "original",
    bits: quantization.Bits | None = None,
) -> Qwen25VL:
    """A Qwen2.5-VL checkpoint, ready to be called: the official 3B, 7B, 32B and 72B, their fine-tunes, or "embedded".

    dtype: default bfloat16 on CUDA and for weights of few bits, else float32. bits: 8 or 4 for weights that take so
    little (see model.engine.narrow); an AWQ checkpoint keeps its own 4 unless a dtype or 8 bits are asked for.
    UsageError, one sentence with the file and the remedy, for whatever is missing, damaged, foreign or too large.
    """
    folder = resolve_checkpoint(path_or_hub_id)
    config = read_config(folder)
    files = shard_files(folder)
    group = awq.read_group(folder)
    as_packed = group is not None and bits != 8 and (bits == 4 or dtype is None)
    if dtype is None:
        dtype = torch.bfloat16 if bits or as_packed or device.startswith("cuda") else torch.float32
    if bits and dtype == torch.float32:
        raise UsageError("weights of 8 and 4 bits are multiplied in bfloat16; leave the dtype out, or say bfloat16")
    with torch.device("meta"):
        model = Qwen25VL(config, mrope)
    left = _PendingParameters(model, folder, device, dtype, bits)
    left.require_room(as_packed)
    packed: dict[str, dict[str, Tensor]] = {}
    for file_name, tensor in _tensors(files):
        name = map_name(file_name)
        part = awq.kind_of(name) if group is not None else None
        if part is not None and group is not None:
            at, kind = part
            packed.setdefault(at, {})[kind] = tensor.clone()
            if len(packed[at]) == len(awq.KINDS):
                shape = left.take(f"{at}.weight", file_name).shape
                values, pairs = awq.read(packed.pop(at), shape, group, at, torch.float32)
                left.put_packed(at, values, pairs, as_packed)
        elif name == "lm_head.weight" and config.text.tie_word_embeddings:
            continue  # the same rows as the embeddings, which some writers store twice
        else:
            parameter = left.take(name, file_name)
            if parameter.shape != tensor.shape:
                raise UsageError(
                    f"{folder}: '{file_name}' is {list(tensor.shape)} where config.json says {list(parameter.shape)}; "
                    "config.json and the weights are not of one checkpoint"
                )
            left.load(name, tensor)
        del tensor
    left.check_complete()
    return model.eval()


class _PendingParameters:
    """A model without numbers, and which of its parameters have none yet."""

    def __init__(
        self, model: Qwen25VL, folder: Path, device: str, dtype: torch.dtype, bits: quantization.Bits | None
    ) -> None:
        self.model, self.folder = model, folder
        self.device, self.dtype, self.bits = device, dtype, bits
        self._owners = dict(model.named_modules())
        self._wanted = dict(model.named_parameters())

    def require_room(self, as_packed: bool) -> None:
        """UsageError when the device has no memory for it."""

        def size(name: str, one: Tensor) -> int:
            four = as_packed and name.startswith("model.layers.")
            bits = self.bits or (4 if four else None)
            if bits and quantization.is_narrowed(name, self._owners[name.rpartition(".")[0]]):
                return quantization.quantized_nbytes(name, one.shape, bits)
            return one.numel() * self.dtype.itemsize

        held = f"int{self.bits}" if self.bits else "4 bits" if as_packed else _short(self.dtype)
        needed = sum(size(name, one) for name, one in self._wanted.items())
        memory_check.check_fits(needed, self.device, f"{self.folder.name} in {held}")

    def take(self, name: str, file_name: str) -> Tensor:
        """The parameter that a tensor in a file is for, without its numbers; it counts as there from now on."""
        parameter = self._wanted.pop(name, None)
        if parameter is None:
            raise UsageError(
                f"{self.folder} has a tensor '{file_name}' that Qwen2.5-VL does not; is it another architecture?"
            )
        return parameter

    def load(self, name: str, tensor: Tensor) -> None:
        at, _, kind = name.rpartition(".")
        if self.bits and quantization.is_narrowed(name, self._owners[at]):
            quantization.replace_with_quantized(self.model, name, tensor.to(self.device), self.bits, self.dtype)
            return
        loaded = tensor.to(device=self.device, dtype=self.dtype)
        owner = self.model.get_submodule(at)  # which may be a narrow one by now
        setattr(owner, kind, nn.Parameter(loaded, requires_grad=False) if kind in owner._parameters else loaded)

    def put_packed(self, at: str, values: Tensor, pairs: Tensor, as_packed: bool) -> None:
        """A weight of 4 bits, kept so or widened."""
        if not as_packed or len(values) % quantization.BLOCK:
            self.load(f"{at}.weight", quantization.dequantize_int4(values, pairs))
            return
        four = quantization.Int4Linear.of(values.to(self.device), pairs.to(self.device, self.dtype), None)
        before: Any = self.model.get_submodule(at)
        quantization.replace(self.model, at, four)
        quantization.set_bias(self.model, at, before.bias)

    def check_complete(self) -> None:
        """UsageError while a parameter has no numbers."""
        if self._wanted:
            raise UsageError(
                f"{self.folder} lacks {len(self._wanted)} tensors, '{min(self._wanted)}' first; "
                "download the checkpoint again"
            )


def save_model(
    model: Qwen25VL,
    folder: Path,
    dtype: torch.dtype,
    metadata: dict[str, Any] | None = None,
    shard_bytes: int | None = None,
) -> list[Path]:
    """Write the weights as the hub's flat layout; config.json and the tokenizer are the caller's. Returns the files.

    shard_bytes: the most that one file's tensors take, with an index beside the files; None for a single file.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for name, tensor in tensors.items():
        if room is not None and shard_bytes is not None:
            if tensor.nbytes > room and shards[-1]:
                shards.append({})
                room = shard_bytes
            room -= tensor.nbytes
        shards[-1][name] = tensor
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    for name, shard in zip(names, shards, strict=True):
        partial = folder / f"{name}.partial"
        save_file(shard, partial, metadata={"format": "pt", **{k: str(v) for k, v in (metadata or {}).items()}})
        partial.replace(folder / name)
    if count > 1:
        where = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in names]


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
