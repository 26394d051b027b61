"""OSWorld-G and its refined instructions: boxes, polygons, and instructions that cannot be followed.

Two formats are read. The benchmark's own: box_type bbox (x, y, width, height), polygon (flat x, y, ...) or refusal;
implemented from three public readers, since the file itself was not available. And the conversion of MAI-UI and UI-Ins
to ScreenSpot-Pro's format, where a refusal is the box 0, 0, 0, 0 and the second corner of each of the 40 polygons was
taken for a width and height: [x0, y0, x0 + x1, y0 + y1, x2, y2, ...]. ScreenSpot-Pro's script reads the first four
numbers as a box, which is a different region: MAI-UI-8B hits 37 of the 40 polygons and 25 of those boxes. The
conversion can be inverted, and is.

Harnesses disagree on what counts as a refusal, so each protocol defines both:
`converted-boxes`: as MAI-UI and UI-Ins are scored, polygons as those boxes; the default for the converted files.
`polygons`: polygons by ray casting; the default for the benchmark's own files.
    Under both, a prediction refuses with "refused": true. A point is never a refusal, nor is an unreadable reply.
`polygons-negative-point`: a point with two negative coordinates is a refusal (lmms-eval, FocusUI).
`sspro-official`: ScreenSpot-Pro's script on the converted files: nothing refuses, and 0, 0 hits the box 0, 0, 0, 0.
Results report both totals, all 564 samples and the 510 that can be clicked, and the polygons under both readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks import _screenspot_pro_format as pro_format
from evals.files import annotation_files, format_error, revision
from evals.metrics import grounding
from evals.metrics.geometry import parse_point
from evals.metrics.grounding import GroundingTask, Target
from evals.stats import ratio
from evals.types import (
    Benchmark,
    Dataset,
    EvaluationResult,
    Outcome,
    Prediction,
    SampleScore,
    count_correct,
    count_outcomes,
)

SOURCE = (
    "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data (0.3 MB, 564 samples), or github.com/xlang-ai/OSWorld-G"
)
IMAGE_SOURCE = "github.com/xlang-ai/OSWorld-G, benchmark/images (251 images)"
FILES = {
    "osworld-g": ("osworld_g.json", "OSWorld-G.json", "OSWorld-G_sspro.json"),
    "osworld-g-refined": ("osworld_g_refined.json", "OSWorld-G_refined.json", "OSWorld-G_refined_sspro.json"),
}
ENV_IDS = {"osworld-g": "pixelhand/OSWorldG-v0", "osworld-g-refined": "pixelhand/OSWorldGRefined-v0"}
PROTOCOLS = ("polygons", "converted-boxes", "polygons-negative-point", "sspro-official")


def read_dataset(name: str, folder: Path) -> Dataset:
    """Read the annotations in either format."""
    files = annotation_files(folder, FILES[name], SOURCE)[:1]
    content = pro_format.read_records(files[0])
    if content and isinstance(content[0], dict) and "box_type" in content[0]:
        tasks = [_native_task(record, index, files[0]) for index, record in enumerate(content)]
        return Dataset(folder, revision(files), tasks)
    return Dataset(folder, revision(files), pro_format.read_tasks(files, converted_target), protocol="converted-boxes")


def converted_target(numbers: Sequence[float]) -> Target:
    """Return the original target of a converted bbox."""
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        x, y, x_plus_x1, y_plus_y1 = numbers[:4]
        return Target("polygon", (x, y, x_plus_x1 - x, y_plus_y1 - y, *numbers[4:]))
    return Target("refusal") if not any(numbers) else pro_format.xyxy_box(numbers)


def _native_task(record: Mapping[str, Any], index: int, path: Path) -> GroundingTask:
    try:
        kind, numbers = record["box_type"], tuple(float(number) for number in record["box_coordinates"])
        if kind not in ("bbox", "polygon", "refusal") or len(numbers) < 4 or (kind == "polygon" and len(numbers) % 2):
            raise ValueError(f"box_type {kind!r} with {len(numbers)} numbers")
        x, y, width, height = numbers[:4]
        box = (0.0, 0.0, 0.0, 0.0) if kind == "refusal" else (x, y, x + width, y + height)
        target = {"bbox": Target("box", box), "polygon": Target("polygon", numbers), "refusal": Target("refusal")}[kind]
        width_px, height_px = (int(side) for side in record["image_size"])
        return GroundingTask(
            str(record["id"]),
            str(record["image_path"]),
            (width_px, height_px),
            str(record["instruction"]),
            target,
            {
                "platform": "linux",
                "application": "osworld-g",
                "group": None,
                "ui_type": record.get("GUI_types"),
                "bbox": box,
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}, record {index}: not in OSWorld-G's format ({format_error(error)})") from None


def is_refusal(prediction: Prediction, protocol: str) -> bool:
    """Return whether a prediction refuses the instruction under a protocol."""
    if protocol == "polygons-negative-point":
        point = parse_point(prediction.get("point"))
        return point is not None and point[0] < 0 and point[1] < 0
    return protocol != "sspro-official" and prediction.get("refused") is True


def outcome(task: GroundingTask, prediction: Prediction, protocol: str) -> Outcome:
    """Return the outcome of one prediction under a protocol."""
    kind, point = task.target.kind, parse_point(prediction.get("point"))
    if is_refusal(prediction, protocol):
        return "correct" if kind == "refusal" else "wrong"
    as_box = protocol == "sspro-official" or (protocol == "converted-boxes" and kind == "polygon")
    if as_box and point is not None:
        return "correct" if grounding.is_in_box(point, task.labels["bbox"], task.size) else "wrong"
    return grounding.click_outcome(task, prediction)


def score_sample(task: GroundingTask, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction under a protocol."""
    return grounding.sample_score(task, outcome(task, prediction, protocol))


def score(
    name: str,
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return ScreenSpot-Pro's report, with refusals and polygons reported separately."""
    tasks: Sequence[GroundingTask] = dataset.tasks
    scores = grounding.score_tasks(tasks, predictions, partial(score_sample, protocol=protocol), known)
    clickable = [sample for task, sample in zip(tasks, scores, strict=True) if task.target.kind != "refusal"]
    false_refusals = sum(is_refusal(predictions.get(sample.id, {}), protocol) for sample in clickable)
    polygons = [task for task in tasks if task.target.kind == "polygon"]
    readings = {"polygons, by ray casting": "polygons", "polygons, as the converted boxes": "converted-boxes"}
    refusals = len(scores) - len(clickable)
    return EvaluationResult(
        name,
        protocol,
        dataset.revision,
        scores,
        pro_format.report_blocks(tasks, scores),
        {
            f"micro (over all {len(scores)} samples, refusals included)": count_outcomes(scores)["accuracy"],
            f"micro (over the {len(clickable)} samples that can be clicked)": count_outcomes(clickable)["accuracy"],
        },
        "picture",
        groups={
            **{
                kind: group
                for kind, group in grounding.group_accuracy(tasks, scores, lambda task: task.target.kind).items()
                if kind != "polygon"
            },
            **{
                label: _accuracy(grounding.score_tasks(polygons, predictions, partial(score_sample, protocol=reading)))
                for label, reading in readings.items()
            },
            "can be clicked": _accuracy(clickable),
            "refused though it can be clicked": {
                "count": false_refusals,
                "total": len(clickable),
                "share": ratio(false_refusals, len(clickable)),
            },
        },
        baselines={
            "centre click": grounding.center_click_baseline(tasks),
            "refuse always": {
                "correct": refusals,
                "total": len(scores),
                "accuracy": ratio(refusals, len(scores)),
            },
        },
        notes=dataset.notes,
    )


def _accuracy(scores: Sequence[SampleScore]) -> dict[str, Any]:
    return count_correct(sample.outcome == "correct" for sample in scores)


BENCHMARKS = {
    name: Benchmark(
        name,
        SOURCE,
        IMAGE_SOURCE,
        PROTOCOLS,
        partial(read_dataset, name),
        partial(score, name),
        score_sample,
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=564,
        reference=grounding.target_reference,
        env_id=ENV_IDS[name],
    )
    for name in FILES
}
