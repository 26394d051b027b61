"""Which checkpoints there are, on this disk and on the hub, and which of them fit here. Knows no tensors.

The families' facts stand in model/families.py.
"""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actions import UsageError
from model.checkpoints.model_zoo import FAMILIES, GRID_TOKENS, Checkpoint, ModelFamily, UseCase, needs, parameters
from model.nn.config import OFFICIAL, VARIANTS

HUB_ANSWERS_S = 20.0


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint of the base family on the hub. gigabytes: of its weights in bfloat16, 2 bytes a parameter."""

    hub_id: str
    gigabytes: float
    licence: str


KNOWN = tuple(
    HubCheckpoint(one.hub_id, round(2 * sum(parameters(OFFICIAL[one.size])) / 1e9, 1), one.licence)
    for one in FAMILIES[0].checkpoints
)
SUGGESTED = "Qwen/Qwen2.5-VL-7B-Instruct"


@dataclass(frozen=True)
class Cached:
    """A checkpoint of our architecture in the hub's cache on this disk."""

    hub_id: str
    bytes: int
    path: Path


@dataclass(frozen=True)
class Machine:
    """What a model may use. gpu_bytes: free memory of the first CUDA device, 0 where there is none."""

    memory_bytes: int
    gpu_bytes: int = 0
    gpu: str = ""


@dataclass(frozen=True)
class Recommendation:
    """A checkpoint that fits, and how. kind: bf16, int8 or int4; place: "gpu" or "cpu"; needed: bytes."""

    family: ModelFamily
    checkpoint: Checkpoint
    kind: str
    place: str
    needed: int


BENCHMARKS: dict[UseCase, tuple[str, ...]] = {
    "desktop": ("OSWorld", "OSWorld-Verified"),
    "browser": ("WebTailBench",),
    "phone": ("AndroidWorld",),
    "grounding": ("ScreenSpot-Pro",),
}
SPARE = 0.9  # share of the free memory that weights and context may take


def this_machine() -> Machine:
    """Free memory here, now."""
    import psutil

    from model.checkpoints.memory_check import available_bytes

    free = int(psutil.virtual_memory().available)
    try:
        import torch

        if torch.cuda.is_available():
            return Machine(free, available_bytes("cuda"), torch.cuda.get_device_name())
    except ImportError:
        pass  # without torch there is no GPU for us either
    return Machine(free)


def recommend(machine: Machine, use: UseCase) -> list[Recommendation]:
    """What fits and runs here for a use: in each family the largest checkpoint that fits, as finely as it fits.

    The families come by their best published score on the use's benchmark (BENCHMARKS), those without one last. A GPU
    goes before the CPU, bf16 before int8 before int4.
    """
    able = [family for family in FAMILIES if use in family.use and family.runs == "here"]
    able.sort(key=lambda family: -_best(family, use))
    found = (_largest(family, machine, use) for family in able)
    return [advice for advice in found if advice is not None]


def _best(family: ModelFamily, use: UseCase) -> float:
    return max((score.value for score in family.scores if score.benchmark in BENCHMARKS[use]), default=0.0)


def _largest(family: ModelFamily, machine: Machine, use: UseCase) -> Recommendation | None:
    for place, free in (("gpu", machine.gpu_bytes), ("cpu", machine.memory_bytes)):
        for checkpoint in reversed(family.checkpoints):
            if checkpoint.use and use not in checkpoint.use:
                continue
            for kind, needed in needs(checkpoint).items():
                if needed <= SPARE * free:
                    return Recommendation(family, checkpoint, kind, place, needed)
    return None


def family_table() -> str:
    """Each family on a line, with its sizes; for a person."""
    lines = [f"{'dialect':12} {'family':26} {'runs':7} {'sizes':14} good at"]
    for family in FAMILIES:
        sizes = " ".join(one.size or f"{one.billions:g}B" for one in family.checkpoints) or "-"
        lines.append(f"{family.dialect:12} {family.name:26} {family.runs:7} {sizes:14} {family.good_at}")
    return "\n".join(lines)


def family_card(name: str) -> str:
    """All that is known of one family, by its dialect or name. UsageError, with the nearest, for an unknown one."""
    by_name = {family.dialect: family for family in FAMILIES}
    family = by_name.get(name) or next((one for one in FAMILIES if one.name.lower() == name.lower()), None)
    if family is None:
        near = difflib.get_close_matches(name, by_name, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"no family '{name}'; have {', '.join(by_name)}.{hint}")
    where = "in our engine, or behind a server" if family.runs == "here" else "behind a server (docs/servers.md)"
    lines = [f"{family.name} (dialect {family.dialect}): {family.good_at}", f"runs {where}", ""]
    if family.checkpoints:
        lines.append(f"  {'checkpoint':34} {'bf16':>8} {'int8':>8} {'int4':>8}  licence")
    for one in family.checkpoints:
        figures = needs(one)
        shown = " ".join(_gigabytes(figures.get(kind)) for kind in ("bf16", "int8", "int4"))
        lines.append(f"  {one.hub_id:34} {shown}  {one.licence}")
    if family.checkpoints:
        lines.append(
            f"  memory for weights and {GRID_TOKENS} tokens of context (of other shapes: weights only); int8 and int4 "
            "shrink the decoder's layers"
        )
    lines += [
        "",
        "  published scores, in percent, by their sources:" if family.scores else "  no published score at hand",
    ]
    for score in family.scores:
        lines.append(f"  {score.checkpoint:12} {score.benchmark:18} {score.value:6.1f}  {score.source}")
    return "\n".join(lines)


def _gigabytes(count: int | None) -> str:
    return f"{'-':>8}" if count is None else f"{count / 1e9:5.1f} GB"


def no_model_message() -> str:
    """For a machine that has the embedded model only: what its own screen needs, and how to get it."""
    return (
        "your own screen needs a model that was made for it, and none is on this disk: `agent models` names them, "
        f"`agent models pull {SUGGESTED}` fetches one"
    )


def choose_model_message(here: Sequence[str]) -> str:
    """What to tell somebody who has named neither model nor page, on a disk that has models."""
    return (
        f"no model was named (--model), and on this disk {'is' if len(here) == 1 else 'are'} {', '.join(here)}; name "
        f"one and the page to start from: --model {here[0]} --url https://...; or see the embedded one: agent demo"
    )


def get_model_message() -> str:
    """What to tell somebody who has named no model."""
    lines = [
        "This needs a model, and none was named (--model). The embedded one knows the practice pages only.",
        "These can be used; the larger, the more they can do, and the slower:",
        "",
        *(f"  {known.hub_id:30} {known.gigabytes:6.1f} GB  {known.licence}" for known in KNOWN),
        "",
        f"Get one:   agent models pull {SUGGESTED}",
        f'Use it:    agent run "GOAL" --url https://... --model {SUGGESTED}',
        "See how it goes first, without a download:   agent demo",
    ]
    return "\n".join(lines)


def cached() -> Iterator[Cached]:
    """The checkpoints of our architecture in the hub's cache, by name; one whose weights never came is none."""
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
                yield Cached(repo.repo_id, revision.size_on_disk, folder)


def pull(hub_id: str, say: Callable[[str], None]) -> Path:
    """Fetch a checkpoint into the hub's cache and return its folder; what is there already is not fetched again.

    Only its settings, tokenizer and safetensors are taken. UsageError, in a sentence, when it cannot be had.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, logging, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    from model.checkpoints.weights import HUB_FILES

    logging.set_verbosity_error()  # its retries are not for the person
    try:
        files = HfApi().model_info(hub_id, files_metadata=True, timeout=HUB_ANSWERS_S).siblings or []
        if not _is_supported(Path(hf_hub_download(hub_id, "config.json"))):
            raise UsageError(
                f"{hub_id} is not a Qwen2.5-VL (its config.json is of another architecture); see `agent models`"
            )
        size = sum(file.size or 0 for file in files if Path(file.rfilename).match("*.safetensors"))
        cache = Path(constants.HF_HUB_CACHE)
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        say(f"{hub_id}: {size / 1e9:.1f} GB of weights into {cache}, where {free / 1e9:.1f} GB are free")
        return Path(snapshot_download(hub_id, allow_patterns=HUB_FILES))
    except UsageError:
        raise
    except OfflineModeIsEnabled:
        reason = "HF_HUB_OFFLINE is set"
    except (
        Exception
    ) as error:  # which transport's errors these are differs from version to version of the hub's library
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    raise UsageError(
        f"{hub_id!r} could not be fetched ({reason}); check the name, the network and the disk, and try again: "
        "what came already is kept"
    )


def _is_supported(config: Path) -> bool:
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(kind, str) and kind in VARIANTS
