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
from model import memory
from model.config import read_config
from model.qwen25vl import Qwen25VL
from model.rope import Rule

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# Names in files -> names in Qwen25VL, the first that matches. Files on the hub have the flat layout, which is ours;
# transformers 4.52 and later saves the nested one.
NAMES: tuple[tuple[str, str], ...] = (
    (r"^model\.visual\.", "visual."),
    (r"^model\.language_model\.", "model."),
)

HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]


def own_name(name: str) -> str:
    for pattern, replacement in NAMES:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def find(path_or_hub_id: str | Path) -> Path:
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
) -> Qwen25VL:
    """A Qwen2.5-VL checkpoint, ready to be called: the official 3B, 7B, 32B and 72B, their fine-tunes, or "embedded".

    dtype: default bfloat16 on CUDA and float32 elsewhere. UsageError, one sentence with the file and the remedy, for
    whatever is missing, damaged, foreign or too large.
    """
    folder = find(path_or_hub_id)
    config = read_config(folder)
    files = shard_files(folder)
    if dtype is None:
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    with torch.device("meta"):
        model = Qwen25VL(config, mrope)
    owners = {
        f"{at}.{name}": one for at, one in model.named_modules() for name, _ in one.named_parameters(recurse=False)
    }
    wanted = dict(model.named_parameters())
    memory.require(
        sum(one.numel() for one in wanted.values()) * dtype.itemsize, device, f"{folder.name} in {_short(dtype)}"
    )
    for file_name, tensor in _tensors(files):
        name = own_name(file_name)
        if name == "lm_head.weight" and config.text.tie_word_embeddings:
            continue  # the same rows as the embeddings, which some writers store twice
        parameter = wanted.pop(name, None)
        if parameter is None:
            raise UsageError(
                f"{folder} has a tensor '{file_name}' that Qwen2.5-VL does not; is it another architecture?"
            )
        if parameter.shape != tensor.shape:
            raise UsageError(
                f"{folder}: '{file_name}' is {list(tensor.shape)} where config.json says {list(parameter.shape)}; "
                "config.json and the weights are not of one checkpoint"
            )
        loaded = tensor.to(device=device, dtype=dtype)
        setattr(owners[name], name.rpartition(".")[2], nn.Parameter(loaded, requires_grad=False))
        del tensor, loaded
    if wanted:
        raise UsageError(f"{folder} lacks {len(wanted)} tensors, '{min(wanted)}' first; download the checkpoint again")
    return model.eval()


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
