"""Predictions of other harnesses as ours: which importer, and what their numbers mean. Knows no harness itself.

An importer is a file of `evals/importers`: `recognises(content)` by structure, `space(benchmark)`, what the numbers of
its points mean unless `--format NAME:SPACE` says otherwise (what its harness asks of a model; never a guess from their
size), `read(content, dataset, path, space)`, EPISODES, whether it holds actions of episodes or points on pictures, and,
where its files are not JSON, `SUFFIXES` and `load(path)`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError, plugins
from evals.metrics import trajectory
from evals.metrics.grounding import GroundingTask
from evals.scoring import Dataset, json_lines, read_text

FOLDER = "evals.importers"
SPACES: dict[str, tuple[float | None, str]] = {  # what is a whole side (None: as many as the picture has pixels)
    "pixels": (None, "of the original picture"),
    "shares": (1.0, "0 to 1"),
    "thousandths": (1000.0, "0 to 1000"),
    "resized": (None, "of the picture as Qwen2.5-VL is shown it, with its official budget"),
}


def read(path: Path, dataset: Dataset, form: str, benchmark: str) -> tuple[str | None, list[tuple[str, Any]]]:
    """(what was imported and its space, None for our own lines; each prediction in our form, with its place).

    form: "auto", "lines" (ours), or an importer's name; ":SPACE" behind it where its numbers mean something else.
    """
    name, _, space = form.replace("-", "_").partition(":")
    if space and space not in SPACES:
        told = "; ".join(f"{one} ({what})" for one, (_, what) in SPACES.items())
        raise UsageError(f"--format {form}: '{space}' is no space of points; have {told}")
    importers = {}
    if name != "lines":
        names = plugins.list_plugins(FOLDER) if name == "auto" else [name]
        importers = {one: plugins.load_plugin(FOLDER, one) for one in names}
    tables = {one: held for one, held in importers.items() if path.suffix in getattr(held, "SUFFIXES", ())}
    if tables:
        return _table(path, tables, dataset, space, benchmark)
    content = Content(path)
    for one, importer in importers.items():
        if name != "auto" or importer.recognises(content.value):
            return _read(one, importer, content.value, dataset, path, space or importer.space(benchmark))
    if space not in ("", "pixels"):
        raise UsageError(f"--format {form}: our own lines hold pixels of the original picture, not {space}")
    return None, content.entries()


def _table(
    path: Path, tables: dict[str, Any], dataset: Dataset, space: str, benchmark: str
) -> tuple[str | None, list[tuple[str, Any]]]:
    """A table in the form of the importer that knows it."""
    for name, importer in tables.items():
        content = importer.load(path)
        if len(tables) == 1 or importer.recognises(content):
            return _read(name, importer, content, dataset, path, space or importer.space(benchmark))
    raise UsageError(f"{path} is a table that none of {', '.join(tables)} knows")


def _read(
    name: str, importer: Any, content: Any, dataset: Dataset, path: Path, space: str
) -> tuple[str | None, list[tuple[str, Any]]]:
    pictures = all(isinstance(task, GroundingTask) for task in dataset.tasks)
    if pictures == importer.EPISODES:
        held, wanted = ("actions", "points") if pictures else ("points", "actions")
        raise UsageError(f"{path}: {name} reads {held}, and this benchmark's predictions are {wanted}")
    lines = importer.read(content, dataset, path, space)
    return f"{name}:{space}", [(f"entry {number}", line) for number, line in enumerate(lines, 1)]


class Content:
    """A file's one JSON value, or the list of those of its lines; read once. UsageError when it is neither."""

    def __init__(self, path: Path) -> None:
        text = read_text(path)
        self._lines: list[tuple[int, Any]] | None = None
        try:
            self.value: Any = json.loads(text)
        except (ValueError, RecursionError):
            self._lines = json_lines(text, path)
            self.value = [value for _, value in self._lines]

    def entries(self) -> list[tuple[str, Any]]:
        """Each line's value, or each object of the one list that the file holds; and where it stands."""
        if self._lines is not None:
            return [(f"line {number}", value) for number, value in self._lines]
        if isinstance(self.value, list) and all(isinstance(one, dict) for one in self.value):
            return [(f"entry {number}", value) for number, value in enumerate(self.value, 1)]
        return [("line 1", self.value)]


def pixels(task: Any, dataset: Dataset, point: Sequence[float], space: str) -> list[float]:
    """A point in pixels of the task's original picture. UsageError where its size is needed and not known."""
    if space == "pixels":
        return [float(one) for one in point]
    size = task.size or trajectory.picture_size(dataset.folder / "images" / task.picture)
    whole, _ = SPACES[space]
    sides: Sequence[float] = (whole, whole) if whole is not None else _shown(*size)
    return [one / full * side for one, full, side in zip(point, sides, size, strict=True)]


def _shown(width: int, height: int) -> tuple[int, int]:
    """(width, height) at which Qwen2.5-VL is shown a picture: its smart_resize, 3136 to 12845056 pixels."""
    from model.processing.image import ImageLimits

    return ImageLimits().resized(width, height)


class TaskMatcher:
    """Tasks by picture, instruction (in either language) and box, each found once: several may share some of them."""

    def __init__(self, tasks: Sequence[Any], path: Path) -> None:
        self.path = path
        self._by_picture: dict[tuple[str, str], list[Any]] = {}
        self._taken: set[str] = set()
        for task in tasks:
            for said in {
                normalize_whitespace(task.instruction),
                normalize_whitespace(task.labels.get("instruction_cn") or ""),
            } - {""}:
                self._by_picture.setdefault((file_name(task.picture), said), []).append(task)

    def take(self, picture: str, instruction: str, box: Sequence[float], number: int) -> Any:
        """The task of an entry. box is compared only where picture and words are shared; () where there is none."""
        alike = self._by_picture.get((file_name(picture), normalize_whitespace(instruction)), [])
        fitting = alike if len(alike) < 2 or not box else [task for task in alike if boxes_equal(task, box)]
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


def boxes_equal(task: Any, box: Sequence[float]) -> bool:
    """Whether it is the task's box, as two corners or as a corner and a size, or the numbers of its annotation."""
    values, given = tuple(task.target.values), tuple(float(one) for one in box)
    if given in (values, tuple(task.labels.get("bbox", ()))):
        return True
    return len(given) == 4 and (given[0], given[1], given[0] + given[2], given[1] + given[3]) == values


def box_of(value: Any) -> list[float]:
    """A list of numbers, or a text of one, as tables have it; [] for everything else."""
    try:
        held = json.loads(value) if isinstance(value, str) else value
        return [float(one) for one in held] if isinstance(held, list) else []
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []


def normalize_whitespace(instruction: str) -> str:
    """An instruction without the spaces that files put around it."""
    return " ".join(instruction.split())


def file_name(picture: str) -> str:
    return PurePosixPath(picture.replace("\\", "/")).name
