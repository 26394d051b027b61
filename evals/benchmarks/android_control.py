"""AndroidControl, its test split, from the public JSON lines. Knows its steps, and six scorers by their names.

"AndroidControl" is at least five sets of steps and five rules of a click, so there is no score without a protocol:

`qwen-8444`: X-PLUG/MobileAgent, UI-S1/evaluation/qwenvl_utils.py (11cea57), Qwen's own rule. A click lies in a
    candidate box enlarged x 1.2, or within 0.04 of the screen, each axis by its own length; either text contains the
    other; a click on an app's icon counts as opening it; any swipe is right.
`infigui-8444`: Reallm-Labs/InfiGUI-R1. The same, but 0.04 of the longer side in pixels, and a swipe's side counts.
`os-atlas-7708`: OS-Copilot/OS-Atlas, evaluation_unify.py (bad0840), as described by its readers. The steps of
    os_atlas_7708_ids.txt (ac_idx.txt); within 140 of 1000, each axis by its own length, no boxes; of texts and apps
    the first word will do; all else verbatim.
`agentcpm-10161`: OpenBMB/AgentCPM-GUI, eval/utils/evaluator.py (a5612f0). No app openings, a "stop" after each episode
    (id EPISODE/number of steps), waiting counts as stopping; the nearest five boxes x 1.2, or 0.04. The 10,161 steps
    are with the validation split; the test split alone has 9,379.
`uground-500`: OSU-NLP-Group/UGround, offline_evaluation/AndroidControl/eval.py (c76e5cc). The smallest box around the
    true point, all else verbatim, on the 500 steps of 500_steps.json where the folder has it, else on all.
`strict`: the same rule on all 8,444 steps, whatever lies beside them. A click that no box holds cannot be right.

The first action of a prediction is judged. Directions are compared by their meaning: the file says which side comes
into view ("Swipe up" is "down" there). The file has no accessibility trees: candidate boxes are those that contain the
true point, so `agentcpm-10161` picks its five from them, and uground's equivalences (a click on an icon for an app's
opening, on a back button for going back) cannot be had. Nor has it sizes: a picture in images/ tells, else 1080 x 2400
is assumed, which is true of nearly all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError
from evals.metrics import mobile_actions, trajectory
from evals.metrics.mobile_actions import (
    Match,
    MatchRule,
    MobileAction,
    Point,
    RecordedMobileStep,
    area,
    contains,
    distance_by_longer_side,
    inside,
    middle,
    normalized_distance,
    scale_box,
)
from evals.scoring import Benchmark, Dataset, Prediction, Result, annotation_files, read_json, revision

NAME = "android-control"
SOURCE = "github.com/X-PLUG/MobileAgent, UI-S1/evaluation/dataset/android_control_evaluation_std.jsonl (2.7 MB)"
PICTURES = "gs://gresearch/android_control (20 TFRecord shards with all splits, 49.9 GB)"
IDS_7708 = "github.com/OS-Copilot/OS-Atlas, eval/data/ac_idx.txt (0.2 MB)"
SUBSPLITS = "gs://gresearch/android_control/test_subsplits.json"
PUBLIC, UNPACKED = ("test_8444.jsonl", "android_control_evaluation_std.jsonl"), "android_control_unpacked.jsonl"
OWN_BOXES = "unpacked from the shards: candidate boxes are the accessibility nodes that hold the point, all of them"
ASSUMED = (1080, 2400)  # of nearly every recording; width, height in pixels
# ---- reading


def read(folder: Path) -> Dataset:
    unpacked = _found(folder, UNPACKED) is not None and not any(_found(folder, name) for name in PUBLIC)
    files = annotation_files(folder, (UNPACKED,) if unpacked else PUBLIC, SOURCE)[:1]
    pictures = folder / "images" if (folder / "images").is_dir() else None
    steps: list[RecordedMobileStep] = []
    for number, record in enumerate(read_json(files[0]), 1):
        try:
            steps += _episode(record, pictures)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{files[0]}, episode {number}: not in the expected form ({what})") from None
    stops = [_stop(last) for last, after in zip(steps, [*steps[1:], None], strict=True) if _ends(last, after)]
    subsplits = _found(folder, "test_subsplits.json")
    splits = {name: {str(one) for one in ids} for name, ids in read_json(subsplits).items()} if subsplits else {}
    return Dataset(
        folder, revision(files), steps, (OWN_BOXES,) if unpacked else (), more=stops, extra={"subsplits": splits}
    )


def _episode(record: Mapping[str, Any], pictures: Path | None) -> list[RecordedMobileStep]:
    episode = str(record["episode_id"])
    steps = []
    for index, one in enumerate(record["steps"]):
        name = PurePosixPath(str(one["screenshot"])).name
        checked = one["check_options"]
        there = pictures is not None and (pictures / name).is_file()
        steps.append(
            RecordedMobileStep(
                id=f"{episode}/{index}",
                episode=episode,
                index=index,
                goal=str(record["goal"]),
                instruction=str(one["step_instruction"]),
                picture=name,
                size=trajectory.picture_size(pictures / name) if pictures is not None and there else ASSUMED,
                deed=_true(checked),
                boxes=tuple(tuple(float(n) for n in box) for box in checked.get("candidate_bbox", ())),
            )
        )
    return steps


def _true(told: Mapping[str, Any]) -> MobileAction:
    verb = str(told["action"])
    if verb in ("click", "long_press"):
        x, y = told["coordinate"]
        return MobileAction(verb, point=(float(x), float(y)))
    if verb in ("type", "open"):
        return MobileAction(verb, text=str(told["text"]))
    if verb == "swipe":
        if told["direction"] not in trajectory.OPPOSITE:
            raise ValueError(f"direction {told['direction']!r}")
        return MobileAction(verb, side=told["direction"])
    if verb == "system_button":
        return MobileAction("press", button=str(told["button"]).lower().strip())
    if verb == "wait":
        return MobileAction(verb)
    raise ValueError(f"action {verb!r}")


def _ends(step: RecordedMobileStep, after: RecordedMobileStep | None) -> bool:
    return after is None or after.episode != step.episode


def _stop(last: RecordedMobileStep) -> RecordedMobileStep:
    index = last.index + 1
    picture = f"{last.episode}_{index}.png"
    return replace(
        last,
        id=f"{last.episode}/{index}",
        index=index,
        picture=picture,
        instruction="",
        deed=MobileAction("stop"),
        boxes=(),
    )


def _found(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / "annotations" / name, folder / name) if path.is_file()), None)


# ---- the scorers' rules


def qwen(
    distance: Callable[[RecordedMobileStep, Point, Point], float],
    sides: bool,
    step: RecordedMobileStep,
    said: MobileAction,
) -> Match:
    true = step.deed

    def hit(true_point: Point) -> bool:
        point = said.point or (math.inf, math.inf)
        return any(inside(point, scale_box(box)) for box in step.boxes) or distance(step, point, true_point) <= 0.04

    if true.verb == "open" and said.verb == "click":
        return (True, hit(middle(step.boxes[0]))) if step.boxes else (False, False)
    if said.verb != true.verb:
        return False, False
    if true.point is not None:
        return True, hit(true.point)
    if true.verb in ("type", "open"):
        return True, contains(said.text, true.text)
    if true.verb == "swipe":
        return True, not sides or said.side == true.side
    return True, said.button == true.button


def os_atlas(step: RecordedMobileStep, said: MobileAction) -> Match:
    true = step.deed
    if said.verb != true.verb or said.button != true.button:  # PRESS_BACK, PRESS_HOME are verbs there
        return False, False
    if true.verb == "click" and said.point and true.point:
        return True, normalized_distance(step, said.point, true.point) <= 0.14
    if true.verb == "long_press" and said.point and true.point:
        return True, thousandths(step, said.point) == thousandths(step, true.point)
    if true.verb in ("type", "open"):
        return True, said.text == true.text or first_word(said.text) == first_word(true.text) != ""
    return True, said.side == true.side


def thousandths(step: RecordedMobileStep, point: Point) -> tuple[int, int]:
    return round(1000 * point[0] / step.size[0]), round(1000 * point[1] / step.size[1])


def first_word(text: str) -> str:
    return text.lower().split()[0] if text.split() else ""


def agentcpm(step: RecordedMobileStep, said: MobileAction) -> Match:
    true = step.deed
    kinds = {"wait": "stop"}  # it takes a pause for an end
    if kinds.get(said.verb, said.verb) != kinds.get(true.verb, true.verb):
        return False, False
    if true.point is not None and said.point is not None:
        return True, _nearest_five(step, said.point, true.point)
    if true.verb == "swipe":
        return True, said.side == true.side
    if true.verb == "type":
        return True, contains(said.text, true.text)
    return True, said.button == true.button


def _nearest_five(step: RecordedMobileStep, point: Point, true: Point) -> bool:
    """Boxes as x, y, width, height of 0 to 1, grown by a fifth, their corner and size each kept within the screen."""
    width, height = step.size
    goal, at = (true[0] / width, true[1] / height), (point[0] / width, point[1] / height)
    grown = []
    for x1, y1, x2, y2 in step.boxes:
        w, h = (x2 - x1) / width, (y2 - y1) / height
        x, y = max(0.0, x1 / width - 0.1 * w), max(0.0, y1 / height - 0.1 * h)
        grown.append((x, y, x + min(1.0, 1.2 * w), y + min(1.0, 1.2 * h)))
    near = sorted(grown, key=lambda box: math.dist(middle(box), goal))[:5]
    return any(inside(at, box) for box in near) or math.dist(at, goal) <= 0.04


def smallest(step: RecordedMobileStep, said: MobileAction) -> Match:
    true = step.deed
    if said.verb != true.verb:
        return False, False
    if true.point is not None and said.point is not None:
        around = [box for box in step.boxes if inside(true.point, box)]
        return True, bool(around) and inside(said.point, min(around, key=area))
    return True, (said.text, said.side, said.button) == (true.text, true.side, true.button)


@dataclass(frozen=True)
class Rule:
    """A protocol: which steps are judged, and how one is."""

    steps: Callable[[Dataset], tuple[list[RecordedMobileStep], tuple[str, ...]]]  # and what a reader must know of them
    word: MatchRule


def _all(dataset: Dataset) -> tuple[list[RecordedMobileStep], tuple[str, ...]]:
    return list(dataset.tasks), ()


def _of_os_atlas(dataset: Dataset) -> tuple[list[RecordedMobileStep], tuple[str, ...]]:
    path = _found(dataset.folder, "os_atlas_7708_ids.txt") or _found(dataset.folder, "ac_idx.txt")
    if path is None:
        raise UsageError(f"os-atlas-7708 needs os_atlas_7708_ids.txt in {dataset.folder}; get it from {IDS_7708}")
    listed = set(path.read_text(encoding="utf-8").split())
    return [one for one in dataset.tasks if f"episode_{one.episode}_screenshot_{one.index}" in listed], ()


def _of_agentcpm(dataset: Dataset) -> tuple[list[RecordedMobileStep], tuple[str, ...]]:
    steps: list[RecordedMobileStep] = [*dataset.tasks, *dataset.more]
    kept = sorted((one for one in steps if one.deed.verb != "open"), key=lambda one: (int(one.episode), one.index))
    return kept, (
        f"{len(kept):,} steps: the test split alone; the published 10,161 include the validation split",
        "the five nearest boxes are taken from the candidate boxes, for the file has no accessibility trees",
    )


def _all_strictly(dataset: Dataset) -> tuple[list[RecordedMobileStep], tuple[str, ...]]:
    bare = sum(step.deed.point is not None and not step.boxes for step in dataset.tasks)
    return list(dataset.tasks), (f"{bare:,} presses are in no candidate box: nothing can be right there",)


def _of_uground(dataset: Dataset) -> tuple[list[RecordedMobileStep], tuple[str, ...]]:
    note = "without accessibility trees: smallest candidate box, and no equivalences of clicks with opening or back"
    path = _found(dataset.folder, "500_steps.json")
    if path is None:
        return list(dataset.tasks), (
            note,
            "500_steps.json is not in the folder: all steps are judged, not UGround's 500",
        )
    listed = {f"{one['episode_id']}/{one['step']}" for one in read_json(path)}
    return [one for one in dataset.tasks if one.id in listed], (note,)


PROTOCOLS = {
    "qwen-8444": Rule(_all, partial(qwen, normalized_distance, False)),
    "infigui-8444": Rule(_all, partial(qwen, distance_by_longer_side, True)),
    "os-atlas-7708": Rule(_of_os_atlas, os_atlas),
    "agentcpm-10161": Rule(_of_agentcpm, agentcpm),
    "uground-500": Rule(_of_uground, smallest),
    "strict": Rule(_all_strictly, smallest),
}


# ---- scoring


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    rule = PROTOCOLS[protocol]
    steps, notes = rule.steps(dataset)
    assumed = sum(step.size == ASSUMED for step in steps)
    if assumed:
        notes = (*notes, f"{assumed:,} screens are taken for {ASSUMED[0]} x {ASSUMED[1]}: the file does not say")
    subsplits = dataset.extra["subsplits"]
    if not subsplits:
        notes = (*notes, f"no IDD, app, task or category figures: test_subsplits.json is not here ({SUBSPLITS})")
    splits = {name: partial(_among, ids) for name, ids in subsplits.items()}
    return mobile_actions.result(NAME, protocol, dataset, steps, rule.word, said, splits=splits, notes=notes)


def _among(episodes_of_split: Container[str], step: RecordedMobileStep) -> bool:
    return step.episode in episodes_of_split


def examine(dataset: Dataset) -> list[tuple[str, list[str]]]:
    steps: Sequence[RecordedMobileStep] = dataset.tasks
    ids = Counter(step.id for step in steps)
    found = [
        ("id that comes twice", [one for one, times in ids.items() if times > 1]),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        ("box without area", [step.id for step in steps if any(area(box) <= 0 for box in step.boxes)]),
        (
            "box that is none (x2 < x1 or y2 < y1): is it x, y, width, height?",
            [step.id for step in steps if _turned(step)],
        ),
        (
            "click outside its screen",
            [step.id for step in steps if step.deed.point and not inside(step.deed.point, (0, 0, *step.size))],
        ),
        (
            "click in none of its candidate boxes",
            [step.id for step in steps if step.deed.point and step.boxes and not _boxed(step, step.deed.point)],
        ),
    ]
    return [(what, which) for what, which in found if which]


def _turned(step: RecordedMobileStep) -> bool:
    return any(box[2] < box[0] or box[3] < box[1] for box in step.boxes)


def _boxed(step: RecordedMobileStep, point: Point) -> bool:
    return any(inside(point, box) for box in step.boxes)


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        PICTURES,
        tuple(PROTOCOLS),
        read,
        score,
        mobile_actions.oracle,
        examine,
        samples=8444,
        verbs=mobile_actions.VERBS,
        episodes=True,
        right=mobile_actions.right,
        judged=lambda dataset, protocol: PROTOCOLS[protocol].steps(dataset)[0],
    )
}
