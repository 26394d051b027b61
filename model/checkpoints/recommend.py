"""Recommend checkpoints for a use and the free memory, and describe the model families to a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from actions import UsageError
from actions.suggest import suggest
from model.checkpoints.hub import KNOWN
from model.checkpoints.model_family import Checkpoint, ModelFamily, UseCase
from model.checkpoints.model_zoo import GRID_TOKENS, families, required_bytes, serve_commands

BENCHMARKS: dict[UseCase, tuple[str, ...]] = {  # whose published scores rank the families for a use
    "desktop": ("OSWorld", "OSWorld-Verified"),
    "browser": ("Online-Mind2Web",),
    "phone": ("AndroidWorld",),
    "grounding": ("ScreenSpot-Pro",),
}
MEMORY_SHARE = 0.9  # of the free memory that weights and context may take
DEFAULT_HUB_ID = "Qwen/Qwen2.5-VL-7B-Instruct"


@dataclass(frozen=True)
class Hardware:
    """Free memory that a model may use."""

    memory_bytes: int
    gpu_bytes: int = 0  # free memory of the first CUDA device, 0 without one
    gpu: str = ""  # its name


@dataclass(frozen=True)
class Recommendation:
    """A checkpoint that fits into memory."""

    family: ModelFamily
    checkpoint: Checkpoint
    precision: str  # bf16, int8 or int4
    place: Literal["gpu", "cpu"]
    required_bytes: int


def detect_hardware() -> Hardware:
    """Return the memory that is free now."""
    import psutil

    from model.checkpoints.memory_check import available_bytes

    free = int(psutil.virtual_memory().available)
    try:
        import torch

        if torch.cuda.is_available():
            return Hardware(free, available_bytes("cuda"), torch.cuda.get_device_name())
    except ImportError:
        pass  # no model runs without torch
    return Hardware(free)


def recommend(hardware: Hardware, use: UseCase) -> list[Recommendation]:
    """Return the largest checkpoint that fits of each family that can be run locally for a use.

    Families are ordered by their best published score on the benchmarks of the use, of checkpoints that run here, those
    without a score last. A GPU is preferred to the CPU, and bf16 to int8 to int4.
    """
    suitable = [family for family in families() if use in family.use and family.runs == "here"]
    suitable.sort(key=lambda family: -_best_score(family, use))
    candidates = (_largest_that_fits(family, hardware, use) for family in suitable)
    return [candidate for candidate in candidates if candidate is not None]


def _best_score(family: ModelFamily, use: UseCase) -> float:
    here = [checkpoint.hub_id for checkpoint in family.checkpoints if checkpoint.size]
    scores = [
        percents
        for source in family.scores
        for name, percents in source.percent.items()
        if any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", hub_id) for hub_id in here)
    ]
    return max((percents.get(benchmark, 0.0) for percents in scores for benchmark in BENCHMARKS[use]), default=0.0)


def _largest_that_fits(family: ModelFamily, hardware: Hardware, use: UseCase) -> Recommendation | None:
    places: tuple[tuple[Literal["gpu", "cpu"], int], ...] = (
        ("gpu", hardware.gpu_bytes),
        ("cpu", hardware.memory_bytes),
    )
    for place, free in places:
        for checkpoint in reversed(family.checkpoints):
            if not checkpoint.size or (checkpoint.use and use not in checkpoint.use):
                continue  # checkpoints of another shape are not computed here
            for precision, required in required_bytes(checkpoint).items():
                if required <= MEMORY_SHARE * free:
                    return Recommendation(family, checkpoint, precision, place, required)
    return None


def family_table() -> str:
    """Return a table of the families, one per line."""
    lines = [f"{'dialect':12} {'family':26} {'runs':7} {'sizes':22} good at"]
    for family in families():
        sizes = " ".join(dict.fromkeys(map(_short_size, family.checkpoints))) or "-"
        lines.append(f"{family.dialect:12} {family.name:26} {family.runs:7} {sizes:22} {family.good_at}")
    return "\n".join(lines)


def _short_size(checkpoint: Checkpoint) -> str:
    size = re.search(r"[\d.]+B(-A\d+B)?$", checkpoint.size)
    return size.group() if size else f"{checkpoint.billions:g}B"


def family_card(name: str) -> str:
    """Return all facts about a family, given its dialect or name.

    Raises:
        UsageError: There is no such family.
    """
    by_dialect = {family.dialect: family for family in families()}
    by_name = {family.name.lower(): family for family in by_dialect.values()}
    family = by_dialect.get(name) or by_name.get(name.lower())
    if family is None:
        raise UsageError(f"no family '{name}'; have {', '.join(by_dialect)}.{suggest(name, by_dialect)}")
    runs = "locally, or behind a server" if family.runs == "here" else "behind a server (docs/servers.md)"
    lines = [f"{family.name} (dialect {family.dialect}): {family.good_at}", f"runs {runs}", ""]
    if family.checkpoints:
        lines.append(f"  {'checkpoint':34} {'bf16':>8} {'int8':>8} {'int4':>8}  license")
    for checkpoint in family.checkpoints:
        required = required_bytes(checkpoint)
        columns = " ".join(_gigabytes(required.get(precision)) for precision in ("bf16", "int8", "int4"))
        place = "" if checkpoint.size or family.runs == "server" else "  (behind a server only)"
        lines.append(f"  {checkpoint.hub_id:34} {columns}  {checkpoint.license}{place}")
    if family.checkpoints:
        lines.append(
            f"  memory for weights and {GRID_TOKENS} tokens of context (weights only where the shape is unknown); int8 "
            "and int4 apply to the decoder's layers"
        )
    lines += ["", "  published scores in percent, with their sources:" if family.scores else "  no published scores"]
    for scores in family.scores:
        for checkpoint_name, percents in scores.percent.items():
            for benchmark, percent in percents.items():
                lines.append(f"  {checkpoint_name:12} {benchmark:18} {percent:6.1f}  {scores.source}")
    commands = serve_commands(family)
    if commands:
        lines += ["", "  serve it with vLLM (docs/scaling.md), and add the query to the address in --model:"]
    for command in commands:
        lines.append(f"  vllm serve {' '.join(filter(None, (command.hub_id, command.arguments)))}   {command.query}")
    return "\n".join(lines)


def _gigabytes(count: int | None) -> str:
    return f"{'-':>8}" if count is None else f"{count / 1e9:5.1f} GB"


def choose_model_message(hub_ids: Sequence[str]) -> str:
    """Return the message for a command with neither a model nor a page, on a disk that has these models."""
    return (
        f"no model was named (--model), and on this disk {'is' if len(hub_ids) == 1 else 'are'} {', '.join(hub_ids)}; "
        f"name one, and the page to start from: --model {hub_ids[0]} --url https://...; for the embedded model: agent "
        "demo"
    )


def get_model_message() -> str:
    """Return the message for a command without a model."""
    lines = [
        "This needs a model, and none was named (--model). The embedded model handles the practice pages only.",
        "These models can be used; larger ones are more capable and slower:",
        "",
        *(f"  {known.hub_id:30} {known.gigabytes:6.1f} GB  {known.license}" for known in KNOWN),
        "",
        f"Fetch one:  agent models pull {DEFAULT_HUB_ID}",
        f'Use it:     agent run "GOAL" --url https://... --model {DEFAULT_HUB_ID}',
        "A demo without a download:  agent demo",
    ]
    return "\n".join(lines)
