"""DocVQA and InfographicVQA: questions on documents, scored by ANLS.

The rule is that of the challenge's script, which VLMEvalKit (vlmeval/dataset/utils/vqa_eval.py, e8e78f0) and lmms-eval
(lmms_eval/api/metrics.py, 75571cf) both compute. The answers of the test splits are not public.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks._question_answering import (
    Scores,
    Summary,
    convert_questions,
    mean_score,
    question_benchmark,
    text_list,
)
from evals.files import annotation_files, revision
from evals.metrics import answers
from evals.metrics.questions import QuestionTask, group_scores
from evals.types import Benchmark, Dataset


def document_benchmark(name: str, pattern: str, source: str, image_key: str, type_key: str, samples: int) -> Benchmark:
    """Return one of the two benchmarks.

    Args:
        name: The benchmark's name.
        pattern: The name of its annotation file.
        source: Where the annotations are.
        image_key: The key of the image's file name.
        type_key: The key of the question's or answer's types.
        samples: Size of the validation split.
    """

    def convert(record: Any, place: int, path: Path) -> QuestionTask:
        labels = {"type": str(kind)} if (kind := next(iter(record.get(type_key) or ()), None)) else {}
        return QuestionTask(
            str(record["questionId"]),
            Path(str(record[image_key])).name,
            str(record["question"]),
            text_list(record["answers"]),
            labels,
        )

    def read_annotations(folder: Path) -> Dataset:
        files = annotation_files(folder, (pattern,), source)
        return Dataset(folder, revision(files), convert_questions(files, "data", convert))

    return question_benchmark(
        name,
        source,
        "the same site",
        ("anls",),
        read_annotations,
        lambda task, reply, protocol: answers.anls(reply, task.answers),
        summarize,
        "{question}\nAnswer with the words of the document alone.",
        samples=samples,
    )


def summarize(tasks: Sequence[QuestionTask], scores: Scores) -> Summary:
    """Return the mean ANLS, of each type and in all."""
    value = mean_score(scores)
    return {"anls": value}, {"ANLS (mean over samples)": value}, group_scores(tasks, scores, "type")
