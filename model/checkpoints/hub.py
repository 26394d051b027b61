"""Checkpoints in the Hugging Face cache and on the Hub: list, and fetch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actions import UsageError
from model.checkpoints.files import HUB_FILES
from model.checkpoints.model_zoo import load_family, parameters
from model.json_file import read_text
from model.nn.config import VARIANTS, supported_types
from model.nn.official_sizes import OFFICIAL

HUB_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint of a base family on the Hub."""

    hub_id: str
    gigabytes: float  # of its weights in bfloat16, 2 bytes per parameter
    license: str


KNOWN = tuple(
    HubCheckpoint(checkpoint.hub_id, round(2 * sum(parameters(OFFICIAL[checkpoint.size])) / 1e9, 1), checkpoint.license)
    for dialect in ("qwen25", "qwen3vl", "qwen35")
    for checkpoint in load_family(dialect).checkpoints
    if checkpoint.size
)


@dataclass(frozen=True)
class CachedCheckpoint:
    """A checkpoint of a supported architecture in the Hugging Face cache."""

    hub_id: str
    bytes: int  # on disk
    path: Path  # of the snapshot


def cached() -> Iterator[CachedCheckpoint]:
    """Yield the checkpoints of a supported architecture in the Hugging Face cache that have weights, by name."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        for revision in repo.revisions:
            folder = revision.snapshot_path
            if (
                repo.repo_type == "model"
                and any(folder.glob("*.safetensors"))
                and _is_supported(folder / "config.json")
            ):
                yield CachedCheckpoint(repo.repo_id, revision.size_on_disk, folder)


def pull(hub_id: str, report: Callable[[str], None]) -> Path:
    """Fetch a checkpoint into the Hugging Face cache; files that are there already are not fetched again.

    Only its settings, tokenizer and safetensors files are fetched.

    Args:
        hub_id: Like "Qwen/Qwen2.5-VL-7B-Instruct".
        report: Called with a line about the size and the free disk space before the weights are fetched.

    Returns:
        The folder of the checkpoint.

    Raises:
        UsageError: The checkpoint cannot be fetched, or its architecture is not supported.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, logging, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    logging.set_verbosity_error()  # hide the log lines about retries
    try:
        files = HfApi().model_info(hub_id, files_metadata=True, timeout=HUB_TIMEOUT_S).siblings or []
        if not _is_supported(Path(hf_hub_download(hub_id, "config.json"))):
            raise UsageError(
                f"{hub_id} cannot be computed here: its config.json is of another architecture than "
                f"{supported_types()}; see `agent models`"
            )
        size = sum(file.size or 0 for file in files if Path(file.rfilename).match("*.safetensors"))
        cache = Path(constants.HF_HUB_CACHE)
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        report(f"{hub_id}: {size / 1e9:.1f} GB of weights into {cache}, where {free / 1e9:.1f} GB are free")
        return Path(snapshot_download(hub_id, allow_patterns=HUB_FILES))
    except UsageError:
        raise
    except OfflineModeIsEnabled:
        reason = "HF_HUB_OFFLINE is set"
    except Exception as error:  # the errors of the transport differ between versions of huggingface_hub
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    raise UsageError(
        f"{hub_id!r} could not be fetched ({reason}); check the name, the network and the free disk space, and try "
        "again: a partial download is resumed"
    )


def _is_supported(config: Path) -> bool:
    try:
        model_type = json.loads(read_text(config)).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    return isinstance(model_type, str) and model_type in VARIANTS
