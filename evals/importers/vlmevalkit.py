"""VLMEvalKit's predictions: a table (.xlsx, .tsv, .json) with `question`, `image_path`, `bbox` and `prediction`.

Source: open-compass/VLMEvalKit, vlmeval/dataset/GUI/screenspot.py, screenspot_pro.py, osworld_g.py (055911d, 160057c).
`prediction` is the model's reply; its point is the first "x=..., y=...". The harness asks for pixels, and divides
OSWorld-G's answers by 1000, which determines the spaces here. Three details of its scorer are not reproduced: a reply
without a point is the point 0, 0 there (a refusal in OSWorld-G) and unreadable here; a number of at most 1 is a
normalized coordinate there; boxes lose their last pixel there.
"""

from __future__ import annotations

import re
from pathlib import Path

from actions import UsageError
from evals.datasets import spreadsheet
from evals.files import JsonValue
from evals.importers.base import TaskMatcher, parse_box, to_pixels
from evals.types import Dataset, Prediction

HAS_EPISODES = False
SUFFIXES = (".xlsx", ".tsv")
POINT = re.compile(r"x=([\d.]+), y=([\d.]+)")
IMAGE_KEYS = ("image_path", "img_filename")


def coordinate_space(benchmark: str) -> str:
    """Return the space of the points."""
    return "0-1000" if benchmark.startswith("osworld-g") else "pixels"


def load_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by their headings."""
    return spreadsheet.read_rows(path)


def can_read(content: JsonValue) -> bool:
    """Return whether the content has VLMEvalKit's columns."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    return {"question", "prediction"} <= content[0].keys() and any(key in content[0] for key in IMAGE_KEYS)


def read_entries(content: JsonValue, dataset: Dataset, path: Path, space: str) -> list[Prediction]:
    """Return the prediction of each row."""
    if not can_read(content):
        raise UsageError(f"{path} is not in VLMEvalKit's format: no columns question, prediction and image_path")
    matcher, lines = TaskMatcher(dataset.tasks, path), []
    for number, row in enumerate(content, 1):
        image = next((str(row[key]) for key in IMAGE_KEYS if isinstance(row, dict) and row.get(key)), None)
        if image is None or not {"question", "prediction"} <= row.keys():
            raise UsageError(f"{path}, entry {number}: question, prediction or image_path is missing")
        task = matcher.match(image, str(row["question"]), parse_box(row.get("bbox")), number)
        reply = str(row["prediction"])
        point = _parse_point(reply)
        pixels = None if point is None else to_pixels(task, dataset, point, space)
        lines.append({"id": task.id, "point": pixels, "reply": reply})
    return lines


def _parse_point(reply: str) -> tuple[float, float] | None:
    match = POINT.search(reply)
    try:
        return (float(match.group(1)), float(match.group(2))) if match else None
    except ValueError:  # "1.2.3"
        return None
