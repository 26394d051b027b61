"""OCRBench: 1,000 questions on texts in images; an answer that is a part of the reply is correct.

Source: Yuliang-Liu/MultimodalOCR, OCRBench/example.py (f5cbec6), for the data and the rule. `vlmevalkit` is that rule,
as open-compass/VLMEvalKit, vlmeval/dataset/image_vqa.py (e8e78f0), applies it. `lmms-eval` also folds full-width ASCII
to its usual form (EvolvingLMMs-Lab/lmms-eval, lmms_eval/tasks/ocrbench/utils.py, 75571cf). Handwritten formulas
(HME100k) are compared without spaces under both. The result is the number of correct answers.
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

SOURCE = "github.com/Yuliang-Liu/MultimodalOCR, OCRBench/OCRBench.json (1,000 samples)"
IMAGE_SOURCE = "the link in github.com/Yuliang-Liu/MultimodalOCR"
FORMULAS = "HME100k"
RECOGNITION = tuple(
    f"{kind} Recognition"
    for kind in (
        "Regular Text",
        "Irregular Text",
        "Artistic Text",
        "Handwriting",
        "Digit String",
        "Non-Semantic Text",
    )
)
OTHER_TYPES = (
    "Scene Text-centric VQA",
    "Doc-oriented VQA",
    "Key Information Extraction",
    "Handwritten Mathematical Expression Recognition",
)


def read_annotations(folder: Path) -> Dataset:
    """Read the annotations."""
    files = annotation_files(folder, ("OCRBench*.json",), SOURCE)

    def convert(record: Any, place: int, path: Path) -> QuestionTask:
        return QuestionTask(
            str(record.get("id", place)),
            str(record["image_path"]),
            str(record["question"]),
            text_list(record["answers"]),
            {"type": str(record["type"]), "dataset": str(record["dataset_name"])},
        )

    return Dataset(folder, revision(files), convert_questions(files[:1], "", convert))


def score_answer(task: QuestionTask, reply: str, protocol: str) -> float:
    """Return 1 for a reply that has an answer, else 0."""
    if task.labels["dataset"] == FORMULAS:
        return float(answers.contains_formula(reply, task.answers))
    return float(answers.contains_answer(reply, task.answers, folds_width=protocol == "lmms-eval"))


def summarize(tasks: Sequence[QuestionTask], scores: Scores) -> Summary:
    """Return the number of correct answers, of each type and in all."""
    groups = group_scores(tasks, scores, "type")
    counts = {name: int(group["correct"]) for name, group in groups.items()}
    metrics = {
        "Text Recognition": sum(counts.get(name, 0) for name in RECOGNITION),
        **{name: counts.get(name, 0) for name in OTHER_TYPES},
    }
    metrics["Final Score"] = sum(metrics.values())
    return metrics, {"micro (over samples)": mean_score(scores)}, groups


BENCHMARKS = {
    "ocrbench": question_benchmark(
        "ocrbench",
        SOURCE,
        IMAGE_SOURCE,
        ("vlmevalkit", "lmms-eval"),
        read_annotations,
        score_answer,
        summarize,
        "{question}\nAnswer with the text alone.",
        samples=1000,
    )
}
