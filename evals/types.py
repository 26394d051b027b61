"""The types of an evaluation: datasets, predictions, references, sample scores and results."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from actions import Step
from evals.stats import Interval, clustered_interval, ratio

Outcome = Literal["correct", "wrong", "wrong_format", "missing"]
Prediction = dict[str, Any]  # one line of a predictions file
PredictionKey = Literal["point", "actions", "reply", "box"]
Finding = tuple[str, list[str]]  # (what is wrong with an annotation, the ids of the samples)
INTERVAL_METHOD = "95 % Wilson interval; effective sample size from the variance between clusters"


class EvalTask(Protocol):
    """One sample of a benchmark: an instruction on an image, or a step of a recorded episode."""

    @property
    def id(self) -> str: ...

    @property
    def image(self) -> str:
        """File name below images/."""
        ...

    @property
    def instruction(self) -> str: ...


@dataclass(frozen=True)
class Dataset:
    """A benchmark's annotations as read from its folder."""

    folder: Path
    revision: str  # hash of the annotation files, names and bytes
    tasks: Sequence[Any]  # in file order
    notes: tuple[str, ...] = ()  # caveats that belong beside any score
    protocol: str | None = None  # the default protocol where it depends on the annotation format
    extra_tasks: Sequence[Any] = ()  # tasks that only some protocols score
    extra: Mapping[str, Any] = field(default_factory=dict)  # data that only this benchmark's scorer uses

    def only(self, ids: Container[str]) -> Dataset:
        """Return the dataset restricted to the given task ids."""
        tasks, extra_tasks = ([task for task in group if task.id in ids] for group in (self.tasks, self.extra_tasks))
        return replace(self, tasks=tasks, extra_tasks=extra_tasks)


@dataclass(frozen=True)
class SampleScore:
    """The score of one prediction."""

    id: str
    outcome: Outcome
    cluster: str  # image or episode; samples of one cluster are not independent
    score: float  # 0 to 1; fractions only where the official scorer gives partial credit
    parts: Mapping[str, float] = field(default_factory=dict)  # the scorer's sub-scores, by name


@dataclass(frozen=True)
class Reference:
    """The reference answer of a task, for display."""

    shapes: tuple[tuple[float, ...], ...] = ()  # polygons x, y, x, y, ... in pixels of the image
    text: str = ""


class SampleScorer(Protocol):
    """Scores one prediction under a protocol."""

    def __call__(self, task: Any, prediction: Prediction, protocol: str) -> SampleScore: ...


class BenchmarkScorer(Protocol):
    """Scores all predictions of a dataset under a protocol.

    `known` holds sample scores that were computed earlier by the benchmark's SampleScorer from the same predictions;
    they are used instead of scoring the sample again.
    """

    def __call__(
        self,
        dataset: Dataset,
        predictions: Mapping[str, Prediction],
        protocol: str,
        known: Mapping[str, SampleScore] | None = None,
    ) -> EvaluationResult: ...


def _all_tasks(dataset: Dataset, protocol: str) -> Sequence[Any]:
    return dataset.tasks


def _no_reference(task: Any, size: tuple[int, int]) -> Reference:
    return Reference()


@dataclass(frozen=True)
class Benchmark:
    """A recorded benchmark: its reader, its protocols and its official scorer."""

    name: str
    source: str  # where to download the annotations, and their size: the end of a sentence
    image_source: str  # the same for the images
    protocols: tuple[str, ...]  # the first one is the default
    read: Callable[[Path], Dataset]
    score: BenchmarkScorer
    score_sample: SampleScorer
    oracle: Callable[[Any], Prediction]  # the reference answer of a task as a prediction
    check_annotations: Callable[[Dataset], list[Finding]]
    samples: int | None = None  # size of the published benchmark
    verbs: frozenset[str] = frozenset({"click"})  # actions that a policy may take
    has_episodes: bool = False  # tasks are steps of episodes and predictions are actions; else predictions are points
    scored_tasks: Callable[[Dataset, str], Sequence[Any]] = _all_tasks  # the tasks that a protocol scores
    reference: Callable[[Any, tuple[int, int]], Reference] = (
        _no_reference  # of a task, for an image of a size in pixels
    )
    history: Callable[[Any], Sequence[Step]] | None = None  # the recorded steps before a task; None for predicted ones
    question: Callable[[Any, Sequence[float]], str] | None = None  # asks for a text; None where actions are predicted
    answers_with_box: bool = False  # the predicted text names a box
    reply_tokens: int | None = None  # longest reply to a question; None for the policy's own limit
    video_frames: int = 0  # frames of a task's video that are shown, 0 for an image; their times go into the question
    env_id: str = ""  # id in gymnasium's registry, "pixelhand/NAME-v0"; "" registers none

    @property
    def prediction_key(self) -> PredictionKey:
        """The key of a prediction that is scored."""
        if self.question is not None:
            return "box" if self.answers_with_box else "reply"
        return "actions" if self.has_episodes else "point"


@dataclass(frozen=True)
class EvaluationResult:
    """A score with everything needed to interpret it: revision, protocol, interval and named averages."""

    benchmark: str
    protocol: str
    revision: str
    scores: tuple[SampleScore, ...]
    metrics: Mapping[str, Any]  # the official metrics under their official names
    averages: Mapping[str, float]
    clustered_by: str  # "picture" or "episode"
    groups: Mapping[str, Any] = field(default_factory=dict)  # the score of each subset
    baselines: Mapping[str, Any] = field(default_factory=dict)  # policies that ignore the screen
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # what made the predictions: model, prompt hash, resize rule
    broken: Mapping[str, str] = field(default_factory=dict)  # tasks the machine failed on, in no figure: reason by id

    @property
    def accuracy(self) -> float:
        """Fraction of samples that are correct, 0 to 1; missing and unreadable predictions count as wrong."""
        return float(count_outcomes(self.scores)["accuracy"])

    @property
    def interval(self) -> Interval:
        """95 % confidence interval of the mean sample score."""
        return clustered_interval((sample.cluster, sample.score) for sample in self.scores)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data, as `agent score --json` prints it."""
        interval = self.interval
        return {
            "benchmark": self.benchmark,
            "revision": self.revision,
            "protocol": self.protocol,
            **count_outcomes(self.scores),
            "missing_ids": [sample.id for sample in self.scores if sample.outcome == "missing"],
            "interval": {
                "low": interval.low,
                "high": interval.high,
                "of": "mean of the samples' scores",
                "method": INTERVAL_METHOD,
                "clustered_by": self.clustered_by,
                "clusters": interval.clusters,
            },
            "averages": dict(self.averages),
            "metrics": dict(self.metrics),
            "cells": dict(self.groups),
            "baselines": dict(self.baselines),
            "about": dict(self.about),
            "notes": list(self.notes),
        }

    def verdict_lines(self) -> str:
        """Return the sample scores as JSON lines, as `agent eval compare` reads them."""
        rows = (
            {"id": sample.id, "outcome": sample.outcome, "cluster": sample.cluster, "score": sample.score}
            for sample in self.scores
        )
        return "".join(json.dumps(row) + "\n" for row in rows)


def count_outcomes(scores: Sequence[SampleScore]) -> dict[str, Any]:
    """Return {"correct", "total", "accuracy", "wrong_format", "missing"}; accuracy is correct / total."""
    outcomes = [sample.outcome for sample in scores]
    return {
        **count_correct(outcome == "correct" for outcome in outcomes),
        "wrong_format": outcomes.count("wrong_format"),
        "missing": outcomes.count("missing"),
    }


def count_correct(flags: Iterable[bool]) -> dict[str, Any]:
    """Return {"correct", "total", "accuracy"} of an iterable of booleans."""
    items = list(flags)
    return {"correct": sum(items), "total": len(items), "accuracy": ratio(sum(items), len(items))}
