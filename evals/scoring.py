"""A file of predictions in, a benchmark's official metrics out. Knows files, counts and intervals; no model, no screen.

A benchmark is a file of `evals/benchmarks` that exports BENCHMARKS, {name: Benchmark}: how its annotations are read,
its protocols, its official scorer and its oracle. A prediction that is missing counts as wrong and is listed; one that
cannot be read is `wrong_format`, which is wrong too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from actions import UsageError, plugins
from evals.stats import wilson

Outcome = Literal["correct", "wrong", "wrong_format", "missing"]
Prediction = dict[str, Any]  # one prediction, as its line holds it
FOLDER = "evals.benchmarks"
INTERVAL = "95 % Wilson interval; effective sample size from the variance between clusters"


class Task(Protocol):
    """What every task has: its id, and the picture's file name."""

    @property
    def id(self) -> str: ...

    @property
    def picture(self) -> str: ...


@dataclass(frozen=True)
class Dataset:
    """A benchmark's annotations as read: tasks in their file's order, and the hash of those files."""

    folder: Path
    revision: str  # of the annotation files, names and bytes: the same revision is the same benchmark
    tasks: Sequence[Any]
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know
    protocol: str | None = None  # the default, where it hangs on the form of these files
    more: Sequence[Any] = ()  # tasks that only some protocols judge
    extra: Mapping[str, Any] = field(default_factory=dict)  # what only this benchmark's scorer knows

    def only(self, ids: Container[str]) -> Dataset:
        """The same benchmark with these tasks alone."""
        tasks, more = ([one for one in held if one.id in ids] for held in (self.tasks, self.more))
        return replace(self, tasks=tasks, more=more)


@dataclass(frozen=True)
class SampleScore:
    """The scorer's word on one task. Tasks of one cluster (a picture, an episode) are right or wrong together."""

    id: str
    outcome: Outcome
    cluster: str
    score: float  # 1 or 0; between them where the official scorer gives a part


@dataclass(frozen=True)
class Reference:
    """What would have been right, for people to see. shapes: polygons x, y, x, y, ... in pixels of the picture."""

    shapes: tuple[tuple[float, ...], ...] = ()
    words: str = ""


def box_shape(box: Sequence[float]) -> tuple[float, ...]:
    """x1, y1, x2, y2 as a polygon."""
    x1, y1, x2, y2 = box
    return x1, y1, x2, y1, x2, y2, x1, y2


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: `read` a folder, `score` predictions under one of the protocols, the first being the default."""

    name: str
    source: str  # where the annotations are to be had, and their size: the end of a sentence
    pictures: str  # the same of the pictures
    protocols: tuple[str, ...]
    read: Callable[[Path], Dataset]
    score: Callable[[Dataset, Mapping[str, Prediction], str], Result]
    oracle: Callable[[Any], Prediction]  # a task's right answer as a prediction
    doctor: Callable[[Dataset], list[tuple[str, list[str]]]]  # (what is wrong, the ids)
    samples: int | None = None  # how many the published benchmark has
    verbs: frozenset[str] = frozenset({"click"})  # what may be said on a picture
    episodes: bool = False  # tasks are steps of recorded episodes, and predictions are actions, not a point
    judged: Callable[[Dataset, str], Sequence[Any]] = lambda dataset, protocol: dataset.tasks  # by a protocol
    right: Callable[[Any, tuple[int, int]], Reference] = lambda task, size: (
        Reference()
    )  # of a task on a picture of that size


@dataclass(frozen=True)
class Result:
    """A score that is never bare: with the benchmark's revision, the protocol, the interval and the averages' names."""

    benchmark: str
    protocol: str
    revision: str
    verdicts: tuple[SampleScore, ...]
    metrics: Mapping[str, Any]  # the official ones, under their official names
    averages: Mapping[str, float]
    cluster: str  # what the interval is clustered by
    cells: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # what made the predictions: model, prompt, resize rule

    def as_dict(self) -> dict[str, Any]:
        missing = [one.id for one in self.verdicts if one.outcome == "missing"]
        low, high, clusters = interval(self.verdicts)
        return {
            "benchmark": self.benchmark,
            "revision": self.revision,
            "protocol": self.protocol,
            **count(self.verdicts),
            "missing_ids": missing,
            "interval": {
                "low": low,
                "high": high,
                "of": "mean of the samples' scores",
                "method": INTERVAL,
                "clustered_by": self.cluster,
                "clusters": clusters,
            },
            "averages": dict(self.averages),
            "metrics": dict(self.metrics),
            "cells": dict(self.cells),
            "baselines": dict(self.baselines),
            "about": dict(self.about),
            "notes": list(self.notes),
        }

    def lines(self) -> str:
        """The word on each task, a JSON line each; `agent eval compare` reads them."""
        words = (
            {"id": one.id, "outcome": one.outcome, "cluster": one.cluster, "score": one.score} for one in self.verdicts
        )
        return "".join(json.dumps(word) + "\n" for word in words)


def count(verdicts: Sequence[SampleScore]) -> dict[str, Any]:
    """{"correct", "total", "accuracy", "wrong_format", "missing"}; accuracy is correct of total, nothing left out."""
    kinds = [one.outcome for one in verdicts]
    correct, total = kinds.count("correct"), len(kinds)
    return {
        "correct": correct,
        "total": total,
        "accuracy": ratio(correct, total),
        "wrong_format": kinds.count("wrong_format"),
        "missing": kinds.count("missing"),
    }


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def mean(values: Iterable[float]) -> float:
    held = list(values)
    return ratio(math.fsum(held), len(held))


def interval(verdicts: Sequence[SampleScore]) -> tuple[float, float, int]:
    """(low, high, clusters): INTERVAL of the mean score.

    The variance of the mean is taken from the clusters' sums of deviations (as in a cluster-robust regression on a
    constant), turned into the number of independent samples that would have it, at most the real one, and given to
    Wilson's formula, which stays within 0 and 1. All right or all wrong has no variance: then a cluster is a sample.
    """
    if not verdicts:
        return 0.0, 1.0, 0
    total, middle = len(verdicts), mean(one.score for one in verdicts)
    sums: dict[str, float] = defaultdict(float)
    for one in verdicts:
        sums[one.cluster] += one.score - middle
    clusters = len(sums)
    variance = math.fsum(s * s for s in sums.values()) / total**2 * clusters / max(clusters - 1, 1)
    whole = middle * (1 - middle)
    n = min(float(total), whole / variance) if variance > 1e-12 and whole > 1e-12 else float(clusters)
    low, high = wilson(middle * n, n)
    return low, high, clusters


def names() -> list[str]:
    """Every benchmark that predictions can be scored on."""
    modules = (plugins.load_plugin(FOLDER, one) for one in plugins.list_plugins(FOLDER))
    return sorted(name for module in modules for name in getattr(module, "BENCHMARKS", {}))


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name; only its own file is imported, unless there is none of that name: UsageError."""
    stem = name.replace("-", "_")
    fitting = [one for one in plugins.list_plugins(FOLDER) if stem == one or stem.startswith(one + "_")]
    if fitting:
        found = getattr(plugins.load_plugin(FOLDER, max(fitting, key=len)), "BENCHMARKS", {}).get(name)
        if found is not None:
            return found
    raise UsageError(f"no benchmark '{name}' to score; have {', '.join(names())}")


def score(name: str, data: Path, predictions: Path, protocol: str | None = None, form: str = "auto") -> Result:
    """Score a file of predictions. UsageError, in one sentence, for a file, an id or a protocol that does not fit."""
    bench = benchmark(name)
    dataset = load(bench, data)
    chosen = resolve_protocol(bench, dataset, protocol)
    said, about = read_predictions(predictions, dataset, form, name)
    result = bench.score(dataset, said, chosen)
    result = replace(result, notes=(*result.notes, *format_warnings(said, "actions" if bench.episodes else "point")))
    digest = hashlib.sha256(predictions.read_bytes()).hexdigest()[:16]
    return replace(result, about={**about, "predictions": predictions.name, "predictions_hash": digest})


def resolve_protocol(bench: Benchmark, dataset: Dataset, named: str | None = None) -> str:
    """The protocol that was named, else the default for these files. UsageError when there is no such one."""
    if named is not None and named not in bench.protocols:
        raise UsageError(f"{bench.name} has no protocol '{named}'; have {', '.join(bench.protocols)}")
    return named or dataset.protocol or bench.protocols[0]


def load(bench: Benchmark, data: Path) -> Dataset:
    """A benchmark's tasks from its folder; notes say when there are fewer or more than were published."""
    dataset = bench.read(data)
    held = len(dataset.tasks)
    if bench.samples is not None and held != bench.samples:
        note = f"the folder holds {held:,} samples, the published benchmark {bench.samples:,}: this is not its score"
        return replace(dataset, notes=(*dataset.notes, note))
    return dataset


def annotation_files(folder: Path, patterns: Sequence[str], source: str) -> list[Path]:
    """The annotation files in folder/annotations or folder, sorted; UsageError says where they are to be had."""
    for place in (folder / "annotations", folder):
        found = sorted({path for pattern in patterns for path in place.glob(pattern) if path.is_file()})
        if found:
            return found
    wanted = " or ".join(patterns)
    raise UsageError(f"no annotations ({wanted}) in {folder} or its folder annotations/; get them from {source}")


def revision(files: Iterable[Path]) -> str:
    """A hash of the files' names and bytes, sixteen digits."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda one: one.name):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def read_json(path: Path) -> Any:
    """A JSON or JSON-lines file, the latter as a list; UsageError names the line that is neither."""
    text = read_text(path)
    if path.suffix != ".jsonl":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path} is not JSON (line {error.lineno}: {error.msg})") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in brackets
            raise UsageError(f"{path} cannot be read as JSON ({str(error)[:80]})") from None
    return [value for _, value in json_lines(text, path)]


def read_text(path: Path) -> str:
    """A file's text, without the mark that some editors put before it; UsageError when there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def json_lines(text: str, path: Path) -> list[tuple[int, Any]]:
    """(line's number, its value) of every line that is not empty."""
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                lines.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise UsageError(f"{path}, line {number}: not JSON ({error.msg}); one prediction a line") from None
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}, line {number}: cannot be read as JSON ({str(error)[:80]})") from None
    return lines


def read_predictions(
    path: Path, dataset: Dataset, form: str = "auto", name: str = ""
) -> tuple[dict[str, Prediction], dict[str, Any]]:
    """({id: prediction}, what the file says of its making).

    Own form: JSON lines, or one JSON list of them, {"id", "point": [x, y] | null, "reply"}, for episodes {"id":
    "EPISODE/STEP", "actions", "reply"}; a line {"about": {...}} tells what made them. Files of other harnesses are
    known by their structure, never by the size of a number. UsageError for an id that comes twice or that the benchmark
    does not have.
    """
    from evals.importers import base

    imported, entries = base.read(path, dataset, form, name)
    about: dict[str, Any] = {} if imported is None else {"imported": imported}
    lines: list[tuple[str, Any]] = []
    for place, value in entries:
        if isinstance(value, dict) and "id" not in value and isinstance(value.get("about"), dict):
            about |= value["about"]
        else:
            lines.append((place, value))
    known = {task.id for task in (*dataset.tasks, *dataset.more)}
    return _by_id(lines, known, path), about


FEW = 10  # points of which nothing is said, whatever they have in common


def format_warnings(said: Mapping[str, Prediction], key: str) -> tuple[str, ...]:
    """Notes on a file that is likely of another form: nowhere the key that holds an answer, or all points within 0 to
    1. They change no score."""
    if not said:
        return ()
    if not any(key in one for one in said.values()):
        others = sorted({str(other) for one in said.values() for other in one} - {"id", "reply"})[:5]
        seen = f", but {', '.join(others)}" if others else ""
        return (f"no prediction has the key '{key}'{seen}: all count as wrong format; is the file of another form?",)
    points = [point for one in said.values() if (point := pixel(one.get(key))) is not None]
    if len(points) >= FEW and all(0 <= side <= 1 for point in points for side in point):
        return ("every point lies between 0 and 1 and is taken for pixels of the picture; are they shares of it?",)
    return ()


def _by_id(lines: Iterable[tuple[str, Any]], known: set[str], path: Path) -> dict[str, Prediction]:
    said: dict[str, Prediction] = {}
    where: dict[str, str] = {}
    unknown: list[tuple[str, str]] = []
    for place, value in lines:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str | int):
            raise UsageError(
                f'{path}, {place}: not a prediction; expected an object like {{"id": ..., "point": [x, y]}}'
            )
        name = str(value["id"])
        if name in said:
            raise UsageError(f"{path}: id '{name}' comes twice ({where[name]} and {place}); keep one of them")
        if name not in known:
            unknown.append((name, place))
        said[name], where[name] = value, place
    if unknown:
        name, place = unknown[0]
        like = min(known, default="")
        raise UsageError(
            f"{path}: {len(unknown)} of {len(said)} ids are not in this benchmark, the first '{name}' ({place}); "
            f"its ids look like '{like}'"
        )
    return said


def pixel(value: Any) -> tuple[float, float] | None:
    """[x, y] as two finite numbers; None for everything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value):
        return None
    try:
        x, y = float(value[0]), float(value[1])
    except OverflowError:  # an integer that no float holds
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None
