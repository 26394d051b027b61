"""ScreenSpot-Pro's official report, {"details": [...], "metrics": {...}}: the output of eval_screenspot_pro.py.

The files of MAI-UI and UI-Ins for ScreenSpot-v2 and OSWorld-G have the same format, as do DiMo-GUI's. The details
alone are read as well, as a JSON list or as JSON lines, which is OmniParser's log. `pred` is in pixels of the original
image, null where the reply had no point. The parallel script drops `id`: details are then matched by image and
instruction, and by box where several tasks share them.

The report holds the instructions, so a file with the same ids but other instructions (OSWorld-G and its refined
wording) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import JsonValue
from evals.importers.base import TaskMatcher, boxes_equal, normalize_whitespace, parse_box
from evals.types import Dataset, Prediction

HAS_EPISODES = False
INSTRUCTION_KEYS, IMAGE_KEYS = ("prompt_to_evaluate", "instruction"), ("img_path", "img_filename")
RUN_KEYS = ("lang", "instruction_style", "gt_type")  # one value each in a file that a single score describes


def can_read(content: JsonValue) -> bool:
    """Return whether the content is a report or its details."""
    return _details(content) is not None


def _details(content: JsonValue) -> list[JsonValue] | None:
    """Return the details of a report, of a list of them or of a single one; None for anything else."""
    if isinstance(content, dict) and isinstance(content.get("details"), list):
        return list(content["details"])
    details = content if isinstance(content, list) else [content]
    first = details[0] if details else None
    if (
        isinstance(first, dict)
        and "pred" in first
        and any(key in first for key in (INSTRUCTION_KEYS[0], IMAGE_KEYS[0]))
    ):
        return details
    return None


def coordinate_space(benchmark: str) -> str:
    """Return the space of the points."""
    return "pixels"


def read_entries(content: JsonValue, dataset: Dataset, path: Path, space: str) -> list[Prediction]:
    """Return the prediction of each detail.

    Raises:
        UsageError: The file mixes languages, instruction styles or kinds of sample, or its instructions are not the
            benchmark's.
    """
    if space != "pixels":
        raise UsageError(f"a ScreenSpot-Pro report holds pixels of the original image, not {space}")
    details = _details(content)
    if details is None:
        raise UsageError(f"{path} is not a ScreenSpot-Pro report: it has no list 'details'")
    _check_single_run(details, path)
    matcher, tasks = TaskMatcher(dataset.tasks, path), {task.id: task for task in dataset.tasks}
    lines: list[Prediction] = []
    reworded: list[str] = []  # ids of tasks with another instruction than the benchmark's
    other_boxes = 0
    for number, detail in enumerate(details, 1):
        name, instruction, box = detail.get("id"), _first_value(detail, INSTRUCTION_KEYS), parse_box(detail.get("bbox"))
        if name is None:
            name = matcher.match(_first_value(detail, IMAGE_KEYS), instruction, box, number).id
        task = tasks.get(str(name))
        if task is not None:
            wordings = (task.instruction, task.labels.get("instruction_cn") or "")
            if instruction and normalize_whitespace(instruction) not in map(normalize_whitespace, wordings):
                reworded.append(task.id)
            other_boxes += bool(box) and not boxes_equal(task, box)
        lines.append({"id": name, "point": _parse_pred(detail.get("pred")), "reply": detail.get("raw_response") or ""})
    if len(reworded) > len(details) / 2:
        raise UsageError(
            f"{path}: {len(reworded):,} of {len(details):,} details have other instructions than this benchmark, "
            f"the first '{reworded[0]}'; the file is of another benchmark or another wording"
        )
    facts = {"language": details[0].get("lang", "en")} if details and details[0].get("lang", "en") != "en" else {}
    facts |= {"asked in other words": len(reworded)} if reworded else {}
    facts |= {"boxes that are not this benchmark's": other_boxes} if other_boxes else {}
    return [*lines, *([{"about": facts}] if facts else [])]


def _check_single_run(details: list[Any], path: Path) -> None:
    number = next((number for number, detail in enumerate(details, 1) if not isinstance(detail, dict)), None)
    if number is not None:
        raise UsageError(f"{path}, detail {number}: not an object with 'pred' but {str(details[number - 1])[:40]!r}")
    runs = {tuple(str(detail.get(key)) for key in RUN_KEYS) for detail in details}
    if len(runs) > 1:
        descriptions = "; ".join(sorted(" ".join(run) for run in runs))
        raise UsageError(f"{path} mixes runs ({descriptions}); split the file and score each separately")
    if any(run[2] == "negative" for run in runs):
        raise UsageError(f"{path} holds negative samples, which the public annotations do not have")


def _first_value(detail: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(detail[key]) for key in keys if detail.get(key) is not None), "")


def _parse_pred(pred: Any) -> Any:
    """Return `pred`, decoded where a table stored it as a string."""
    if not isinstance(pred, str):
        return pred
    try:
        return json.loads(pred)
    except (ValueError, RecursionError):
        return None
