"""Read a file of predictions, in this project's format or another harness's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import read_text
from evals.importers import base
from evals.metrics.geometry import parse_point
from evals.types import Dataset, Prediction

MIN_POINTS = 10  # fewer points are no evidence of a coordinate space


def read_predictions(
    path: Path, dataset: Dataset, form: str = "auto", benchmark: str = ""
) -> tuple[dict[str, Prediction], dict[str, Any]]:
    """Return ({id: prediction}, metadata of the run that made them).

    This project's format is JSON lines, or one JSON list, of {"id", "point": [x, y] | null, "reply"}; for episodes
    {"id": "EPISODE/STEP", "actions", "reply"}; for questions {"id", "reply"},
    with a "box" where one is asked for. A line {"about": {...}} holds metadata. A folder holds replies as ID.md, as
    OmniDocBench's script reads them. Files of other harnesses are recognized by their structure, never by the magnitude
    of a number.

    Args:
        path: The predictions file.
        dataset: The benchmark's dataset, which defines the valid ids.
        form: "auto", "lines" for this project's format, or IMPORTER[:SPACE].
        benchmark: Name of the benchmark; some importers' coordinate spaces depend on it.

    Raises:
        UsageError: The file does not parse, an id occurs twice, or an id is not in the benchmark.
    """
    imported: str | None = "markdown folder"
    if path.is_dir():
        entries = _read_pages(path)
    else:
        imported, entries = base.import_predictions(path, dataset, form, benchmark)
    about: dict[str, Any] = {} if imported is None else {"imported": imported}
    lines: list[tuple[str, Any]] = []
    for place, value in entries:
        if isinstance(value, dict) and "id" not in value and isinstance(value.get("about"), dict):
            about |= value["about"]
        else:
            lines.append((place, value))
    known_ids = {task.id for task in (*dataset.tasks, *dataset.extra_tasks)}
    return _index_by_id(lines, known_ids, path), about


def _read_pages(folder: Path) -> base.Entries:
    """Return the texts of a folder's Markdown files as replies.

    Raises:
        UsageError: There is none, or one cannot be read.
    """
    paths = prediction_files(folder)
    if not paths:
        raise UsageError(f"{folder} has no .md files; give a folder with the reply to each page as ID.md, or a file")
    return [(path.name, {"id": path.stem, "reply": read_text(path)}) for path in paths]


def prediction_files(path: Path) -> list[Path]:
    """Return the files that predictions are read from: a file, or the Markdown files of a folder."""
    return sorted(path.glob("*.md")) if path.is_dir() else [path]


def format_warnings(predictions: Mapping[str, Prediction], key: str) -> tuple[str, ...]:
    """Return notes on a file that is probably in another format; they do not change the score.

    Args:
        predictions: The predictions by id.
        key: The key that holds the answer: "point", "actions", "reply" or "box".
    """
    if not predictions:
        return ()
    if not any(key in line for line in predictions.values()):
        others = sorted({str(name) for line in predictions.values() for name in line} - {"id", "reply"})[:5]
        seen = f", only {', '.join(others)}" if others else ""
        return (
            f"no prediction has the key '{key}'{seen}: all count as wrong format; check that the file is in the "
            "expected format",
        )
    points = [point for line in predictions.values() if (point := parse_point(line.get(key))) is not None]
    if len(points) >= MIN_POINTS and all(0 <= side <= 1 for point in points for side in point):
        return ("every point lies between 0 and 1 and is read as pixels; the file may hold normalized coordinates",)
    return ()


def _index_by_id(lines: Iterable[tuple[str, Any]], known_ids: set[str], path: Path) -> dict[str, Prediction]:
    predictions: dict[str, Prediction] = {}
    places: dict[str, str] = {}
    unknown: list[tuple[str, str]] = []
    for place, value in lines:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str | int):
            raise UsageError(
                f'{path}, {place}: not a prediction; expected an object like {{"id": ..., "point": [x, y]}}'
            )
        name = str(value["id"])
        if name in predictions:
            raise UsageError(f"{path}: duplicate id '{name}' ({places[name]} and {place}); keep one of them")
        if name not in known_ids:
            unknown.append((name, place))
        predictions[name], places[name] = value, place
    if unknown:
        name, place = unknown[0]
        example = min(known_ids, default="")
        raise UsageError(
            f"{path}: {len(unknown)} of {len(predictions)} ids are not in this benchmark, the first '{name}' "
            f"({place}); its ids look like '{example}'"
        )
    return predictions
