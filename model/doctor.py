"""Checks of what models need: a GPU, memory, checkpoints and disk space."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from actions import doctor
from actions.doctor import Finding, Host

GB = 1e9


def run_checks(host: Host | None = None) -> Iterator[Finding]:
    """Yield all findings in the order of the report."""
    return doctor.run_checks(CHECKS, host or Host())


def check_gpu(host: Host) -> Iterator[Finding]:
    """Check for torch and for a GPU that it can use."""
    if find_spec("torch") is None:
        yield Finding("gpu", "error", "torch is not installed, so no model can run", "pip install torch")
        return
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            free, total = (value / GB for value in torch.cuda.mem_get_info(index))
            yield Finding("gpu", "ok", f"{properties.name}, {free:.1f} of {total:.1f} GB free")
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "ok", "Apple GPU through MPS")
    else:
        fix = "use a server that has one: --model http://HOST:PORT/v1#NAME"
        yield Finding("gpu", "warning", f"none; torch {torch.__version__} runs on the CPU, slowly", fix)


def check_memory(host: Host) -> Iterator[Finding]:
    """Check the main memory."""
    import psutil

    memory = psutil.virtual_memory()
    message = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free"
    if memory.available < 1 * GB:
        yield Finding("memory", "error", message, "end other programs; even the embedded model needs 1 GB")
    elif memory.total < 16 * GB:
        yield Finding("memory", "warning", message, "a 3B model in half precision needs about 10 GB, a 7B one 20 GB")
    else:
        yield Finding("memory", "ok", message)


def check_models(host: Host) -> Iterator[Finding]:
    """Check which checkpoints are on this disk, by their files alone."""
    package = find_spec("model")
    folders = list(package.submodule_search_locations or []) if package else []
    if any(_has_weights(Path(folder) / "embedded") for folder in folders):
        yield Finding("embedded", "ok", "the embedded model is installed; it solves practice pages")
    else:
        yield Finding("embedded", "error", "the embedded model's weights are missing", "install the package again")
    cache = _hub_cache(host)
    complete = sorted(
        folder.name for folder in cache.glob("models--*") if any(map(_has_weights, folder.glob("snapshots/*")))
    )
    names = [name.removeprefix("models--").replace("--", "/") for name in complete]
    if names:
        yield Finding("models", "ok", f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''} in {cache}")
    else:
        yield Finding("models", "warning", f"none in {cache} for your own screen", "agent models")


def check_files(host: Host) -> Iterator[Finding]:
    """Check which forms of weight files can be loaded."""
    from model.checkpoints.file_forms import FILE_FORMS, has_gguf_package

    forms = [form for form, _, _ in FILE_FORMS if form and (form != "GGUF" or has_gguf_package())]
    note = "" if has_gguf_package() else "; GGUF after pip install 'pixelhand[gguf]'"
    yield Finding("files", "ok", f"checkpoints of {', '.join(forms)} can be loaded{note}")


def check_disk(host: Host) -> Iterator[Finding]:
    """Check that a checkpoint fits on the disk of the Hugging Face cache."""
    cache = _hub_cache(host)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    free = host.disk(folder).free
    message = f"{free / GB:.0f} GB free for models ({folder})"
    if free < 20 * GB:
        yield Finding(
            "disk", "warning", message, "a 7B checkpoint needs 17 GB; set HF_HOME to a folder on another disk"
        )
    else:
        yield Finding("disk", "ok", message)


def _has_weights(folder: Path) -> bool:
    """Return whether a checkpoint is complete: one file, or every file that the index names."""
    try:
        names = json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"].values()
    except FileNotFoundError:
        return (folder / "model.safetensors").is_file()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # truncated, or not an index
        return False
    files = {folder / str(name) for name in names}
    return bool(files) and all(file.is_file() for file in files)


def _hub_cache(host: Host) -> Path:
    """Return the cache folder of huggingface_hub. Source: its documentation of environment variables."""
    environ = host.environ
    if folder := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(folder)
    home = environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or host.home / ".cache") / "huggingface"
    return Path(home) / "hub"


CHECKS = (check_gpu, check_memory, check_models, check_files, check_disk)
