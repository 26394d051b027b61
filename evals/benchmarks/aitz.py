"""AITZ (Android in the Zoo, CoAT): recorded phone episodes with described steps. Knows its files and three rules.

Official source: IMNearth/CoAT, coat/evaluate.py and coat/screen_utils.py (9ab1a9f), read. An episode is a JSON list of
steps; `ui_positions` are y, x, height, width in pixels, `result_touch_yx` and `result_lift_yx` shares of the screen;
what is right stands in the first words of `coat_action_desc`.

`fixed`: the rule that took the official one's place (OpenBMB/AgentCPM-GUI, eval/utils/evaluator.py, as described): a
    click within 0.14 of the touched point, each axis by its own length, or in one of the five boxes nearest to it,
    each grown by a fifth; texts by containment; swipes by their side, buttons by their name.
`official-buggy`: coat/evaluate.py as it is, to reproduce old numbers. It reads the touched point of scrolls only, so of
    every click the true point is 0, 0. A click is judged as a box there ("box": [x1, y1, x2, y2] in pixels in a
    prediction's line; without one, the point is a box without area); texts by containment or a likeness above 0.8.
`aitw`: Android in the Wild's matching (see evals.dual_point): taps within 0.14 or in a common box of 2.4 times its
    size, drags by their main axis alone, all else by its kind alone.

"scroll up" is a finger that goes up: what is below comes into view, which is "down" in our words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.metrics import aitw_matching, mobile_actions, trajectory
from evals.metrics.mobile_actions import (
    Box,
    Match,
    MobileAction,
    Point,
    RecordedMobileStep,
    contains,
    inside,
    middle,
    normalized_distance,
    scale_box,
)
from evals.scoring import Benchmark, Dataset, Prediction, Result, annotation_files, read_json, revision

NAME = "aitz"
SOURCE = "the link in github.com/IMNearth/CoAT (test split: 506 episodes, 4,724 steps)"
PICTURES = "the same archive; image_path of each step, below images/"
VERBS_OF = {"input": "type", "click": "click", "scroll": "swipe", "type": "type", "press": "press", "stop": "stop"}
FAR = 0.14  # of the screen


@dataclass(frozen=True)
class AitzStep(RecordedMobileStep):
    """A step, with where the finger went down and up, as shares of the screen (x, y); subset: its place in the set."""

    touch: Point | None = None
    lift: Point | None = None
    subset: str = ""
    known: bool = field(default=True)  # whether the picture was there to tell its size


def read(folder: Path) -> Dataset:
    files = annotation_files(folder, ("**/*.json",), SOURCE)
    steps: list[AitzStep] = []
    for path in files:
        told = read_json(path)
        try:
            steps += [_step(one, folder / "images") for one in sorted(told, key=lambda one: int(one["step_id"]))]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path} is not in AITZ's form ({what})") from None
    return Dataset(folder, revision(files), steps)


def _step(told: Mapping[str, Any], images: Path) -> AitzStep:
    picture = str(told["image_path"])
    there = (images / picture).is_file()
    size = trajectory.picture_size(images / picture) if there else (1, 1)
    touch, lift = (_xy(told[key]) for key in ("result_touch_yx", "result_lift_yx"))
    words = str(told["coat_action_desc"]).split()
    verb = next((VERBS_OF[one] for one in VERBS_OF if words and one in words[0].lower()), None)
    if verb is None:
        raise ValueError(f"coat_action_desc {' '.join(words)[:40]!r}")
    point = (touch[0] * size[0], touch[1] * size[1]) if verb == "click" and touch else None
    boxes = ((x, y, x + w, y + h) for y, x, h, w in _listed(told["ui_positions"]))
    return AitzStep(
        id=f"{told['episode_id']}/{told['step_id']}",
        episode=str(told["episode_id"]),
        index=int(told["step_id"]),
        goal=str(told["instruction"]),
        instruction=str(told["coat_action_desc"]),
        picture=picture,
        size=size,
        deed=MobileAction(
            verb,
            point=point,
            text=str(told["result_action_text"]) if verb == "type" else "",
            side=trajectory.OPPOSITE.get(words[1].strip().lower()) if verb == "swipe" and len(words) > 1 else None,
            button=next((one for one in ("enter", "back", "home") if verb == "press" and one in words), ""),
        ),
        boxes=tuple(tuple(float(n) for n in box) for box in boxes),
        touch=touch,
        lift=lift,
        subset=picture.partition("/")[0],
        known=there,
    )


def _listed(value: Any) -> Any:
    """The files hold lists as texts, some of their copies as lists."""
    return json.loads(value) if isinstance(value, str) else value


def _xy(value: Any) -> Point | None:
    y, x = (float(one) for one in _listed(value))
    return None if x < 0 or y < 0 else (x, y)


# ---- the rules


def fixed(step: RecordedMobileStep, said: MobileAction) -> Match:
    true = step.deed
    if said.verb != true.verb:
        return False, False
    if true.point is not None and said.point is not None:
        _need_size(step)
        return True, near_five(step, said.point, true.point)
    if true.verb == "type":
        return True, contains(said.text, true.text)
    return True, (said.side, said.button) == (true.side, true.button)


def near_five(step: RecordedMobileStep, point: Point, true: Point) -> bool:
    near = sorted(map(scale_box, step.boxes), key=lambda box: normalized_distance(step, middle(box), true))[:5]
    return any(inside(point, box) for box in near) or normalized_distance(step, point, true) <= FAR


def aitw(step: RecordedMobileStep, said: MobileAction) -> Match:
    assert isinstance(step, AitzStep)
    kinds = {"click": "dual", "swipe": "dual"}
    kind, said_kind = (kinds.get(one, one) for one in (step.deed.verb, said.verb))
    if kind != "dual" or said_kind != "dual":
        return (right := (kind, step.deed.button) == (said_kind, said.button)), right
    if step.touch is None:
        return False, False
    if said.point is not None or said.path is not None:
        _need_size(step)
    true = aitw_matching.Gesture(step.touch, step.lift or step.touch)
    return aitw_matching.match(true, aitw_matching.gesture(said, step.size), aitw_matching.enlarge_boxes(step))


def official(boxes: Mapping[str, Any], step: RecordedMobileStep, said: MobileAction) -> Match:
    """boxes: of predictions that have one, by the step's id."""
    true = step.deed
    if said.verb != true.verb:
        return False, False
    if true.verb == "click" and said.point is not None:
        given = _box(boxes.get(step.id)) or (*said.point, *said.point)
        return True, as_box(given, (0, 0), step.boxes)
    if true.verb == "type":
        return True, said.text in true.text or true.text in said.text or likeness(said.text, true.text) > 0.8
    return True, (said.side, said.button) == (true.side, true.button)


def as_box(said: Box, true: Point, elements: Sequence[Box]) -> bool:
    """The enlarged box holds the true point, or covers more than half of an enlarged element that holds it."""
    box = scale_box(said)
    around = [one for one in map(scale_box, elements) if inside(true, one)]
    return inside(true, box) or any(_overlap(box, one) > 0.5 for one in around)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union; an area counts as at least one pixel, as there."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (max(1.0, mobile_actions.area(a)) + max(1.0, mobile_actions.area(b)) - common)


def likeness(a: str, b: str) -> float:
    """Levenshtein.ratio: a replaced letter costs two, and both lengths are summed."""
    whole = len(a) + len(b)
    return 1.0 if not whole else (whole - _inserts_and_deletes(a, b)) / whole


def _inserts_and_deletes(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], before if left == right else 1 + min(row[j], row[j - 1])
    return row[-1]


def _box(value: Any) -> Box | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one) for one in value):
        return None
    return tuple(float(one) for one in value)


def _need_size(step: RecordedMobileStep) -> None:
    if isinstance(step, AitzStep) and not step.known:
        raise UsageError(f"the picture images/{step.picture} is missing; its size is needed to score a click on it")


RULES: dict[str, Callable[[RecordedMobileStep, MobileAction], Match]] = {
    "fixed": fixed,
    "official-buggy": partial(official, {}),
    "aitw": aitw,
}


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    steps: Sequence[AitzStep] = dataset.tasks
    word = RULES[protocol]
    notes: tuple[str, ...] = ()
    if protocol == "official-buggy":
        word = partial(official, {name: one["box"] for name, one in said.items() if "box" in one})
        notes = (
            "the true point of every click is 0, 0 here, as in the official script: a number to compare with old ones",
        )
    subsets = sorted({step.subset for step in steps})
    splits = {name: partial(_of_subset, name) for name in subsets}
    return mobile_actions.result(NAME, protocol, dataset, steps, word, said, splits=splits, notes=notes)


def _of_subset(name: str, step: RecordedMobileStep) -> bool:
    return isinstance(step, AitzStep) and step.subset == name


def examine(dataset: Dataset) -> list[tuple[str, list[str]]]:
    steps: Sequence[AitzStep] = dataset.tasks
    ids = [step.id for step in steps]
    found = [
        ("id that comes twice", sorted({one for one in ids if ids.count(one) > 1})),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        ("a click that touches nowhere", [step.id for step in steps if step.deed.verb == "click" and not step.touch]),
        ("a scroll without its side", [step.id for step in steps if step.deed.verb == "swipe" and not step.deed.side]),
        (
            "box outside its picture",
            [step.id for step in steps if step.known and any(_outside(step, box) for box in step.boxes)],
        ),
    ]
    return [(what, which) for what, which in found if which]


def _outside(step: RecordedMobileStep, box: Box) -> bool:
    return min(box) < 0 or box[2] > step.size[0] or box[3] > step.size[1]


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        PICTURES,
        tuple(RULES),
        read,
        score,
        mobile_actions.oracle,
        examine,
        samples=4724,
        verbs=mobile_actions.VERBS - {"open", "long_press"},
        episodes=True,
        right=mobile_actions.right,
    )
}
