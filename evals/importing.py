"""Predictions of other harnesses as ours: which importer, and what their numbers mean. Knows no harness itself.

An importer is a file of `evals/importers`: `recognises(content)` by structure, `space(benchmark)`, what the numbers of
its points mean unless `--format NAME:SPACE` says otherwise (what its harness asks of a model; never a guess from their
size), `read(content, dataset, path, space)`, and, where its files are not JSON, `SUFFIXES` and `load(path)`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError, plugins
from evals import episodes
from evals.score import Dataset, json_lines, read_text

FOLDER = "evals.importers"
SPACES: dict[str, tuple[float | None, str]] = {  # what is a whole side (None: as many as the picture has pixels)
    "pixels": (None, "of the original picture"),
    "shares": (1.0, "0 to 1"),
    "thousandths": (1000.0, "0 to 1000"),
}


def read(path: Path, dataset: Dataset, form: str, benchmark: str) -> tuple[str, list[dict[str, Any]]] | None:
    """(the importer's name and the space, our form of each prediction); None for our own lines.

    form: "auto", "lines" (ours), or an importer's name; ":SPACE" behind it where its numbers mean something else.
    """
    name, _, space = form.replace("-", "_").partition(":")
    if space and space not in SPACES:
        told = "; ".join(f"{one} ({what})" for one, (_, what) in SPACES.items())
        raise UsageError(f"--format {form}: '{space}' is no space of points; have {told}")
    if name == "lines":
        return None
    if name != "auto":
        importer = plugins.load(FOLDER, name)
        return _read(name, importer, _load(importer, path), dataset, path, space or importer.space(benchmark))
    importers = {one: plugins.load(FOLDER, one) for one in plugins.names(FOLDER)}
    tables = {one: importer for one, importer in importers.items() if path.suffix in getattr(importer, "SUFFIXES", ())}
    for one, importer in (tables or importers).items():
        content = _load(importer, path)
        if importer.recognises(content):
            return _read(one, importer, content, dataset, path, space or importer.space(benchmark))
    return None


def _read(
    name: str, importer: Any, content: Any, dataset: Dataset, path: Path, space: str
) -> tuple[str, list[dict[str, Any]]]:
    return f"{name}:{space}", importer.read(content, dataset, path, space)


def _load(importer: Any, path: Path) -> Any:
    return importer.load(path) if path.suffix in getattr(importer, "SUFFIXES", ()) else _json(path)


def _json(path: Path) -> Any:
    """A file's one JSON value, or the list of those of its lines."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [value for _, value in json_lines(text, path)]


def pixels(task: Any, dataset: Dataset, point: Sequence[float], space: str) -> list[float]:
    """A point in pixels of the task's original picture. UsageError where its size is needed and not known."""
    whole, _ = SPACES[space]
    if whole is None:
        return [float(one) for one in point]
    size = task.size or episodes.picture_size(dataset.folder / "images" / task.picture)
    return [one / whole * side for one, side in zip(point, size, strict=True)]


class Finder:
    """Tasks by picture, instruction and box, each found once: several tasks may share some of them."""

    def __init__(self, tasks: Sequence[Any], path: Path) -> None:
        self.path = path
        self._by_picture: dict[tuple[str, str], list[Any]] = {}
        self._taken: set[str] = set()
        for task in tasks:
            self._by_picture.setdefault((file_name(task.picture), task.instruction), []).append(task)

    def take(self, picture: str, instruction: str, box: Sequence[float], number: int) -> Any:
        """The task of an entry. box is compared only where picture and words are shared; () where there is none."""
        alike = self._by_picture.get((file_name(picture), instruction), [])
        fitting = alike if len(alike) < 2 or not box else [task for task in alike if _same_box(task, box)]
        if len({task.target for task in fitting}) > 1 or (alike and not fitting):
            raise UsageError(
                f"{self.path}, entry {number}: {len(alike)} tasks share the picture '{file_name(picture)}' and the "
                f"instruction '{instruction[:60]}', and the entry's box is that of {len(fitting)}"
            )
        left = [task for task in fitting if task.id not in self._taken]
        if not left:
            raise UsageError(
                f"{self.path}, entry {number}: no task of this benchmark, or none that is left, has the picture "
                f"'{file_name(picture)}' and the instruction '{instruction[:60]}'"
            )
        self._taken.add(left[0].id)
        return left[0]


def _same_box(task: Any, box: Sequence[float]) -> bool:
    """Whether it is the task's box, as two corners or as a corner and a size, or the numbers of its annotation."""
    values, given = tuple(task.target.values), tuple(float(one) for one in box)
    if given in (values, tuple(task.labels.get("bbox", ()))):
        return True
    return len(given) == 4 and (given[0], given[1], given[0] + given[2], given[1] + given[3]) == values


def file_name(picture: str) -> str:
    return PurePosixPath(picture.replace("\\", "/")).name
