"""Run a model on a recorded benchmark, in a folder that survives crashes.

    run.json           the run's specification and facts about the model; written once the model is loaded
    journal.jsonl      one prediction per line, in the order they were made
    predictions.jsonl  the predictions in the benchmark's order, as `agent score` reads them
    verdicts.jsonl     the score of each prediction
    result.json        the score, and the broken tasks
    here.json          the benchmark's folder on this machine

The same command continues an interrupted run, and prints the result of a finished one. run.json, predictions.jsonl,
verdicts.jsonl and result.json hold no times and no order of events: they are byte-identical for any number of workers
and interruptions. A task that the machine could not run is broken: it is listed, counts in no score, and is tried again
by the next command.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actions import SurfaceError, UsageError
from evals.files import replace_json, replace_text
from evals.journal import open_journal
from evals.predictor import parse_sample_score
from evals.registry import load_benchmark, load_dataset, resolve_protocol
from evals.run_folder import (
    LOCAL_STATE,
    PREDICTIONS,
    RESULT,
    RUN,
    VERDICTS,
    check_same_model,
    check_same_run,
)
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Prediction, SampleScore
from evals.workers.pool import Message, WorkerJob, open_pool
from evals.workers.spec import RunSpec

MISSING_IMAGE = "its image is not in images/"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    total: int
    broken: int
    score: float | None  # mean of the scores so far
    per_s: float  # predictions per second, of this command
    remaining_s: float | None  # None before the first prediction

    def line(self) -> str:
        """Return the progress as one line."""
        remaining = "" if self.remaining_s is None else f"  about {_format_duration(self.remaining_s)} left"
        score = "" if self.score is None else f"  score so far {100 * self.score:.1f} %"
        broken = f"  broken {self.broken}" if self.broken else ""
        return f"{self.done:,} of {self.total:,}  {self.per_s:.2f}/s{remaining}{score}{broken}"


@dataclass(frozen=True)
class RunPlan:
    """The tasks of a run, in the benchmark's order."""

    bench: Benchmark
    dataset: Dataset
    protocol: str
    ids: tuple[str, ...]  # the tasks to run
    broken: Mapping[str, str]  # the tasks that cannot be run: reason by id

    def jobs(self) -> list[tuple[str, ...]]:
        """Return the ids of each job: an episode's steps, or one image."""
        if not self.bench.has_episodes:
            return [(name,) for name in self.ids]
        chosen, by_episode = set(self.ids), dict[str, list[str]]()
        for task in self.bench.scored_tasks(self.dataset, self.protocol):
            if task.id in chosen:
                by_episode.setdefault(task.episode, []).append(task.id)
        return [tuple(ids) for ids in by_episode.values()]


def plan_run(name: str, data: Path, protocol: str | None = None, limit: int | None = None, seed: int = 0) -> RunPlan:
    """Return the tasks of a run.

    Tasks without an image are broken; an episode without one of its images is broken as a whole.

    Args:
        name: The benchmark.
        data: The benchmark's folder.
        protocol: One of the benchmark's protocols; None for the default.
        limit: Number of images, or episodes, to sample from those that are complete; None for all.
        seed: Random seed of the sample.

    Raises:
        UsageError: No task has its image.
    """
    bench = load_benchmark(name)
    dataset = load_dataset(bench, data)
    chosen = resolve_protocol(bench, dataset, protocol)
    groups: dict[str, list[Any]] = {}
    for task in bench.scored_tasks(dataset, chosen):
        groups.setdefault(task.episode if bench.has_episodes else task.id, []).append(task)
    images = data / "images"
    file_names = {path.name for path in images.iterdir()} if images.is_dir() else set[str]()
    complete = {
        key
        for key, tasks in groups.items()
        if all(task.image in file_names or (images / task.image).is_file() for task in tasks)
    }
    if not complete:
        raise UsageError(f"no image of {name} is in {images}; get them from {bench.image_source}")
    if limit is not None and limit < len(complete):
        complete = set(random.Random(seed).sample(sorted(complete), limit))
    ids = tuple(task.id for key, tasks in groups.items() if key in complete for task in tasks)
    incomplete = (tasks for key, tasks in groups.items() if key not in complete) if limit is None else ()
    broken = {task.id: MISSING_IMAGE for tasks in incomplete for task in tasks}
    return RunPlan(bench, dataset, chosen, ids, broken)


class ProgressMeter:
    """Counts predictions and reports progress."""

    def __init__(self, total: int, scores: Mapping[str, float], on_progress: Callable[[Progress], None]) -> None:
        self.total, self.scores, self.broken = total, dict(scores), 0
        self._on_progress = on_progress
        self._started_at, self._initial = time.monotonic(), len(self.scores)

    def update(self, name: str, score: float | None) -> None:
        """Record a prediction's score, None for a broken task, and report."""
        if score is None:
            self.broken += 1
        else:
            self.scores[name] = score
        elapsed, new = time.monotonic() - self._started_at, len(self.scores) - self._initial
        remaining = self.total - len(self.scores) - self.broken
        self._on_progress(
            Progress(
                len(self.scores),
                self.total,
                self.broken,
                mean(self.scores.values()) if self.scores else None,
                new / elapsed if elapsed else 0.0,
                elapsed / new * remaining if new else None,
            )
        )


def run_predictions(
    plan: RunPlan,
    spec: RunSpec,
    out: Path,
    *,
    workers: int = 1,
    limit: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    command: Sequence[str] | None = None,
    ray: str = "",
) -> dict[str, Any]:
    """Run the tasks that have no prediction yet and write the files of the run; return the content of result.json.

    KeyboardInterrupt leaves a folder that the same call continues.

    Args:
        plan: The tasks.
        spec: The specification of the run.
        out: Folder of the run.
        workers: Number of workers, each with a model of its own.
        limit: The limit that the plan was made with.
        on_progress: Called after each task.
        command: Command of a worker process, in place of this project's.
        ray: Address of a Ray cluster for the workers; "" for processes on this machine.

    Raises:
        UsageError: The folder holds another run, or another process is writing to it.
        SurfaceError: No task could be run.
    """
    request = {**spec.identity(), "data": plan.dataset.revision, "limit": limit}
    with open_journal(out) as journal:
        about = check_same_run(out, request)
        if journal.entries and not about:
            raise UsageError(f"{out} has predictions but no {RUN}; choose another folder with --out")
        replace_json(out / LOCAL_STATE, {"data": str(plan.dataset.folder.absolute())})
        ids = set(plan.ids)
        entries: dict[str, Message] = {name: entry for name, entry in journal.entries.items() if name in ids}
        broken: dict[str, str] = {}
        scores = {name: float(entry["score"]) for name, entry in entries.items()}
        meter = ProgressMeter(len(plan.ids), scores, on_progress)
        jobs = [WorkerJob(job, {name: entries[name]["line"] for name in job if name in entries}) for job in plan.jobs()]
        jobs = [job for job in jobs if job.remaining()]
        for message in _run_jobs(spec, jobs, workers, command, ray):
            if "ready" in message:
                about = check_same_model(out, request, about, message["ready"])
                continue
            if "broken" in message:
                broken[message["id"]] = message["broken"]
                meter.update(message["id"], None)
            else:
                journal.append(message)
                entries[message["id"]] = message
                meter.update(message["id"], float(message["score"]))
        lines = {name: entry["line"] for name, entry in entries.items()}
        known = {name: sample for name, entry in entries.items() if (sample := parse_sample_score(entry))}
        result = finish(plan, lines, broken, known=known, about=about)
        return _write_result(plan, out, result, lines)


def _run_jobs(
    spec: RunSpec, jobs: Sequence[WorkerJob], workers: int, command: Sequence[str] | None, ray: str
) -> Iterator[Message]:
    """Yield the workers' messages; start none where nothing remains to be done."""
    if jobs:
        yield from open_pool(spec, workers, ray=ray, command=command).run(jobs)


def finish(
    plan: RunPlan,
    lines: Mapping[str, Prediction],
    broken: Mapping[str, str],
    *,
    known: Mapping[str, SampleScore],
    about: Mapping[str, Any],
) -> EvaluationResult:
    """Return the score of the tasks that have a prediction.

    Args:
        plan: The tasks.
        lines: The predictions by id.
        broken: Reasons by id, of tasks that failed.
        known: The scores of the predictions, as far as they are known.
        about: Facts about the model.

    Raises:
        SurfaceError: There is no prediction.
    """
    scored = [task.id for task in plan.bench.scored_tasks(plan.dataset, plan.protocol)]
    all_broken = {name: reason for name in scored if (reason := broken.get(name) or plan.broken.get(name))}
    if not lines:
        reason = next(iter(broken.values()), "no task was run")
        raise SurfaceError(f"none of {len(plan.ids):,} tasks could be run: {reason}")
    dataset = plan.dataset.only(lines.keys())
    notes = list(dataset.notes)
    if len(lines) < len(scored):
        notes.append(
            f"{len(lines):,} of the {len(scored):,} tasks of this protocol: the score is not comparable with published "
            "ones" + (f"; {len(all_broken):,} tasks are broken and count in no figure" if all_broken else "")
        )
    ordered = {task.id: lines[task.id] for task in (*dataset.tasks, *dataset.extra_tasks)}
    result = plan.bench.score(replace(dataset, notes=tuple(notes)), ordered, plan.protocol, known)
    return replace(result, about=about, broken=all_broken)


def _write_result(
    plan: RunPlan, out: Path, result: EvaluationResult, lines: Mapping[str, Prediction]
) -> dict[str, Any]:
    dataset = plan.dataset.only(lines.keys())
    head = json.dumps({"about": dict(result.about)})
    ordered = (lines[task.id] for task in (*dataset.tasks, *dataset.extra_tasks))
    replace_text(out / PREDICTIONS, "".join(f"{line}\n" for line in (head, *map(json.dumps, ordered))))
    replace_text(out / VERDICTS, result.verdict_lines())
    summary = run_summary(result)
    replace_json(out / RESULT, summary)
    return summary


def run_summary(result: EvaluationResult) -> dict[str, Any]:
    """Return the content of result.json: the result as `agent score --json` prints it, and the broken tasks."""
    listed = [{"id": name, "why": reason} for name, reason in result.broken.items()]
    return {**result.as_dict(), "broken": len(listed), "broken_ids": listed}


def default_folder(spec: RunSpec, revision: str, limit: int | None) -> Path:
    """Return a run's folder, named by its identity, so that the same command finds it again."""
    from agent import trace
    from model.checkpoints.gguf_settings import without_folders

    identity = json.dumps([spec.identity(), revision, limit], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:8]
    model = Path(without_folders(spec.model)).name or "model"
    return trace.default_root().parent / "evals" / f"{spec.name}-{model}-{key}"


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
