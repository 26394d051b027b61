"""Locate checkpoint folders and their weight files, without loading torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from actions import UsageError
from model.checkpoints.gguf_settings import INDEX as GGUF_INDEX
from model.checkpoints.gguf_settings import indexed_files, is_gguf, open_gguf
from model.json_file import read_json_object, read_text
from model.nn.config import find_variant

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent.parent / "embedded"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# tokenization_*.py is only parsed for one string (model.processing.tiktoken_loader); no code of a checkpoint is run
HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "tokenization_*.py"]
SERVE_IT = "serve it with another program and pass its address (--model http://HOST:PORT/v1#NAME)"


def resolve_checkpoint(path_or_hub_id: str | Path) -> Path:
    """Return the folder of a checkpoint: "embedded", a folder, a Hub id that was pulled, or a GGUF file.

    That of a GGUF file has its settings; see `model.checkpoints.gguf_settings`.

    Raises:
        UsageError: There is no such folder or file, the Hub id is not in the local cache, or the GGUF file cannot be
            loaded.
    """
    text = str(path_or_hub_id)
    if text == EMBEDDED:
        return EMBEDDED_FOLDER
    if is_gguf(text):
        return open_gguf(text)
    folder = Path(text).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{text} is a file; a checkpoint is a folder with config.json beside its .safetensors")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise UsageError(
            f"no model '{text}': neither a folder nor a Hub id like Qwen/Qwen2.5-VL-3B-Instruct; see `agent models`"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, allow_patterns=HUB_FILES, local_files_only=True))
    except Exception:  # never downloaded implicitly: a checkpoint has gigabytes and a license
        raise UsageError(f"model '{text}' is not on this disk; fetch it first: agent models pull {text}") from None


def check_format(folder: Path) -> None:
    """Raise UsageError for a folder that cannot be loaded: a LoRA adapter, MLX, or an unsupported model_type."""
    has_weights = any((folder / name).exists() for name in (SINGLE, INDEX, GGUF_INDEX))
    if (folder / "adapter_config.json").exists() and not has_weights:
        base = read_json_object(folder / "adapter_config.json").get("base_model_name_or_path")
        of_base = f" for {base}" if isinstance(base, str) and base else ""
        raise UsageError(
            f"{folder} is a LoRA adapter{of_base}, not a whole model: merge it into its base model first "
            "(peft: model.merge_and_unload().save_pretrained(FOLDER)), then load that folder"
        )
    gguf_files = sorted(file for file in folder.glob("*.gguf") if "mmproj" not in file.name.lower())
    if not has_weights and gguf_files:
        raise UsageError(f"{folder} has GGUF files only; pass the file: --model {gguf_files[0]}")
    config = folder / "config.json"
    data = read_json_object(config) if config.exists() else {}
    quantization = data.get("quantization")
    if isinstance(quantization, dict) and {"bits", "group_size"} <= set(quantization):
        raise UsageError(
            f"{folder} is quantized for Apple's MLX, which cannot be loaded: "
            f"use the original checkpoint or an AWQ build, or {SERVE_IT}"
        )
    if "model_type" in data:
        find_variant(data["model_type"], str(config))


def shard_files(folder: Path) -> list[Path]:
    """Return the weight files of a checkpoint, .safetensors or .gguf.

    Raises:
        UsageError: The index is damaged or a file is missing.
    """
    if gguf_files := indexed_files(folder):
        return gguf_files
    index = folder / INDEX
    if not index.exists():
        if (folder / SINGLE).exists():
            return [folder / SINGLE]
        raise UsageError(
            f"{folder} has neither {SINGLE} nor {INDEX}; only safetensors checkpoints and GGUF files can be loaded"
        )
    try:
        names = sorted(set(json.loads(read_text(index))["weight_map"].values()))
        if not names or any(name != Path(name).name for name in names):
            raise ValueError("weight_map must name files of this folder")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UsageError(f"{index} cannot be read ({error}); download the checkpoint again") from None
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise UsageError(
            f"{folder} lacks {len(missing)} of {len(names)} files, {missing[0]} first; download the checkpoint again"
        )
    return [folder / name for name in names]


def has_weights(folder: Path) -> bool:
    """Return whether all weight files of a checkpoint are in the folder."""
    try:
        return bool(shard_files(folder))
    except UsageError:
        return False
