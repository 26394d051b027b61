"""What the grounding benchmarks share: a picture, an instruction, a point. Knows targets and ScreenSpot-Pro's form.

Official source: likaixin2000/ScreenSpot-Pro-GUI-Grounding, eval_screenspot_pro.py (read at bd8bbbb and 588f1f2).
Its arithmetic is kept: point and box are both divided by the picture's size, then compared, all four edges included.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from actions import UsageError
from evals.scoring import Outcome, Prediction, Reference, SampleScore, box_shape, pixel, ratio, read_json

Point = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """Where a click is right, in pixels of the original picture: a box x1, y1, x2, y2, a polygon x, y, x, y, ..., or
    nowhere (the instruction cannot be followed on this picture)."""

    kind: Literal["box", "polygon", "refusal"]
    values: tuple[float, ...] = ()

    @property
    def middle(self) -> Point:
        """A point on a box; of a polygon one of the points inside it."""
        xs, ys = self.values[0::2], self.values[1::2]
        centre = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        if self.kind != "polygon" or in_polygon(centre, self.values):
            return centre
        corners = list(zip(xs, ys, strict=True))
        pairs = ((a, b) for i, a in enumerate(corners) for b in corners[i + 2 :])
        middles = (((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairs)
        return next(one for one in middles if in_polygon(one, self.values))


@dataclass(frozen=True)
class GroundingTask:
    """One instruction on one picture. labels hold what the annotation says besides (platform, application, ...)."""

    id: str
    picture: str  # file name below images/
    size: tuple[int, int] | None  # width, height in pixels; None where the annotation has none
    instruction: str
    target: Target
    labels: Mapping[str, Any] = field(default_factory=dict)


def in_polygon(point: Point, corners: Sequence[float]) -> bool:
    """Ray casting: a ray to the right crosses an odd number of edges."""
    x, y = point
    inside = False
    xs, ys = corners[0::2], corners[1::2]
    for i in range(len(xs)):
        x1, y1, x2, y2 = xs[i - 1], ys[i - 1], xs[i], ys[i]
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def on_target(task: GroundingTask, point: Point) -> bool:
    """Whether a click at the point is right. No point is right where the instruction cannot be followed."""
    if task.target.kind == "refusal":
        return False
    if task.target.kind == "polygon":
        return in_polygon(point, task.target.values)
    return in_box(point, task.target.values, task.size)


def in_box(point: Point, box: Sequence[float], size: tuple[int, int] | None) -> bool:
    width, height = size or (1, 1)
    x, y = point[0] / width, point[1] / height
    return box[0] / width <= x <= box[2] / width and box[1] / height <= y <= box[3] / height


def score_click(task: GroundingTask, said: Prediction) -> Outcome:
    """The official word on one prediction."""
    point = pixel(said.get("point"))
    if point is None:
        return "wrong_format"
    return "correct" if on_target(task, point) else "wrong"


def score_tasks(
    tasks: Iterable[GroundingTask],
    said: Mapping[str, Prediction],
    rule: Callable[[GroundingTask, Prediction], Outcome] = score_click,
) -> tuple[SampleScore, ...]:
    """A verdict for every task, clustered by picture."""
    verdicts = []
    for task in tasks:
        outcome = rule(task, said[task.id]) if task.id in said else "missing"
        verdicts.append(SampleScore(task.id, outcome, task.picture, float(outcome == "correct")))
    return tuple(verdicts)


def target_reference(task: GroundingTask, size: tuple[int, int]) -> Reference:
    """The target as a shape."""
    if task.target.kind == "refusal":
        return Reference(words="nothing: it cannot be done on this screen")
    values = task.target.values
    return Reference((values if task.target.kind == "polygon" else box_shape(values),), "a click in the box")


def oracle(task: GroundingTask) -> Prediction:
    """The middle of the target; the word "refused" where there is none."""
    if task.target.kind == "refusal":
        return {"id": task.id, "point": None, "refused": True, "reply": "it is not on this screen"}
    return {"id": task.id, "point": list(task.target.middle), "reply": "click"}


def center_click_baseline(tasks: Iterable[GroundingTask]) -> dict[str, Any]:
    """The trivial baseline: always the picture's middle. Tasks whose picture's size is not known are left out."""
    sized = [(task, task.size) for task in tasks if task.size]
    hits = sum(on_target(task, (size[0] / 2, size[1] / 2)) for task, size in sized)
    return {"correct": hits, "total": len(sized), "accuracy": ratio(hits, len(sized))} if sized else {}


# ---- ScreenSpot-Pro's form: its records, and the five blocks of its report


def xyxy_box(numbers: Sequence[float]) -> Target:
    """ScreenSpot-Pro's bbox: x1, y1, x2, y2."""
    if len(numbers) != 4:
        raise ValueError(f"bbox has {len(numbers)} numbers, not four")
    return Target("box", tuple(numbers))


def read_screenspot_pro(
    files: Iterable[Path], target: Callable[[Sequence[float]], Target] = xyxy_box
) -> list[GroundingTask]:
    """Tasks from files in ScreenSpot-Pro's form: bbox is x1, y1, x2, y2 in pixels of the original picture."""
    tasks = []
    for path in files:
        for index, record in enumerate(records(path)):
            try:
                numbers = tuple(float(one) for one in record["bbox"])
                width, height = (int(one) for one in record["img_size"])
                tasks.append(
                    GroundingTask(
                        id=str(record["id"]),
                        picture=str(record["img_filename"]),
                        size=(width, height),
                        instruction=str(record["instruction"]),
                        target=target(numbers),
                        labels={
                            **{key: record.get(key) for key in ("platform", "application", "group", "ui_type")},
                            "instruction_cn": record.get("instruction_cn") or "",
                            "bbox": numbers,
                        },
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise UsageError(f"{path}, record {index}: not in ScreenSpot-Pro's form ({what})") from None
    return tasks


def records(path: Path) -> list[Any]:
    """A file's list of records; UsageError when it holds something else."""
    content = read_json(path)
    if not isinstance(content, list):
        raise UsageError(f"{path} holds no list of annotations")
    return content


def screenspot_pro_report(tasks: Sequence[GroundingTask], verdicts: Sequence[SampleScore]) -> dict[str, Any]:
    """The five blocks of the official report, under its names."""
    held = list(zip(tasks, verdicts, strict=True))

    def by(name: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
        groups: dict[str, list[tuple[GroundingTask, SampleScore]]] = defaultdict(list)
        for task, verdict in held:
            groups[name(task.labels)].append((task, verdict))
        return {key: _block(group) for key, group in groups.items()}

    style = "inst_style:instruction gt_type:positive"
    return {
        "fine_grained": by(lambda has: f"plat:{has['platform']} app:{has['application']} {style}"),
        "seeclick_style": by(lambda has: f"plat:{has['platform']} {style}"),
        "leaderboard_simple_style": by(lambda has: f"group:{has['group']}"),
        "leaderboard_detailed_style": by(lambda has: f"app:{has['application']}"),
        "overall": _block(held),
    }


def _block(held: Sequence[tuple[GroundingTask, SampleScore]]) -> dict[str, Any]:
    correct: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for task, verdict in held:
        for key in ("action", str(task.labels["ui_type"])):
            total[key] += 1
            correct[key] += verdict.outcome == "correct"
    return {
        "num_correct_action": correct["action"],
        "num_total": total["action"],
        "wrong_format_num": sum(verdict.outcome == "wrong_format" for _, verdict in held),
        **{f"{key}_acc": ratio(correct[key], total[key]) for key in ("action", "text", "icon")},
    }


def cells(
    tasks: Sequence[GroundingTask], verdicts: Sequence[SampleScore], name: Callable[[GroundingTask], str]
) -> dict[str, dict[str, Any]]:
    """{name of a cell: {"correct", "total", "accuracy"}}, in the order in which they come."""
    found: dict[str, list[bool]] = defaultdict(list)
    for task, verdict in zip(tasks, verdicts, strict=True):
        found[name(task)].append(verdict.outcome == "correct")
    return {
        key: {"correct": sum(held), "total": len(held), "accuracy": ratio(sum(held), len(held))}
        for key, held in found.items()
    }


# ---- annotations checked


def check_annotations(tasks: Sequence[GroundingTask]) -> list[tuple[str, list[str]]]:
    """(what is wrong, the ids), of what can be seen without pictures."""
    found = [
        ("id that comes twice", _twice(tasks, lambda task: task.id)),
        (
            "same picture, instruction and target as another",
            _twice(tasks, lambda task: (task.picture, task.instruction, task.target)),
        ),
        ("no instruction", [task.id for task in tasks if not task.instruction.strip()]),
        ("box without area", [task.id for task in tasks if task.target.kind == "box" and not _area(task)]),
        ("target outside its picture", [task.id for task in tasks if _outside(task, task.target.values)]),
    ]
    boxes = [task for task in tasks if task.target.kind == "box"]
    doubted = [task.id for task in boxes if not _area(task) or _outside(task, task.target.values)]
    other = [task.id for task in boxes if _reads_as_xywh(task)]
    if len(doubted) > len(boxes) / 10 and len(other) > len(boxes) / 2:
        found.append(("read as x1, y1, x2, y2 it is no box on its picture, as x, y, width, height it is", doubted))
    return [(what, ids) for what, ids in found if ids]


def _reads_as_xywh(task: GroundingTask) -> bool:
    x, y, width, height = task.target.values
    return width > 0 and height > 0 and not _outside(task, (x, y, x + width, y + height))


def _twice(tasks: Sequence[GroundingTask], key: Callable[[GroundingTask], Any]) -> list[str]:
    seen: set[Any] = set()
    again = []
    for task in tasks:
        if key(task) in seen:
            again.append(task.id)
        seen.add(key(task))
    return again


def _area(task: GroundingTask) -> bool:
    x1, y1, x2, y2 = task.target.values
    return x2 > x1 and y2 > y1


def _outside(task: GroundingTask, values: Sequence[float]) -> bool:
    if not values:
        return False
    xs, ys = values[0::2], values[1::2]
    width, height = task.size or (float("inf"), float("inf"))
    return min(xs) < 0 or min(ys) < 0 or max(xs) > width or max(ys) > height
