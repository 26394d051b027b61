"""AITZ (Android in the Zoo, CoAT): recorded phone episodes with a described action per step.

Source: IMNearth/CoAT, coat/evaluate.py and coat/screen_utils.py (9ab1a9f). An episode is a JSON list of steps;
`ui_positions` are y, x, height, width in pixels, `result_touch_yx` and `result_lift_yx` are normalized; the type of
the recorded action is in the first words of `coat_action_desc`.

`fixed`: the rule that replaced the official one (OpenBMB/AgentCPM-GUI, eval/utils/evaluator.py, as described): a
    click within 0.14 of the touched point, each axis normalized, or in one of the five boxes nearest to it, each
    scaled by 1.2; texts by containment; swipes by direction; buttons by name.
`official-buggy`: coat/evaluate.py as published, to reproduce old numbers. It reads the touched point of scrolls only,
    so the reference point of every click is 0, 0. Clicks are judged as boxes ("box": [x1, y1, x2, y2] in pixels in a
    prediction; without it the point is a box without area); texts by containment or a similarity above 0.8.
`aitw`: Android in the Wild's matching (see evals.metrics.aitw_matching): taps within 0.14 or in a common box of 2.4
    times its size, drags by their main axis alone, everything else by its type alone.

"scroll up" is a finger that moves up: the content below comes into view, which is "down" in this project.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import annotation_files, format_error, image_size, read_json, revision
from evals.metrics import aitw_matching, mobile_actions, mobile_scoring, trajectory
from evals.metrics.geometry import Box, Point, box_area, box_center, box_contains, scale_box
from evals.metrics.mobile_actions import Match, MatchRule, MobileAction, RecordedMobileStep, normalized_distance
from evals.metrics.text_distance import contains_either, indel_ratio
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, SampleScore

NAME = "aitz"
SOURCE = "the link in github.com/IMNearth/CoAT (test split: 506 episodes, 4,724 steps)"
IMAGE_SOURCE = "the same archive; image_path of each step, below images/"
ACTION_WORDS = {"input": "type", "click": "click", "scroll": "swipe", "type": "type", "press": "press", "stop": "stop"}
CLICK_DISTANCE = 0.14  # of the screen
OFFICIAL_BUGGY = "official-buggy"


@dataclass(frozen=True)
class AitzStep(RecordedMobileStep):
    """A step with its touch and lift points and the subset it belongs to."""

    touch: Point | None = None  # normalized
    lift: Point | None = None  # normalized
    subset: str = ""
    has_size: bool = field(default=True)  # False where the image is missing


def read_dataset(folder: Path) -> Dataset:
    """Read the annotations, one JSON file per episode."""
    files = annotation_files(folder, ("**/*.json",), SOURCE)
    steps: list[AitzStep] = []
    for path in files:
        records = read_json(path)
        try:
            records = sorted(records, key=lambda record: int(record["step_id"]))
            steps += [_read_step(record, folder / "images") for record in records]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} is not in AITZ's format ({format_error(error)})") from None
    return Dataset(folder, revision(files), steps)


def _read_step(record: Mapping[str, Any], images: Path) -> AitzStep:
    image = str(record["image_path"])
    has_image = (images / image).is_file()
    size = image_size(images / image) if has_image else (1, 1)
    touch, lift = (_read_point(record[key]) for key in ("result_touch_yx", "result_lift_yx"))
    words = str(record["coat_action_desc"]).split()
    verb = next((ACTION_WORDS[word] for word in ACTION_WORDS if words and word in words[0].lower()), None)
    if verb is None:
        raise ValueError(f"coat_action_desc {' '.join(words)[:40]!r}")
    point = (touch[0] * size[0], touch[1] * size[1]) if verb == "click" and touch else None
    boxes = ((x, y, x + w, y + h) for y, x, h, w in _parse_list(record["ui_positions"]))
    return AitzStep(
        id=f"{record['episode_id']}/{record['step_id']}",
        episode=str(record["episode_id"]),
        index=int(record["step_id"]),
        goal=str(record["instruction"]),
        instruction=str(record["coat_action_desc"]),
        image=image,
        size=size,
        action=MobileAction(
            verb,
            point=point,
            text=str(record["result_action_text"]) if verb == "type" else "",
            direction=trajectory.OPPOSITE.get(words[1].strip().lower()) if verb == "swipe" and len(words) > 1 else None,
            button=next((name for name in ("enter", "back", "home") if verb == "press" and name in words), ""),
        ),
        boxes=tuple(tuple(float(side) for side in box) for box in boxes),
        touch=touch,
        lift=lift,
        subset=image.partition("/")[0],
        has_size=has_image,
    )


def _parse_list(value: Any) -> Any:
    """Return a list; the original files hold it as a string, some copies as a list."""
    return json.loads(value) if isinstance(value, str) else value


def _read_point(value: Any) -> Point | None:
    y, x = (float(side) for side in _parse_list(value))
    return None if x < 0 or y < 0 else (x, y)


# ---- the rules


def match_fixed(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the protocol `fixed`."""
    recorded = step.action
    if predicted.verb != recorded.verb:
        return False, False
    if recorded.point is not None and predicted.point is not None:
        _check_size(step)
        return True, is_near_five_boxes(step, predicted.point, recorded.point)
    if recorded.verb == "type":
        return True, contains_either(predicted.text, recorded.text)
    return True, (predicted.direction, predicted.button) == (recorded.direction, recorded.button)


def is_near_five_boxes(step: RecordedMobileStep, point: Point, recorded: Point) -> bool:
    """Return whether a point is near the recorded one or in one of the five boxes nearest to that."""
    boxes = map(scale_box, step.boxes)
    nearest = sorted(boxes, key=lambda box: normalized_distance(step, box_center(box), recorded))[:5]
    return (
        any(box_contains(box, point) for box in nearest) or normalized_distance(step, point, recorded) <= CLICK_DISTANCE
    )


def match_aitw(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the protocol `aitw`."""
    assert isinstance(step, AitzStep)
    gestures = {"click": "dual", "swipe": "dual"}
    recorded_type, predicted_type = (gestures.get(verb, verb) for verb in (step.action.verb, predicted.verb))
    if recorded_type != "dual" or predicted_type != "dual":
        return (same := (recorded_type, step.action.button) == (predicted_type, predicted.button)), same
    if step.touch is None:
        return False, False
    if predicted.point is not None or predicted.path is not None:
        _check_size(step)
    recorded = aitw_matching.Gesture(step.touch, step.lift or step.touch)
    gesture = aitw_matching.to_gesture(predicted, step.size)
    return aitw_matching.match(recorded, gesture, aitw_matching.enlarge_boxes(step))


def match_official(box: Box | None, step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the protocol `official-buggy`.

    Args:
        box: The predicted box, in pixels, where the prediction has one.
        step: The recorded step.
        predicted: The predicted action.
    """
    recorded = step.action
    if predicted.verb != recorded.verb:
        return False, False
    if recorded.verb == "click" and predicted.point is not None:
        return True, box_matches(box or (*predicted.point, *predicted.point), (0, 0), step.boxes)
    if recorded.verb == "type":
        a, b = predicted.text, recorded.text
        return True, a in b or b in a or indel_ratio(a, b) > 0.8
    return True, (predicted.direction, predicted.button) == (recorded.direction, recorded.button)


def box_matches(predicted: Box, recorded: Point, elements: Sequence[Box]) -> bool:
    """Return whether the enlarged box contains the point, or overlaps an enlarged element with it by more than half."""
    box = scale_box(predicted)
    candidates = [element for element in map(scale_box, elements) if box_contains(element, recorded)]
    return box_contains(box, recorded) or any(_overlap(box, element) > 0.5 for element in candidates)


def _overlap(a: Box, b: Box) -> float:
    """Return intersection over union; an area counts as at least one pixel, as in the official script."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0.0, width) * max(0.0, height)
    return intersection / (max(1.0, box_area(a)) + max(1.0, box_area(b)) - intersection)


def _parse_box(value: object) -> Box | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if any(isinstance(side, bool) or not isinstance(side, int | float) or not math.isfinite(side) for side in value):
        return None
    return tuple(float(side) for side in value)


def _check_size(step: RecordedMobileStep) -> None:
    if isinstance(step, AitzStep) and not step.has_size:
        raise UsageError(f"image images/{step.image} is missing; its size is needed to score a click on it")


RULES: dict[str, MatchRule] = {
    "fixed": match_fixed,
    OFFICIAL_BUGGY: partial(match_official, None),
    "aitw": match_aitw,
}


def score_sample(task: AitzStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction under a protocol."""
    return _score_step(protocol, task, prediction)


def _score_step(protocol: str, step: RecordedMobileStep, prediction: Prediction | None) -> SampleScore:
    rule = RULES[protocol]
    if protocol == OFFICIAL_BUGGY and prediction is not None:
        rule = partial(match_official, _parse_box(prediction.get("box")))
    return mobile_scoring.score_step(step, prediction, rule)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the result under a protocol, by subset."""
    steps: Sequence[AitzStep] = dataset.tasks
    notes: tuple[str, ...] = ()
    if protocol == OFFICIAL_BUGGY:
        notes = (
            "the reference point of every click is 0, 0, as in the official script: compare only with old numbers",
        )
    subsets = sorted({step.subset for step in steps})
    return mobile_scoring.evaluation_result(
        NAME,
        protocol,
        dataset,
        steps,
        RULES[protocol],
        predictions,
        scorer=partial(_score_step, protocol),
        known=known,
        splits={name: partial(_is_in_subset, name) for name in subsets},
        notes=notes,
    )


def _is_in_subset(name: str, step: RecordedMobileStep) -> bool:
    return isinstance(step, AitzStep) and step.subset == name


# ---- checks of annotations


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    steps: Sequence[AitzStep] = dataset.tasks
    counts = Counter(step.id for step in steps)
    findings = [
        ("duplicate id", sorted(name for name, count in counts.items() if count > 1)),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        (
            "click without a touch point",
            [step.id for step in steps if step.action.verb == "click" and not step.touch],
        ),
        (
            "scroll without a direction",
            [step.id for step in steps if step.action.verb == "swipe" and not step.action.direction],
        ),
        (
            "box outside its image",
            [step.id for step in steps if step.has_size and any(_is_outside(step, box) for box in step.boxes)],
        ),
    ]
    return [(what, ids) for what, ids in findings if ids]


def _is_outside(step: RecordedMobileStep, box: Box) -> bool:
    return min(box) < 0 or box[2] > step.size[0] or box[3] > step.size[1]


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        tuple(RULES),
        read_dataset,
        score,
        score_sample,
        mobile_actions.oracle,
        check_annotations,
        samples=4724,
        verbs=mobile_actions.VERBS - {"open", "long_press"},
        has_episodes=True,
        reference=mobile_actions.reference,
        env_id="pixelhand/AITZ-v0",
    )
}
