"""RefCOCO, RefCOCO+ and RefCOCOg: the box of an object that an expression refers to.

The annotations are the JSON lines {"image", "sent", "bbox": [x1, y1, x2, y2], "width", "height"} of Qwen-VL and
InternVL, one file per split, such as refcoco_testA.jsonl. A box is correct where its IoU with the reference is at least
0.5; the mean IoU is reported beside it.

Protocols: `iou-0.5` scores `box`, in pixels of the image. The others read the reply: `vlmevalkit` takes numbers up to
1.5 for shares of the image, up to 1000 for thousandths, and larger ones for pixels (open-compass/VLMEvalKit,
vlmeval/dataset/refcoco.py, e8e78f0); `lmms-eval` takes the first four numbers in brackets for shares of the image
(EvolvingLMMs-Lab/lmms-eval, lmms_eval/tasks/refcoco/utils_rec.py, 75571cf).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.benchmarks._question_answering import convert_questions, mean_score
from evals.files import annotation_files, revision
from evals.metrics import overlap, questions
from evals.metrics.geometry import Box, box_polygon, parse_box
from evals.metrics.questions import QuestionTask
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, Reference, SampleScore

IMAGE_SOURCE = "cocodataset.org, train2014 (the images that the annotations name)"
PROTOCOLS = ("iou-0.5", "vlmevalkit", "lmms-eval")
THRESHOLD = 0.5
PROMPT = (
    'Find the object that this describes: {expression}\nReply with its box only, as {{"bbox_2d": [x1, y1, x2, y2]}}.'
)


@dataclass(frozen=True)
class ReferringTask(QuestionTask):
    """An expression that refers to one object."""

    box: Box = ()  # x1, y1, x2, y2 in pixels


def parse_reply(task: ReferringTask, prediction: Prediction, protocol: str) -> tuple[Box | None, Box]:
    """Return the predicted box, None where there is none, and the reference in the same unit."""
    if protocol == "iou-0.5":
        return parse_box(prediction.get("box")), task.box
    reply, size = prediction.get("reply"), task.size or (1, 1)
    if not isinstance(reply, str):
        return None, task.box
    if protocol == "vlmevalkit":
        return overlap.parse_vlmevalkit_box(reply, size), task.box
    sides = tuple(side / length for side, length in zip(task.box, (*size, *size), strict=True))
    return overlap.parse_normalized_box(reply), sides


def score_sample(task: ReferringTask, prediction: Prediction, protocol: str) -> SampleScore:
    """Return 1 for a box with an IoU of at least 0.5, else 0; the IoU is a part of the score."""
    box, reference = parse_reply(task, prediction, protocol)
    iou = 0.0 if box is None else overlap.box_iou(box, reference)
    value = None if box is None else float(iou >= THRESHOLD)
    return questions.question_score(task, value, {"iou": iou})


def task_reference(task: ReferringTask, size: tuple[int, int]) -> Reference:
    """Return the box as a shape to display."""
    return Reference((box_polygon(task.box),), "a box with an IoU of at least 0.5")


def task_oracle(task: ReferringTask) -> Prediction:
    """Return the reference box as a prediction."""
    width, height = task.size or (1, 1)
    shares = (task.box[0] / width, task.box[1] / height, task.box[2] / width, task.box[3] / height)
    return {"id": task.id, "box": list(task.box), "reply": f"[{', '.join(f'{share:.9f}' for share in shares)}]"}


def check_boxes(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    tasks: Sequence[ReferringTask] = dataset.tasks
    findings = [
        ("box without area", [task.id for task in tasks if task.box[2] <= task.box[0] or task.box[3] <= task.box[1]]),
        ("box outside its image", [task.id for task in tasks if _is_outside(task)]),
    ]
    return [*questions.check_questions(tasks), *((what, ids) for what, ids in findings if ids)]


def _is_outside(task: ReferringTask) -> bool:
    width, height = task.size or (0, 0)
    return min(task.box) < 0 or task.box[2] > width or task.box[3] > height


def referring_benchmark(name: str, prefix: str, samples: int) -> Benchmark:
    """Return one of the three benchmarks.

    Args:
        name: The benchmark's name.
        prefix: The start of its files' names.
        samples: Number of expressions of all its splits but the training split.
    """
    source = f"the links in github.com/QwenLM/Qwen-VL, eval_mm: {prefix}_*.jsonl ({samples:,} samples)"

    def convert(record: Any, place: int, path: Path) -> ReferringTask:
        split = path.stem.removeprefix(f"{prefix}_")
        box = parse_box(record["bbox"])
        if box is None:
            raise ValueError("bbox is not four numbers")
        return ReferringTask(
            id=f"{split}_{place}",
            image=Path(str(record["image"])).name,
            instruction=str(record["sent"]),
            answers=(str(record["bbox"]),),
            labels={"split": split},
            size=(int(record["width"]), int(record["height"])),
            box=box,
        )

    def read_annotations(folder: Path) -> Dataset:
        files = annotation_files(folder, (f"{prefix}_*.jsonl",), source)
        return Dataset(folder, revision(files), convert_questions(files, "", convert))

    def score(
        dataset: Dataset,
        predictions: Mapping[str, Prediction],
        protocol: str,
        known: Mapping[str, SampleScore] | None = None,
    ) -> EvaluationResult:
        tasks: Sequence[ReferringTask] = dataset.tasks
        scores = questions.score_questions(
            tasks, predictions, lambda task, line: score_sample(task, line, protocol), known
        )
        splits = questions.group_scores(dataset.tasks, scores, "split")
        ious: dict[str, list[float]] = {split: [] for split in splits}
        for task, sample in zip(dataset.tasks, scores, strict=True):
            ious[task.labels["split"]].append(sample.parts.get("iou", 0.0))
        metrics = {
            split: {"Precision@1": group["accuracy"], "Average IoU": mean(ious[split])}
            for split, group in splits.items()
        }
        averages = {
            "micro (over samples)": mean_score(scores),
            f"macro (over {len(splits)} splits)": mean(group["accuracy"] for group in splits.values()),
            "mean IoU": mean(iou for values in ious.values() for iou in values),
        }
        return EvaluationResult(
            name, protocol, dataset.revision, scores, metrics, averages, "picture", groups=splits, notes=dataset.notes
        )

    return Benchmark(
        name,
        source,
        IMAGE_SOURCE,
        PROTOCOLS,
        read_annotations,
        score,
        score_sample,
        task_oracle,
        check_boxes,
        samples=samples,
        reference=task_reference,
        question=lambda task, times: PROMPT.format(expression=task.instruction),
        answers_with_box=True,
    )


BENCHMARKS = {
    "refcoco": referring_benchmark("refcoco", "refcoco", 21586),
    "refcoco-plus": referring_benchmark("refcoco-plus", "refcoco+", 21373),
    "refcoco-g": referring_benchmark("refcoco-g", "refcocog", 14498),
}
