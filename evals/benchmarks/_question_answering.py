"""What the benchmarks of questions about images share: the result of texts that answer questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import JsonValue, format_error, read_json
from evals.metrics import questions
from evals.metrics.questions import QuestionTask
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Prediction, SampleScore

Summary = tuple[Mapping[str, Any], Mapping[str, float], Mapping[str, Any]]  # metrics, averages, groups
Scores = tuple[SampleScore, ...]


def read_records(path: Path, key: str = "") -> list[JsonValue]:
    """Return the records of a file: its list, or the list under a key.

    Raises:
        UsageError: There is no list.
    """
    content = read_json(path)
    records = content.get(key) if key and isinstance(content, dict) else content
    if not isinstance(records, list):
        raise UsageError(f"{path} is not a list of questions" + (f" under the key '{key}'" if key else ""))
    return records


def convert_questions(
    paths: Sequence[Path], key: str, convert: Callable[[Any, int, Path], QuestionTask]
) -> list[QuestionTask]:
    """Return the task of each record of each file.

    Args:
        paths: The annotation files.
        key: The key of a file's list, "" where the file is the list.
        convert: Returns the task of (record, its place in the file from 0, the file).

    Raises:
        UsageError: A record does not fit.
    """
    tasks = []
    for path in paths:
        for place, record in enumerate(read_records(path, key)):
            try:
                tasks.append(convert(record, place, path))
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                raise UsageError(f"{path}, entry {place + 1}: {format_error(error)}") from None
    return tasks


def text_list(value: object) -> tuple[str, ...]:
    """Return a text, or a list of texts or numbers, as texts.

    Raises:
        ValueError: There is none.
    """
    texts = tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)
    if not texts:
        raise ValueError("no answer")
    return texts


def question_benchmark(
    name: str,
    source: str,
    image_source: str,
    protocols: tuple[str, ...],
    read: Callable[[Path], Dataset],
    score_answer: questions.AnswerScorer,
    summarize: Callable[[Sequence[QuestionTask], Scores], Summary],
    prompt: str,
    samples: int | None = None,
) -> Benchmark:
    """Return a benchmark whose predictions are texts.

    Args:
        name: The benchmark's name.
        source: Where the annotations are.
        image_source: Where the images are.
        protocols: The protocols, the default first.
        read: Reads the annotations.
        score_answer: Returns the score of (task, reply, protocol).
        summarize: Returns the official figures.
        prompt: What a model is asked, with `{question}`.
        samples: Size of the published benchmark.
    """

    def score_sample(task: QuestionTask, prediction: Prediction, protocol: str) -> SampleScore:
        return questions.score_text(task, prediction, protocol, score_answer)

    def score(
        dataset: Dataset,
        predictions: Mapping[str, Prediction],
        protocol: str,
        known: Mapping[str, SampleScore] | None = None,
    ) -> EvaluationResult:
        scores = questions.score_questions(
            dataset.tasks, predictions, lambda task, line: score_sample(task, line, protocol), known
        )
        metrics, averages, groups = summarize(dataset.tasks, scores)
        return EvaluationResult(
            name,
            protocol,
            dataset.revision,
            scores,
            metrics,
            averages,
            "picture",
            groups=groups,
            notes=dataset.notes,
        )

    return Benchmark(
        name,
        source,
        image_source,
        protocols,
        read,
        score,
        score_sample,
        questions.answer_oracle,
        lambda dataset: questions.check_questions(dataset.tasks),
        samples=samples,
        reference=questions.answers_reference,
        question=lambda task, times: prompt.format(question=task.instruction),
    )


def mean_score(scores: Sequence[SampleScore]) -> float:
    """Return the mean of the samples' scores."""
    return mean(sample.score for sample in scores)
