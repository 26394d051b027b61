"""`agent eval NAME`: a benchmark's tasks put to a model, in a folder that survives a crash. Knows files and progress.

    run.json           what is asked, of which model; written once the model has said who it is
    journal.jsonl      one answer a line, written as it comes, in whatever order; a crash may leave its last line torn
    predictions.jsonl  the answers in the benchmark's order, as `agent score` takes them
    verdicts.jsonl     the scorer's word on each
    result.json        the score, and what was broken
    here.json          where the data lay on this machine

The same command goes on where a killed one stopped, and only prints when all is done. run.json, predictions.jsonl,
verdicts.jsonl and result.json hold no times and no order of events: they are the same bytes for any number of workers
and any number of crashes. What the machine could not do is broken: it is listed, is in no score, and is tried again
the next time.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from actions import SurfaceError, UsageError
from evals import scoring
from evals.scoring import Benchmark, Dataset, Prediction, Result
from evals.workers.pool import COMMAND, Job, run_jobs
from evals.workers.process import RunSpec

RUN, JOURNAL, PREDICTIONS = "run.json", "journal.jsonl", "predictions.jsonl"
VERDICTS, RESULT, LOCAL_STATE = "verdicts.jsonl", "result.json", "here.json"
LEVELS = ("high", "low")
SYNC_S = 1.0  # a power cut may cost this much, a killed process nothing
NO_PICTURE = "its picture is not in images/"


@dataclass(frozen=True)
class Progress:
    """How a run stands. score: mean of the answers so far; left_s: None as long as nothing was answered now."""

    done: int
    total: int
    broken: int
    score: float | None
    per_s: float
    left_s: float | None

    def line(self) -> str:
        left = "" if self.left_s is None else f"  about {_duration(self.left_s)} left"
        shown = "" if self.score is None else f"  score so far {100 * self.score:.1f} %"
        broken = f"  broken {self.broken}" if self.broken else ""
        return f"{self.done:,} of {self.total:,}  {self.per_s:.2f}/s{left}{shown}{broken}"


@dataclass(frozen=True)
class Plan:
    """What a run will ask: the tasks in the benchmark's order, and those that it cannot ask."""

    bench: Benchmark
    dataset: Dataset
    protocol: str
    ids: tuple[str, ...]
    broken: Mapping[str, str]

    def jobs(self) -> list[tuple[str, ...]]:
        """What has to be asked in one go: an episode's steps, or a picture."""
        if not self.bench.episodes:
            return [(one,) for one in self.ids]
        chosen, held = set(self.ids), dict[str, list[str]]()
        for task in self.bench.judged(self.dataset, self.protocol):
            if task.id in chosen:
                held.setdefault(task.episode, []).append(task.id)
        return [tuple(steps) for steps in held.values()]


def plan_run(name: str, data: Path, protocol: str | None = None, limit: int | None = None, seed: int = 0) -> Plan:
    """The tasks of a protocol. limit: so many pictures, or episodes, drawn by the seed, in the benchmark's order.

    Tasks without their picture are broken from the start and are not drawn; of an episode, all of it. UsageError when
    there are none with one.
    """
    bench = scoring.benchmark(name)
    dataset = scoring.load(bench, data)
    chosen = scoring.resolve_protocol(bench, dataset, protocol)
    groups: dict[str, list[Any]] = {}
    for task in bench.judged(dataset, chosen):
        groups.setdefault(task.episode if bench.episodes else task.id, []).append(task)
    images = data / "images"
    here = {one.name for one in images.iterdir()} if images.is_dir() else set[str]()
    there = {
        key
        for key, tasks in groups.items()
        if all(task.picture in here or (images / task.picture).is_file() for task in tasks)
    }
    if not there:
        raise UsageError(f"no picture of {name} is in {images}; get them from {bench.pictures}")
    if limit is not None and limit < len(there):
        there = set(random.Random(seed).sample(sorted(there), limit))
    ids = tuple(task.id for key, tasks in groups.items() if key in there for task in tasks)
    lacking = (tasks for key, tasks in groups.items() if key not in there) if limit is None else ()
    return Plan(bench, dataset, chosen, ids, {task.id: NO_PICTURE for tasks in lacking for task in tasks})


def run_predictions(
    planned: Plan,
    order: RunSpec,
    out: Path,
    *,
    workers: int = 1,
    limit: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    command: Sequence[str] = COMMAND,
    ray: str = "",
) -> dict[str, Any]:
    """Ask what is not answered yet, and write the result; returns it. See the module for the files.

    ray: the address of a Ray cluster that has the workers, in place of processes here; the files are the same.
    UsageError when the folder holds another run, or another process writes in it. KeyboardInterrupt leaves a folder
    that can be gone on with.
    """
    asked = {**asdict(order), "data": planned.dataset.revision, "limit": limit}
    with ExitStack() as stack:
        journal = stack.enter_context(_journal(out))
        about = _check_same_run(out, asked)
        if journal.held and not about:
            raise UsageError(f"{out} has answers and no {RUN} that says whose; choose another folder with --out")
        _write(out / LOCAL_STATE, {"data": str(planned.dataset.folder.absolute())})
        wanted = set(planned.ids)
        said = {name: one for name, one in journal.held.items() if name in wanted}
        scores = {name: float(one["score"]) for name, one in said.items()}
        lines: dict[str, Prediction] = {name: one["line"] for name, one in said.items()}
        broken: dict[str, str] = {}
        began, before = time.monotonic(), len(lines)
        jobs = [Job(ids, {one: lines[one] for one in ids if one in lines}) for ids in planned.jobs()]
        jobs = [job for job in jobs if job.left()]
        for one in _iter_answers(order, jobs, workers, command, ray):
            if "ready" in one:
                about = _check_same_model(out, asked, about, one["ready"])
            elif "broken" in one:
                broken[one["id"]] = one["broken"]
            else:
                name = one["id"]
                journal.append(one)
                lines[name], scores[name] = one["line"], float(one["score"])
            passed, new = time.monotonic() - began, len(lines) - before
            left = len(planned.ids) - len(lines) - len(broken)
            on_progress(
                Progress(
                    len(lines),
                    len(planned.ids),
                    len(broken),
                    scoring.mean(scores.values()) if scores else None,
                    new / passed if passed else 0.0,
                    passed / new * left if new else None,
                )
            )
        return _finish(planned, out, about, lines, broken)


def _iter_answers(
    order: RunSpec, jobs: Sequence[Job], workers: int, command: Sequence[str], ray: str
) -> Iterable[Mapping[str, Any]]:
    """What the workers say, wherever they are; nobody is started where nothing is left to ask."""
    if not jobs:
        return ()
    if ray:
        from evals.workers import ray_pool

        return ray_pool.answers(order, jobs, workers, ray)
    return run_jobs(order, jobs, workers, command=command)


def _finish(
    planned: Plan, out: Path, about: Mapping[str, Any], lines: Mapping[str, Prediction], broken: Mapping[str, str]
) -> dict[str, Any]:
    """Write what was said, the scorer's words and the score of what was answered."""
    judged = [task.id for task in planned.bench.judged(planned.dataset, planned.protocol)]
    all_broken = {name: why for name in judged if (why := broken.get(name) or planned.broken.get(name))}
    if not lines:
        why = next(iter(broken.values()), "nothing was asked")
        raise SurfaceError(f"not one of {len(planned.ids):,} tasks could be asked: {why}")
    dataset = planned.dataset.only(lines.keys())
    notes = list(dataset.notes)
    if len(lines) < len(judged):
        notes.append(
            f"{len(lines):,} of the {len(judged):,} tasks of this protocol: this is not the benchmark's score"
            + (f"; {len(all_broken):,} are broken, and in no figure here" if all_broken else "")
        )
    said = {task.id: lines[task.id] for task in (*dataset.tasks, *dataset.more)}
    result = planned.bench.score(replace(dataset, notes=tuple(notes)), said, planned.protocol)
    result = replace(result, about=about)
    head = json.dumps({"about": dict(about)})
    _replace(out / PREDICTIONS, "".join(f"{line}\n" for line in (head, *map(json.dumps, said.values()))))
    _replace(out / VERDICTS, result.lines())
    told = as_dict(result, all_broken)
    _write(out / RESULT, told)
    return told


def as_dict(result: Result, broken: Mapping[str, str]) -> dict[str, Any]:
    """A result as `agent score` tells it, and what was broken."""
    listed = [{"id": name, "why": why} for name, why in broken.items()]
    return {**result.as_dict(), "broken": len(listed), "broken_ids": listed}


def default_folder(order: RunSpec, revision: str, limit: int | None) -> Path:
    """The folder of a run that is named by what it asks, so that the same command finds it again."""
    from agent import trace

    key = hashlib.sha256(json.dumps([asdict(order), revision, limit], sort_keys=True).encode()).hexdigest()[:8]
    model = Path(order.model).name or "model"
    return trace.default_root().parent / "evals" / f"{order.name}-{model}-{key}"


# ---- files


def _check_same_run(out: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder's model said of itself, {} in a new folder. UsageError when it was asked something else."""
    if not (out / RUN).is_file():
        return {}
    held = scoring.read_json(out / RUN)
    before = held.get("asked", {})
    for key, value in asked.items():
        if before.get(key) != value:
            raise UsageError(
                f"{out} holds a run with {key} {before.get(key)!r}, and this one has {value!r}; "
                "choose another folder with --out"
            )
    about: dict[str, Any] = held["about"]
    return about


def _check_same_model(
    out: Path, asked: Mapping[str, Any], about: Mapping[str, Any], ready: Mapping[str, Any]
) -> dict[str, Any]:
    if about and dict(about) != dict(ready):
        key = next(key for key in {**about, **ready} if about.get(key) != ready.get(key))
        raise UsageError(
            f"the run in {out} began with {key} {about.get(key)!r}, and now it is {ready.get(key)!r}: another model; "
            "choose another folder with --out"
        )
    if not about:
        _write(out / RUN, {"asked": dict(asked), "about": dict(ready)})
    return dict(ready)


class Journal:
    """The answers of a folder so far, by id, and the file that takes more."""

    def __init__(self, file: int, path: Path) -> None:
        self._file, self._synced = file, time.monotonic()
        self.held: dict[str, Any] = {}
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.ftruncate(file, end)
        for number, line in enumerate(whole[:end].splitlines(), 1):
            try:
                one = json.loads(line)
                self.held[one["id"]] = one
            except (ValueError, KeyError, TypeError):
                raise UsageError(f"{path}, line {number}, is no answer; choose another folder with --out") from None

    def append(self, one: Mapping[str, Any]) -> None:
        line = json.dumps(one).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise SurfaceError("the disk took only a part of an answer; make room and run the same command again")
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._file)
            self._synced = time.monotonic()


@contextmanager
def _journal(out: Path) -> Any:
    """The folder's journal, open for this process alone. UsageError when another one has it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = os.open(out / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write in {out} ({error.strerror}); choose another folder with --out") from None
    try:
        _lock(file, out)
        yield Journal(file, out / JOURNAL)
        os.fsync(file)
    finally:
        os.close(file)


def _lock(file: int, out: Path) -> None:
    """Until the file is closed; a process that dies lets go of it."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: two runs in one folder then repeat each other's work
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"another run is writing in {out}; wait for it, or choose another folder with --out") from None


def _write(path: Path, value: Any) -> None:
    _replace(path, json.dumps(value, indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
