"""Convert predictions of other harnesses to this project's format.

An importer is a module of `evals/importers` that exports what `Importer` lists. It is chosen by the structure of the
file, and the space of its coordinates is what its harness asks a model for; neither is guessed from the magnitude of a
number. `--format IMPORTER:SPACE` overrides the space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from actions import UsageError, plugins
from evals.files import JsonValue, image_size, parse_json_lines, read_text
from evals.metrics.grounding import GroundingTask
from evals.metrics.questions import QuestionTask
from evals.types import Dataset, Prediction

FOLDER = "evals.importers"
SPACES: dict[str, tuple[float | None, str]] = {  # name: (length of a side, None for its pixels; description)
    "pixels": (None, "of the original image"),
    "normalized": (1.0, "0 to 1"),
    "0-1000": (1000.0, "0 to 1000"),
    "resized": (None, "pixels of the image as Qwen2.5-VL resizes it, with its official budget"),
}
SPACE_ALIASES = {"shares": "normalized", "thousandths": "0-1000"}
Entries = list[tuple[str, JsonValue]]  # (place in the file, value)


class SizedTask(Protocol):
    """A task of a known or unknown image size."""

    @property
    def image(self) -> str:
        """File name below images/."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels."""
        ...


class Importer(Protocol):
    """What an importer's module exports. Those whose files are not JSON also export SUFFIXES and load_table(path)."""

    HAS_EPISODES: bool  # actions of episodes, else points on images

    def can_read(self, content: JsonValue) -> bool:
        """Return whether a file's content has this harness's structure."""

    def coordinate_space(self, benchmark: str) -> str:
        """Return the key of SPACES that the harness's points are in."""

    def read_entries(self, content: JsonValue, dataset: Dataset, path: Path, space: str) -> list[Prediction]:
        """Return the predictions in this project's format."""


class TableImporter(Importer, Protocol):
    """An importer of tables."""

    SUFFIXES: tuple[str, ...]

    def load_table(self, path: Path) -> list[dict[str, str]]:
        """Return the rows of a table by their headings."""


def import_predictions(path: Path, dataset: Dataset, form: str, benchmark: str) -> tuple[str | None, Entries]:
    """Return ("IMPORTER:SPACE", predictions), with None for this project's own format.

    Args:
        path: The predictions file.
        dataset: The benchmark's dataset.
        form: "auto", "lines", or IMPORTER[:SPACE].
        benchmark: Name of the benchmark.

    Raises:
        UsageError: The file, the importer or the space does not fit.
    """
    importer_name, _, space = form.partition(":")
    name, space = importer_name.replace("-", "_"), SPACE_ALIASES.get(space, space)
    if space and space not in SPACES:
        options = "; ".join(f"{option} ({what})" for option, (_, what) in SPACES.items())
        raise UsageError(f"--format {form}: no coordinate space '{space}'; have {options}")
    importers: dict[str, Importer] = {}
    if name != "lines":
        names = plugins.list_plugins(FOLDER) if name == "auto" else [name]
        importers = {option: cast(Importer, plugins.load_plugin(FOLDER, option)) for option in names}
    tables = {
        option: cast(TableImporter, importer)
        for option, importer in importers.items()
        if path.suffix in getattr(importer, "SUFFIXES", ())
    }
    if tables:
        return _import_table(path, tables, dataset, space, benchmark)
    content = FileContent(path)
    for option, importer in importers.items():
        if name != "auto" or importer.can_read(content.value):
            return _import(
                option, importer, content.value, dataset, path, space or importer.coordinate_space(benchmark)
            )
    if space not in ("", "pixels"):
        raise UsageError(f"--format {form}: the format 'lines' holds pixels of the original image, not {space}")
    return None, content.entries()


def _import_table(
    path: Path, tables: dict[str, TableImporter], dataset: Dataset, space: str, benchmark: str
) -> tuple[str | None, Entries]:
    for name, importer in tables.items():
        content = importer.load_table(path)
        if len(tables) == 1 or importer.can_read(content):
            return _import(name, importer, content, dataset, path, space or importer.coordinate_space(benchmark))
    raise UsageError(f"{path} is not a table of {' or '.join(tables)}")


def _import(
    name: str, importer: Importer, content: JsonValue, dataset: Dataset, path: Path, space: str
) -> tuple[str | None, Entries]:
    if any(isinstance(task, QuestionTask) for task in dataset.tasks):
        raise UsageError(
            f"{path}: importer {name} reads points or actions, and this benchmark's predictions are texts; convert "
            'them to lines {"id", "reply"}'
        )
    has_points = all(isinstance(task, GroundingTask) for task in dataset.tasks)
    if has_points == importer.HAS_EPISODES:
        actual, expected = ("actions", "points") if has_points else ("points", "actions")
        raise UsageError(f"{path}: importer {name} reads {actual}, and this benchmark's predictions are {expected}")
    lines = importer.read_entries(content, dataset, path, space)
    return f"{name}:{space}", [(f"entry {number}", line) for number, line in enumerate(lines, 1)]


class FileContent:
    """A file's JSON value, or the list of values of its lines.

    Raises:
        UsageError: The file is neither JSON nor JSON lines.
    """

    def __init__(self, path: Path) -> None:
        text = read_text(path)
        self._lines: list[tuple[int, Any]] | None = None
        try:
            self.value: JsonValue = json.loads(text)
        except (ValueError, RecursionError):
            self._lines = parse_json_lines(text, path)
            self.value = [value for _, value in self._lines]

    def entries(self) -> Entries:
        """Return each line's value, or each object of the file's one list, with its place."""
        if self._lines is not None:
            return [(f"line {number}", value) for number, value in self._lines]
        if isinstance(self.value, list) and all(isinstance(item, dict) for item in self.value):
            return [(f"entry {number}", value) for number, value in enumerate(self.value, 1)]
        return [("line 1", self.value)]


def to_pixels(task: SizedTask, dataset: Dataset, point: Sequence[float], space: str) -> list[float]:
    """Return a point in pixels of the task's original image.

    Raises:
        UsageError: The image's size is needed, and it is neither annotated nor is the image in the folder.
    """
    if space == "pixels":
        return [float(side) for side in point]
    size = task.size or image_size(dataset.folder / "images" / task.image)
    length, _ = SPACES[space]
    lengths: Sequence[float] = (length, length) if length is not None else _resized(*size)
    return [value / full * side for value, full, side in zip(point, lengths, size, strict=True)]


def _resized(width: int, height: int) -> tuple[int, int]:
    """Return the size after Qwen2.5-VL's smart_resize with 3136 to 12845056 pixels."""
    from model.processing.image import ImageLimits

    return ImageLimits().resized(width, height)


class TaskMatcher:
    """Match entries without ids to tasks, by image, instruction (in either language) and box; each task once."""

    def __init__(self, tasks: Sequence[GroundingTask], path: Path) -> None:
        self.path = path
        self._tasks: dict[tuple[str, str], list[GroundingTask]] = {}
        self._matched_ids: set[str] = set()
        for task in tasks:
            instructions = {
                normalize_whitespace(task.instruction),
                normalize_whitespace(task.labels.get("instruction_cn") or ""),
            }
            for instruction in instructions - {""}:
                self._tasks.setdefault((file_name(task.image), instruction), []).append(task)

    def match(self, image: str, instruction: str, box: Sequence[float], number: int) -> GroundingTask:
        """Return the task of an entry.

        Args:
            image: The entry's image, a file name or path.
            instruction: The entry's instruction.
            box: The entry's box, () where it has none; compared only where tasks share image and instruction.
            number: The entry's number, for errors.

        Raises:
            UsageError: No task matches, or several do.
        """
        key = file_name(image), normalize_whitespace(instruction)
        candidates = self._tasks.get(key, [])
        matches = (
            candidates if len(candidates) < 2 or not box else [task for task in candidates if boxes_equal(task, box)]
        )
        if len({task.target for task in matches}) > 1 or (candidates and not matches):
            raise UsageError(
                f"{self.path}, entry {number}: {len(candidates)} tasks share the image '{key[0]}' and the "
                f"instruction '{instruction[:60]}', and the entry's box is that of {len(matches)}"
            )
        unmatched = [task for task in matches if task.id not in self._matched_ids]
        if not unmatched:
            raise UsageError(
                f"{self.path}, entry {number}: no task of this benchmark that is still unmatched has the image "
                f"'{key[0]}' and the instruction '{instruction[:60]}'"
            )
        self._matched_ids.add(unmatched[0].id)
        return unmatched[0]


def boxes_equal(task: GroundingTask, box: Sequence[float]) -> bool:
    """Return whether a box is the task's, as two corners, as a corner and a size, or as annotated."""
    values, numbers = tuple(task.target.values), tuple(float(number) for number in box)
    if numbers in (values, tuple(task.labels.get("bbox", ()))):
        return True
    return len(numbers) == 4 and (numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]) == values


def parse_box(value: object) -> list[float]:
    """Return a list of numbers, or a string of one as tables have it; [] for anything else."""
    try:
        numbers = json.loads(value) if isinstance(value, str) else value
        return [float(number) for number in numbers] if isinstance(numbers, list) else []
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []


def normalize_whitespace(text: str) -> str:
    """Return a text with runs of whitespace collapsed and the ends stripped."""
    return " ".join(text.split())


def file_name(image: str) -> str:
    """Return the last part of a path in POSIX or Windows notation."""
    return PurePosixPath(image.replace("\\", "/")).name
