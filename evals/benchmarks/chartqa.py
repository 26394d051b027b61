"""ChartQA: 2,500 questions on charts, scored by relaxed accuracy.

A number is correct within 5 % of the answer, a text where it is equal regardless of case. VLMEvalKit
(vlmeval/dataset/utils/vqa_eval.py, e8e78f0) strips white space from a reply first (`vlmevalkit`), lmms-eval
(lmms_eval/tasks/chartqa/utils.py, 75571cf) does not (`lmms-eval`).
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
from evals.types import Dataset

SOURCE = "github.com/vis-nlp/ChartQA, test/test_human.json and test/test_augmented.json (2,500 samples)"
IMAGE_SOURCE = "the same repository, test/png"


def read_annotations(folder: Path) -> Dataset:
    """Read the annotations of the two halves."""
    files = annotation_files(folder, ("test_human.json", "test_augmented.json"), SOURCE)

    def convert(record: Any, place: int, path: Path) -> QuestionTask:
        half = path.stem.removeprefix("test_")
        return QuestionTask(
            f"{half}_{place}",
            str(record["imgname"]),
            str(record["query"]),
            text_list(record["label"]),
            {"split": half},
        )

    return Dataset(folder, revision(files), convert_questions(files, "", convert))


def score_answer(task: QuestionTask, reply: str, protocol: str) -> float:
    """Return 1 for a reply that matches an answer, else 0."""
    text = reply.strip() if protocol == "vlmevalkit" else reply
    return float(any(answers.is_relaxed_match(text, answer) for answer in task.answers))


def summarize(tasks: Sequence[QuestionTask], scores: Scores) -> Summary:
    """Return the relaxed accuracy, of each half and in all."""
    groups = group_scores(tasks, scores, "split")
    overall = mean_score(scores)
    metrics = {"relaxed_overall": overall} | {f"relaxed_{name}": group["accuracy"] for name, group in groups.items()}
    return metrics, {"relaxed accuracy (over samples)": overall}, groups


BENCHMARKS = {
    "chartqa": question_benchmark(
        "chartqa",
        SOURCE,
        IMAGE_SOURCE,
        ("vlmevalkit", "lmms-eval"),
        read_annotations,
        score_answer,
        summarize,
        "{question}\nAnswer with one word or number.",
        samples=2500,
    )
}
