"""Questions about images whose answers are texts, and the score of a text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evals.stats import mean
from evals.types import Finding, Prediction, Reference, SampleScore


@dataclass(frozen=True)
class QuestionTask:
    """One question about an image or a video."""

    id: str
    image: str  # file name below images/
    instruction: str  # the question
    answers: tuple[str, ...]  # any of which is correct
    labels: Mapping[str, Any] = field(default_factory=dict)  # category, split, ...
    cluster: str = ""  # "" for the image
    size: tuple[int, int] | None = None  # width, height in pixels; None where the annotations do not have it


Task = TypeVar("Task", bound=QuestionTask)
AnswerScorer = Callable[[Any, str, str], float | None]  # (task, reply, protocol); None for an unreadable reply


def score_text(task: QuestionTask, prediction: Prediction, protocol: str, score_answer: AnswerScorer) -> SampleScore:
    """Return the score of the reply of a prediction; it is correct where the score is 1."""
    reply = prediction.get("reply")
    value = score_answer(task, reply, protocol) if isinstance(reply, str) else None
    return question_score(task, value)


def question_score(
    task: QuestionTask, value: float | None, parts: Mapping[str, float] | None = None, *, threshold: float = 1.0
) -> SampleScore:
    """Return the score of a task.

    Args:
        task: The task.
        value: The score, 0 to 1; None for an unreadable prediction.
        parts: The sub-scores.
        threshold: The smallest score of a correct prediction.
    """
    cluster = task.cluster or task.image
    if value is None:
        return SampleScore(task.id, "wrong_format", cluster, 0.0, parts or {})
    return SampleScore(task.id, "correct" if value >= threshold else "wrong", cluster, value, parts or {})


def score_questions(
    tasks: Sequence[Task],
    predictions: Mapping[str, Prediction],
    scorer: Callable[[Task, Prediction], SampleScore],
    known: Mapping[str, SampleScore] | None = None,
) -> tuple[SampleScore, ...]:
    """Return a sample score for every task, `known` ones as they are."""
    scores = []
    for task in tasks:
        if known and task.id in known:
            scores.append(known[task.id])
        elif task.id in predictions:
            scores.append(scorer(task, predictions[task.id]))
        else:
            scores.append(SampleScore(task.id, "missing", task.cluster or task.image, 0.0))
    return tuple(scores)


def group_scores(
    tasks: Sequence[QuestionTask], scores: Sequence[SampleScore], label: str
) -> dict[str, dict[str, float]]:
    """Return {group: {"correct", "total", "accuracy"}} of a label, in the order of first appearance.

    "correct" is the sum of the scores, and "accuracy" their mean.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for task, sample in zip(tasks, scores, strict=True):
        if label in task.labels:
            groups[str(task.labels[label])].append(sample.score)
    return {
        name: {"correct": sum(values), "total": len(values), "accuracy": mean(values)}
        for name, values in groups.items()
    }


def answers_reference(task: QuestionTask, size: tuple[int, int]) -> Reference:
    """Return the answers of a task as a text to display."""
    return Reference(text=" or ".join(task.answers))


def answer_oracle(task: QuestionTask) -> Prediction:
    """Return the first answer of a task as a prediction."""
    return {"id": task.id, "reply": task.answers[0]}


def check_questions(tasks: Sequence[QuestionTask]) -> list[Finding]:
    """Return what is wrong with questions and answers."""
    counts = Counter(task.id for task in tasks)
    findings = [
        ("duplicate id", [task.id for task in tasks if counts[task.id] > 1]),
        ("no question", [task.id for task in tasks if not task.instruction.strip()]),
        ("no answer", [task.id for task in tasks if not any(answer.strip() for answer in task.answers)]),
    ]
    return [(what, ids) for what, ids in findings if ids]
