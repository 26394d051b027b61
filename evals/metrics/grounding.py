"""Grounding metrics: an instruction and a screenshot in, a click point out.

Source: likaixin2000/ScreenSpot-Pro-GUI-Grounding, eval_screenspot_pro.py (bd8bbbb and 588f1f2). As there, the point
and the box are both divided by the image size before they are compared, and all four edges belong to the box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evals.metrics.geometry import Point, box_polygon, parse_point, polygon_area, polygon_contains
from evals.stats import ratio
from evals.types import Finding, Outcome, Prediction, Reference, SampleScore, count_correct


@dataclass(frozen=True)
class Target:
    """The region where a click is correct, in pixels of the original image."""

    kind: Literal["box", "polygon", "refusal"]  # refusal: the instruction cannot be followed on this image
    values: tuple[float, ...] = ()  # box: x1, y1, x2, y2; polygon: x, y, x, y, ...

    @property
    def click_point(self) -> Point:
        """A point inside the target: the center of a box, some inner point of a polygon."""
        xs, ys = self.values[0::2], self.values[1::2]
        center = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        if self.kind != "polygon" or polygon_contains(self.values, center):
            return center
        corners = list(zip(xs, ys, strict=True))
        diagonals = ((a, b) for i, a in enumerate(corners) for b in corners[i + 2 :])
        midpoints = (((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in diagonals)
        return next((point for point in midpoints if polygon_contains(self.values, point)), center)


@dataclass(frozen=True)
class GroundingTask:
    """One instruction on one image."""

    id: str
    image: str  # file name below images/
    size: tuple[int, int] | None  # width, height in pixels; None where the annotations do not have it
    instruction: str
    target: Target
    labels: Mapping[str, Any] = field(default_factory=dict)  # platform, application, group, ui_type, ...


def is_hit(task: GroundingTask, point: Point) -> bool:
    """Return whether a click at the point is correct; never where the instruction cannot be followed."""
    if task.target.kind == "refusal":
        return False
    if task.target.kind == "polygon":
        return polygon_contains(task.target.values, point)
    return is_in_box(point, task.target.values, task.size)


def is_in_box(point: Point, box: Sequence[float], size: tuple[int, int] | None) -> bool:
    """Return whether the box contains the point, both divided by the image size as in the official script."""
    width, height = size or (1, 1)
    x, y = point[0] / width, point[1] / height
    return box[0] / width <= x <= box[2] / width and box[1] / height <= y <= box[3] / height


def click_outcome(task: GroundingTask, prediction: Prediction) -> Outcome:
    """Return the official outcome of one prediction."""
    point = parse_point(prediction.get("point"))
    if point is None:
        return "wrong_format"
    return "correct" if is_hit(task, point) else "wrong"


def score_click(task: GroundingTask, prediction: Prediction, protocol: str = "") -> SampleScore:
    """Return the score of one prediction under the official rule, clustered by image."""
    return sample_score(task, click_outcome(task, prediction))


def sample_score(task: GroundingTask, outcome: Outcome) -> SampleScore:
    """Return an outcome as a sample score, clustered by image."""
    return SampleScore(task.id, outcome, task.image, float(outcome == "correct"))


def score_tasks(
    tasks: Iterable[GroundingTask],
    predictions: Mapping[str, Prediction],
    scorer: Callable[[GroundingTask, Prediction], SampleScore] = score_click,
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
            scores.append(sample_score(task, "missing"))
    return tuple(scores)


def target_reference(task: GroundingTask, size: tuple[int, int]) -> Reference:
    """Return the target as a shape to display."""
    if task.target.kind == "refusal":
        return Reference(text="a refusal: the instruction cannot be followed on this screen")
    values = task.target.values
    return Reference((values if task.target.kind == "polygon" else box_polygon(values),), "a click in the target")


def oracle(task: GroundingTask) -> Prediction:
    """Return a correct prediction: a point in the target, or a refusal."""
    if task.target.kind == "refusal":
        return {"id": task.id, "point": None, "refused": True, "reply": "it is not on this screen"}
    return {"id": task.id, "point": list(task.target.click_point), "reply": "click"}


def center_click_baseline(tasks: Iterable[GroundingTask]) -> dict[str, Any]:
    """Return the accuracy of always clicking the image's center; tasks of unknown image size are left out."""
    sized = [(task, task.size) for task in tasks if task.size]
    if not sized:
        return {}
    return count_correct(is_hit(task, (size[0] / 2, size[1] / 2)) for task, size in sized)


def group_accuracy(
    tasks: Sequence[GroundingTask], scores: Sequence[SampleScore], name: Callable[[GroundingTask], str]
) -> dict[str, dict[str, Any]]:
    """Return {group: {"correct", "total", "accuracy"}}, groups in order of first appearance."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for task, sample in zip(tasks, scores, strict=True):
        groups[name(task)].append(sample.outcome == "correct")
    return {
        key: {"correct": sum(flags), "total": len(flags), "accuracy": ratio(sum(flags), len(flags))}
        for key, flags in groups.items()
    }


# ---- checks of annotations


def check_annotations(tasks: Sequence[GroundingTask]) -> list[Finding]:
    """Return what is wrong with annotations, as far as it shows without the images."""
    findings = [
        ("duplicate id", _duplicates(tasks, lambda task: task.id)),
        (
            "same image, instruction and target as another sample",
            _duplicates(tasks, lambda task: (task.image, task.instruction, task.target)),
        ),
        ("no instruction", [task.id for task in tasks if not task.instruction.strip()]),
        ("box without area", [task.id for task in tasks if task.target.kind == "box" and not _has_area(task)]),
        (
            "polygon without area, which no click can hit",
            [task.id for task in tasks if task.target.kind == "polygon" and not polygon_area(task.target.values)],
        ),
        ("target outside its image", [task.id for task in tasks if _is_outside(task, task.target.values)]),
    ]
    boxes = [task for task in tasks if task.target.kind == "box"]
    implausible = [task.id for task in boxes if not _has_area(task) or _is_outside(task, task.target.values)]
    as_xywh = [task.id for task in boxes if _fits_as_xywh(task)]
    if len(implausible) > len(boxes) / 10 and len(as_xywh) > len(boxes) / 2:
        findings.append(("box fits its image as x, y, width, height but not as x1, y1, x2, y2", implausible))
    return [(what, ids) for what, ids in findings if ids]


def _fits_as_xywh(task: GroundingTask) -> bool:
    x, y, width, height = task.target.values
    return width > 0 and height > 0 and not _is_outside(task, (x, y, x + width, y + height))


def _duplicates(tasks: Sequence[GroundingTask], key: Callable[[GroundingTask], Hashable]) -> list[str]:
    seen: set[Hashable] = set()
    ids = []
    for task in tasks:
        if key(task) in seen:
            ids.append(task.id)
        seen.add(key(task))
    return ids


def _has_area(task: GroundingTask) -> bool:
    x1, y1, x2, y2 = task.target.values
    return x2 > x1 and y2 > y1


def _is_outside(task: GroundingTask, values: Sequence[float]) -> bool:
    if not values:
        return False
    xs, ys = values[0::2], values[1::2]
    width, height = task.size or (float("inf"), float("inf"))
    return min(xs) < 0 or min(ys) < 0 or max(xs) > width or max(ys) > height
