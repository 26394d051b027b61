"""ScreenSpot-Pro's official report, {"details": [...], "metrics": {...}}: what eval_screenspot_pro.py writes.

MAI-UI's and UI-Ins' files for ScreenSpot-v2 and OSWorld-G have the same form. `pred` is in pixels of the original
picture, null where the reply had no point. The parallel script drops `id`: then picture, instruction and box tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError
from evals.score import Dataset


def recognises(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("details"), list)


def space(benchmark: str) -> str:
    return "pixels"


def read(content: Any, dataset: Dataset, path: Path, space: str) -> list[dict[str, Any]]:
    """Our form of each detail. UsageError for a mixture of languages, styles or kinds, which no one score describes."""
    if space != "pixels":
        raise UsageError(f"a report of ScreenSpot-Pro holds pixels of the original picture, not {space}")
    if not recognises(content):
        raise UsageError(f"{path} is no report of ScreenSpot-Pro: it has no list 'details'")
    details = content["details"]
    kinds = {tuple(one.get(key) for key in ("lang", "instruction_style", "gt_type")) for one in details}
    if len(kinds) > 1:
        told = "; ".join(sorted(" ".join(map(str, kind)) for kind in kinds))
        raise UsageError(f"{path} mixes runs ({told}); score each by itself")
    if any(kind[2] == "negative" for kind in kinds):
        raise UsageError(f"{path} holds negative samples, which the public annotations do not have")
    waiting: dict[Any, list[str]] = defaultdict(list)
    for task in dataset.tasks:
        waiting[_key(task.picture, task.instruction, task.labels.get("bbox", ()))].append(task.id)
    lines = []
    for number, one in enumerate(details, 1):
        name = one.get("id")
        if name is None:
            instruction = str(one.get("prompt_to_evaluate"))
            fitting = waiting[_key(str(one.get("img_path")), instruction, one.get("bbox") or ())]
            if not fitting:
                raise UsageError(f"{path}, detail {number}: has no id, and no task has its picture, words and box")
            name = fitting.pop(0)
        lines.append({"id": name, "point": one.get("pred"), "reply": one.get("raw_response") or ""})
    return lines


def _key(picture: str, instruction: str, box: Sequence[float]) -> tuple[str, str, tuple[float, ...]]:
    return PurePosixPath(picture.replace("\\", "/")).name, instruction, tuple(float(one) for one in box)
