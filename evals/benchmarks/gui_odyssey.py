"""GUI-Odyssey: recorded phone and tablet episodes across apps.

Source: OpenGVLab/GUI-Odyssey, data/format_converter.py (the meaning of an annotation) and src/eval_mm/
GUIOdyssey_action_matching.py, evaluate_GUIOdyssey.py (e12788f). An episode is a JSON file of annotations/; its
coordinates, and `sam2_bbox` of the pressed element, are 0 to 1000. A split is a file of splits/ with the names of its
episodes' files. Images are in screenshots/ there, in images/ here.

AMS, the action matching score, is the fraction of steps with the recorded action: a click or long press within 0.14 of
the screen (each axis normalized) or in sam2_bbox, edges included; texts where one contains the other or the Levenshtein
similarity is at least 0.5; scrolls by direction; everything else by its type alone. SR is the fraction of episodes with
every step correct; incomplete episodes are left out of it. On the random split both are the mean over the six
categories, on the others over all; the scripts call the first "micro" and the second "macro". An unreadable prediction
is wrong.

Annotations from before July 2025 have no sam2_bbox: the distance alone decides then, and a note is added, since figures
of the two versions are not comparable. "SCROLL: UP" is a finger that moves up: the content below comes into view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError
from evals.files import annotation_files, format_error, image_size, read_json, revision
from evals.metrics import mobile_actions, mobile_scoring, trajectory
from evals.metrics.geometry import Box, Point, box_contains
from evals.metrics.mobile_actions import Match, MobileAction, RecordedMobileStep, action_type
from evals.metrics.text_distance import levenshtein
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, SampleScore, count_correct

NAME = "gui-odyssey"
SOURCE = "huggingface.co/datasets/hflqf88888/GUIOdyssey (annotations/ and splits/, 8,334 episodes)"
IMAGE_SOURCE = "huggingface.co/datasets/hflqf88888/GUIOdyssey, screenshots/ (93 GB), as images/"
SPLITS = ("random", "task", "device", "app")
ALL = "all"
CATEGORIES = 6
CLICK_DISTANCE, TEXT_SIMILARITY = 0.14, 0.5
BUTTONS = {
    "KEY_HOME": MobileAction("press", button="home"),
    "KEY_BACK": MobileAction("press", button="back"),
    "KEY_APPSELECT": MobileAction("press", button="recents"),
}
ENDINGS = {"COMPLETE": MobileAction("stop"), "INCOMPLETE": MobileAction("stop", text="failure")}
TYPE_ACTIONS = ("TEXT", "TYPE")


@dataclass(frozen=True)
class OdysseyStep(RecordedMobileStep):
    """A step with its category, device and pressed element."""

    category: str = ""
    device: str = ""
    file: str = ""  # stem of the episode's annotation file
    target_point: Point | None = None  # 0 to 1000
    target_box: Box | None = None  # 0 to 1000
    is_complete: bool = True  # whether the episode has all its steps


def read_dataset(folder: Path) -> Dataset:
    """Read the annotations, one JSON file per episode, and the splits."""
    files = annotation_files(folder, ("*.json",), SOURCE)
    splits: dict[str, set[str]] = {}
    for name in SPLITS:
        path = folder / "splits" / f"{name}_split.json"
        if path.is_file():
            split = read_json(path)
            if not isinstance(split, dict) or not isinstance(split.get("test"), list):
                raise UsageError(f"{path} has no list 'test' of annotation files; get it again from {SOURCE}")
            splits[name] = {PurePosixPath(str(file)).stem for file in split["test"]}
            files = [*files, path]
    steps: list[OdysseyStep] = []
    for path in files:
        if path.parent.name == "splits":
            continue
        try:
            steps += _read_episode(read_json(path), path.stem, folder / "images")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UsageError(f"{path} is not in GUI-Odyssey's format ({format_error(error)})") from None
    default = next((name for name in SPLITS if name in splits), ALL)
    return Dataset(folder, revision(files), steps, protocol=default, extra={"splits": splits})


def _read_episode(record: Mapping[str, Any], file: str, images: Path) -> list[OdysseyStep]:
    device, task = record["device_info"], record["task_info"]
    episode, records = str(record["episode_id"]), list(record["steps"])
    steps = []
    for step in records:
        image = PurePosixPath(str(step["screenshot"]).replace("\\", "/")).name
        path = images / image
        size = image_size(path) if path.is_file() else (int(device["w"]), int(device["h"]))
        action, point = _read_action(str(step["action"]), step["info"])
        bbox = step.get("sam2_bbox") or None
        box = _read_box(bbox) if bbox is not None and point is not None else None
        box_px = tuple(side / 1000 * size[n % 2] for n, side in enumerate(box)) if box else None
        if point:
            action = replace(action, point=(point[0] / 1000 * size[0], point[1] / 1000 * size[1]))
        steps.append(
            OdysseyStep(
                id=f"{episode}/{int(step['step'])}",
                episode=episode,
                index=int(step["step"]),
                goal=str(task["instruction"]),
                instruction=str(step.get("low_level_instruction") or ""),
                image=image,
                size=size,
                action=action,
                boxes=(box_px,) if box_px else (),
                category=str(task["category"]),
                device=str(device["device_name"]),
                file=file,
                target_point=point,
                target_box=box,
                is_complete=len(records) == int(record["step_length"]),
            )
        )
    return steps


def _read_action(action: str, info: Any) -> tuple[MobileAction, Point | None]:
    """Return an annotation's action as the official converter does, and its point, 0 to 1000."""
    if action in ("CLICK", "LONG_PRESS"):
        if isinstance(info, str):
            if info not in BUTTONS:
                raise ValueError(f"{action} of {info!r}")
            return BUTTONS[info], None
        x, y = (float(side) for side in info[0])
        return MobileAction(action.lower()), (x, y)
    if action == "SCROLL":
        (x, y), (to_x, to_y) = ((float(a), float(b)) for a, b in info[:2])
        horizontal, vertical = ("left" if to_x < x else "right"), ("up" if to_y < y else "down")
        finger = horizontal if abs(to_x - x) > abs(to_y - y) else vertical
        return MobileAction("swipe", direction=trajectory.OPPOSITE[finger]), None
    if action in TYPE_ACTIONS:
        return MobileAction("type", text=str(info)), None
    if action in ENDINGS:
        return ENDINGS[action], None
    raise ValueError(f"action {action!r}")


def _read_box(bbox: Sequence[Any]) -> Box:
    x1, y1, x2, y2 = (float(side) for side in bbox)
    return x1, y1, x2, y2


# ---- the official scorer


def match_action(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match a predicted action with the recorded one."""
    assert isinstance(step, OdysseyStep)
    recorded = step.action
    if action_type(predicted) != action_type(recorded):
        return False, False
    if recorded.point is not None and predicted.point is not None and step.target_point is not None:
        point = predicted.point[0] / step.size[0] * 1000, predicted.point[1] / step.size[1] * 1000
        x, y = ((a - b) / 1000 for a, b in zip(point, step.target_point, strict=True))
        is_in_box = step.target_box is not None and box_contains(step.target_box, point)
        return True, is_in_box or (x * x + y * y) ** 0.5 <= CLICK_DISTANCE
    if recorded.verb == "type":
        return True, texts_match(recorded.text, predicted.text)
    return True, recorded.verb != "swipe" or predicted.direction == recorded.direction


def texts_match(recorded: str, predicted: str) -> bool:
    """Return whether one text contains the other or their Levenshtein similarity is at least TEXT_SIMILARITY."""
    recorded, predicted = recorded.strip(), predicted.strip()
    if recorded in predicted or predicted in recorded:
        return True
    return 1 - levenshtein(recorded, predicted) / max(len(recorded), len(predicted)) >= TEXT_SIMILARITY


def scored_tasks(dataset: Dataset, protocol: str) -> Sequence[OdysseyStep]:
    """Return the steps of a split's test episodes.

    Raises:
        UsageError: The split's file is not in the folder.
    """
    if protocol == ALL:
        return dataset.tasks
    splits = dataset.extra["splits"]
    if protocol not in splits:
        raise UsageError(
            f"protocol '{protocol}' needs splits/{protocol}_split.json in {dataset.folder}; get it from {SOURCE}"
        )
    return [step for step in dataset.tasks if step.file in splits[protocol]]


def score_sample(task: OdysseyStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction."""
    return mobile_scoring.score_step(task, prediction, match_action)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return AMS and SR of a split, by category and device."""
    steps = scored_tasks(dataset, protocol)
    categories, devices = (dict.fromkeys(getattr(step, field) for step in steps) for field in ("category", "device"))
    splits = {f"category {name}": partial(_has_value, "category", name) for name in categories}
    splits |= {f"device {name}": partial(_has_value, "device", name) for name in devices}
    notes = _notes(dataset, steps, protocol)
    result = mobile_scoring.evaluation_result(
        NAME, protocol, dataset, steps, match_action, predictions, known=known, splits=splits, notes=notes
    )
    pairs = list(zip(steps, result.scores, strict=True))
    groups: dict[str, list[tuple[OdysseyStep, SampleScore]]] = {}
    for step, sample in pairs:
        groups.setdefault(step.category, []).append((step, sample))
    over_all = action_matching_score(pairs), success_rate(pairs)
    over_categories = mean(map(action_matching_score, groups.values())), mean(map(success_rate, groups.values()))
    official = over_categories if protocol == "random" else over_all
    metrics = {
        "AMS": official[0],
        "SR": official[1],
        "total": len(steps),
        "action_type": result.metrics["type"],
        "text": count_correct(sample.outcome == "correct" for step, sample in pairs if step.action.verb == "type"),
        **{key: value for key, value in result.metrics.items() if key != "type"},
    }
    averages = {
        **result.averages,
        f"AMS over samples ({'not ' if protocol == 'random' else ''}the official one here)": over_all[0],
        f"AMS, mean of {len(groups)} categories ({'' if protocol == 'random' else 'not '}the official one here)": (
            over_categories[0]
        ),
        "SR over episodes": over_all[1],
        f"SR, mean of {len(groups)} categories": over_categories[1],
    }
    return replace(result, metrics=metrics, averages=averages)


def action_matching_score(pairs: Sequence[tuple[OdysseyStep, SampleScore]]) -> float:
    """Return AMS, the fraction of correct steps."""
    return mean(float(sample.outcome == "correct") for _, sample in pairs)


def success_rate(pairs: Sequence[tuple[OdysseyStep, SampleScore]]) -> float:
    """Return SR, the fraction of complete episodes with every step correct."""
    flags_by_episode: dict[str, list[bool]] = {}
    for step, sample in pairs:
        if step.is_complete:
            flags_by_episode.setdefault(step.episode, []).append(sample.outcome == "correct")
    return mean(float(all(flags)) for flags in flags_by_episode.values())


def _has_value(field: str, value: str, step: RecordedMobileStep) -> bool:
    return getattr(step, field) == value


def _notes(dataset: Dataset, steps: Sequence[OdysseyStep], protocol: str) -> list[str]:
    notes = []
    pointed = [step for step in steps if step.target_point is not None]
    if pointed and not any(step.target_box for step in pointed):
        notes.append("no sam2_bbox: annotations from before July 2025; not comparable with figures of later ones")
    if protocol == ALL:
        episodes = len({step.episode for step in steps})
        notes.append(f"all {episodes:,} episodes of the folder: none of the four published splits")
    else:
        missing = dataset.extra["splits"][protocol] - {step.file for step in steps}
        if missing:
            notes.append(
                f"{len(missing):,} episodes of the split {protocol} are missing: the score is not comparable with "
                "published ones"
            )
    incomplete = len({step.episode for step in steps if not step.is_complete})
    if incomplete:
        notes.append(f"{incomplete:,} episodes are incomplete and left out of SR, as in the official script")
    categories = len({step.category for step in steps})
    if protocol == "random" and categories != CATEGORIES:
        notes.append(f"{categories} categories; the published mean is over {CATEGORIES}")
    return notes


def oracle(step: OdysseyStep) -> Prediction:
    """Return the recorded action as a prediction; the recents button is a key in this project's schema."""
    if step.action.button == "recents":
        return {"id": step.id, "actions": [{"verb": "press", "keys": ["recents"]}], "reply": "as recorded"}
    return mobile_actions.oracle(step)


# ---- checks of annotations


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    steps: Sequence[OdysseyStep] = dataset.tasks
    counts = Counter(step.id for step in steps)
    boxed = [(step, step.target_box) for step in steps if step.target_box]
    findings = [
        ("duplicate id", [name for name, count in counts.items() if count > 1]),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        ("point or box outside 0 to 1000", [step.id for step in steps if _is_out_of_range(step)]),
        (
            "box with x2 < x1 or y2 < y1; it may be x, y, width, height",
            [step.id for step, box in boxed if box[2] < box[0] or box[3] < box[1]],
        ),
        (
            "point outside its own box",
            [step.id for step, box in boxed if step.target_point and not box_contains(box, step.target_point)],
        ),
        ("incomplete episode", sorted({step.episode for step in steps if not step.is_complete})),
    ]
    return [(what, ids) for what, ids in findings if ids]


def _is_out_of_range(step: OdysseyStep) -> bool:
    return any(not 0 <= side <= 1000 for side in (*(step.target_point or ()), *(step.target_box or ())))


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        (*SPLITS, ALL),
        read_dataset,
        score,
        score_sample,
        oracle,
        check_annotations,
        verbs=mobile_actions.VERBS - {"open"},
        has_episodes=True,
        scored_tasks=scored_tasks,
        reference=mobile_actions.reference,
        env_id="pixelhand/GUIOdyssey-v0",
    )
}
