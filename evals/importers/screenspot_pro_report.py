"""ScreenSpot-Pro's official report, {"details": [...], "metrics": {...}}: what eval_screenspot_pro.py writes.

MAI-UI's and UI-Ins' files for ScreenSpot-v2 and OSWorld-G have the same form, DiMo-GUI's too. The details alone are
read as well, as a JSON list or a line each, which is how OmniParser's log has them. `pred` is in pixels of the original
picture, null where the reply had no point. The parallel script drops `id`: then picture and instruction tell, and the
box where several tasks share them.

The report says what it asked, so a file of the same ids in other words (OSWorld-G and its refined wording) is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.importers.base import TaskMatcher, box_of, boxes_equal, normalize_whitespace
from evals.scoring import Dataset

EPISODES = False
WORDS, PICTURE = ("prompt_to_evaluate", "instruction"), ("img_path", "img_filename")
OF_A_RUN = ("lang", "instruction_style", "gt_type")  # one value in a file that one score describes


def recognises(content: Any) -> bool:
    return _details(content) is not None


def _details(content: Any) -> list[Any] | None:
    """The details of a report, of a list of them, of one alone; None where it is none of these."""
    if isinstance(content, dict) and isinstance(content.get("details"), list):
        return list(content["details"])
    held = content if isinstance(content, list) else [content]
    first = held[0] if held else None
    if isinstance(first, dict) and "pred" in first and any(key in first for key in (WORDS[0], PICTURE[0])):
        return held
    return None


def space(benchmark: str) -> str:
    return "pixels"


def read(content: Any, dataset: Dataset, path: Path, space: str) -> list[dict[str, Any]]:
    """Our form of each detail. UsageError for a mixture of languages, styles or kinds, which no one score describes,
    and for details that were asked in other words than the benchmark's.
    """
    if space != "pixels":
        raise UsageError(f"a report of ScreenSpot-Pro holds pixels of the original picture, not {space}")
    details = _details(content)
    if details is None:
        raise UsageError(f"{path} is no report of ScreenSpot-Pro: it has no list 'details'")
    _one_run(details, path)
    finder, tasks = TaskMatcher(dataset.tasks, path), {task.id: task for task in dataset.tasks}
    lines: list[dict[str, Any]] = []
    strange, boxes = [], 0  # asked in other words; with a box that is not the annotation's
    for number, one in enumerate(details, 1):
        name, asked, box = one.get("id"), _first(one, WORDS), box_of(one.get("bbox"))
        if name is None:
            name = finder.take(_first(one, PICTURE), asked, box, number).id
        task = tasks.get(str(name))
        if task is not None:
            if asked and normalize_whitespace(asked) not in (
                normalize_whitespace(task.instruction),
                normalize_whitespace(task.labels.get("instruction_cn") or ""),
            ):
                strange.append(task.id)
            boxes += bool(box) and not boxes_equal(task, box)
        lines.append({"id": name, "point": _point(one.get("pred")), "reply": one.get("raw_response") or ""})
    if len(strange) > len(details) / 2:
        raise UsageError(
            f"{path}: {len(strange):,} of {len(details):,} details were asked in other words than this benchmark's, "
            f"the first '{strange[0]}'; it is of another benchmark or another wording"
        )
    facts = {"language": details[0].get("lang", "en")} if details and details[0].get("lang", "en") != "en" else {}
    facts |= {"asked in other words": len(strange)} if strange else {}
    facts |= {"boxes that are not this benchmark's": boxes} if boxes else {}
    return [*lines, *([{"about": facts}] if facts else [])]


def _one_run(details: list[Any], path: Path) -> None:
    """UsageError unless all details are of one run of the script, over what the public annotations have."""
    bare = next((number for number, one in enumerate(details, 1) if not isinstance(one, dict)), None)
    if bare is not None:
        raise UsageError(f"{path}, detail {bare}: expected an object with 'pred', came {str(details[bare - 1])[:40]!r}")
    kinds = {tuple(str(one.get(key)) for key in OF_A_RUN) for one in details}
    if len(kinds) > 1:
        told = "; ".join(sorted(" ".join(kind) for kind in kinds))
        raise UsageError(f"{path} mixes runs ({told}); score each by itself")
    if any(kind[2] == "negative" for kind in kinds):
        raise UsageError(f"{path} holds negative samples, which the public annotations do not have")


def _first(detail: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(detail[key]) for key in keys if detail.get(key) is not None), "")


def _point(pred: Any) -> Any:
    """pred; one that a table made a text of is what the text says."""
    if not isinstance(pred, str):
        return pred
    try:
        return json.loads(pred)
    except (ValueError, RecursionError):
        return None
