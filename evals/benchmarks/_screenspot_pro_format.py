"""ScreenSpot-Pro's file format: its annotation records and the five blocks of its report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import format_error, read_json
from evals.metrics.grounding import GroundingTask, Target
from evals.stats import ratio
from evals.types import SampleScore


def xyxy_box(numbers: Sequence[float]) -> Target:
    """Return a bbox x1, y1, x2, y2 as a target."""
    if len(numbers) != 4:
        raise ValueError(f"bbox has {len(numbers)} numbers, not four")
    return Target("box", tuple(numbers))


def read_tasks(files: Iterable[Path], to_target: Callable[[Sequence[float]], Target] = xyxy_box) -> list[GroundingTask]:
    """Return the tasks of annotation files in ScreenSpot-Pro's format.

    Args:
        files: JSON files, each a list of records with `bbox` in pixels of the original image.
        to_target: Converts the numbers of `bbox` to a target.

    Raises:
        UsageError: A record does not have the format; the message names it.
    """

    def to_task(record: Any, path: Path) -> GroundingTask:
        numbers = tuple(float(number) for number in record["bbox"])
        width, height = (int(side) for side in record["img_size"])
        return GroundingTask(
            id=str(record["id"]),
            image=str(record["img_filename"]),
            size=(width, height),
            instruction=str(record["instruction"]),
            target=to_target(numbers),
            labels={
                **{key: record.get(key) for key in ("platform", "application", "group", "ui_type")},
                "instruction_cn": record.get("instruction_cn") or "",
                "bbox": numbers,
            },
        )

    return convert_records(files, to_task, "ScreenSpot-Pro")


def convert_records(
    files: Iterable[Path], to_task: Callable[[Any, Path], GroundingTask], name: str
) -> list[GroundingTask]:
    """Return the task of each record of annotation files.

    Args:
        files: JSON files, each a list of records.
        to_task: Converts a record of a file; raises KeyError, TypeError or ValueError where it has another format.
        name: Name of the format, for the error.

    Raises:
        UsageError: A record does not have the format; the message names it.
    """
    tasks = []
    for path in files:
        for index, record in enumerate(read_records(path)):
            try:
                tasks.append(to_task(record, path))
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(f"{path}, record {index}: not in {name}'s format ({format_error(error)})") from None
    return tasks


def read_records(path: Path) -> list[Any]:
    """Return a file's list of records.

    Raises:
        UsageError: The file does not hold a list.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UsageError(f"{path} is not a list of annotations")
    return content


def report_blocks(tasks: Sequence[GroundingTask], scores: Sequence[SampleScore]) -> dict[str, Any]:
    """Return the five blocks of the official report under their official names."""
    pairs = list(zip(tasks, scores, strict=True))

    def group_by(name: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
        groups: dict[str, list[tuple[GroundingTask, SampleScore]]] = defaultdict(list)
        for task, sample in pairs:
            groups[name(task.labels)].append((task, sample))
        return {key: _block(group) for key, group in groups.items()}

    style = "inst_style:instruction gt_type:positive"
    return {
        "fine_grained": group_by(lambda labels: f"plat:{labels['platform']} app:{labels['application']} {style}"),
        "seeclick_style": group_by(lambda labels: f"plat:{labels['platform']} {style}"),
        "leaderboard_simple_style": group_by(lambda labels: f"group:{labels['group']}"),
        "leaderboard_detailed_style": group_by(lambda labels: f"app:{labels['application']}"),
        "overall": _block(pairs),
    }


def _block(pairs: Sequence[tuple[GroundingTask, SampleScore]]) -> dict[str, Any]:
    correct: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for task, sample in pairs:
        for key in ("action", str(task.labels["ui_type"])):
            total[key] += 1
            correct[key] += sample.outcome == "correct"
    return {
        "num_correct_action": correct["action"],
        "num_total": total["action"],
        "wrong_format_num": sum(sample.outcome == "wrong_format" for _, sample in pairs),
        **{f"{key}_acc": ratio(correct[key], total[key]) for key in ("action", "text", "icon")},
    }
