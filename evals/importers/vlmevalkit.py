"""VLMEvalKit's predictions: a table (.xlsx, .tsv, .json) with `question`, `image_path`, `bbox` and `prediction`.

Source: open-compass/VLMEvalKit, vlmeval/dataset/GUI/screenspot.py, screenspot_pro.py, osworld_g.py (055911d, 160057c),
read. A prediction is what the model said; its point is "x=..., y=..." there, the first of them. Pixels are asked for,
and OSWorld-G's answers are divided by 1000: those are the spaces here. Three things of its scorer are not followed: a
reply without a point is the point 0, 0 there (which OSWorld-G then takes for a refusal) and unreadable here; a number
of at most 1 is a share there; boxes lose their last pixel there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.datasets import spreadsheet
from evals.importers.base import TaskMatcher, box_of, pixels
from evals.scoring import Dataset

EPISODES = False
SUFFIXES = (".xlsx", ".tsv")
POINT = re.compile(r"x=([\d.]+), y=([\d.]+)")
PICTURE = ("image_path", "img_filename")


def space(benchmark: str) -> str:
    return "thousandths" if benchmark.startswith("osworld-g") else "pixels"


def load(path: Path) -> list[dict[str, str]]:
    return spreadsheet.rows(path)


def recognises(content: Any) -> bool:
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    return {"question", "prediction"} <= content[0].keys() and any(key in content[0] for key in PICTURE)


def read(content: Any, dataset: Dataset, path: Path, space: str) -> list[dict[str, Any]]:
    if not recognises(content):
        raise UsageError(f"{path} is no table of VLMEvalKit: it has no columns question, prediction and image_path")
    finder, lines = TaskMatcher(dataset.tasks, path), []
    for number, row in enumerate(content, 1):
        picture = next((str(row[key]) for key in PICTURE if isinstance(row, dict) and row.get(key)), None)
        if picture is None or not {"question", "prediction"} <= row.keys():
            raise UsageError(f"{path}, entry {number}: has no question, prediction or image_path")
        task = finder.take(picture, str(row["question"]), box_of(row.get("bbox")), number)
        reply = str(row["prediction"])
        point = _point(reply)
        at = None if point is None else pixels(task, dataset, point, space)
        lines.append({"id": task.id, "point": at, "reply": reply})
    return lines


def _point(reply: str) -> tuple[float, float] | None:
    found = POINT.search(reply)
    try:
        return (float(found.group(1)), float(found.group(2))) if found else None
    except ValueError:  # "1.2.3"
        return None
