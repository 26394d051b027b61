"""AndroidControl's test split, from the public JSON lines, under six protocols.

Papers report "AndroidControl" on at least five sets of steps with five rules for a click, so a score needs a protocol:

`qwen-8444`: X-PLUG/MobileAgent, UI-S1/evaluation/qwenvl_utils.py (11cea57), Qwen's own rule. A click is in a candidate
    box scaled by 1.2, or within 0.04 of the screen, each axis normalized; either text contains the other; a click on
    an app's icon counts as opening it; any swipe is correct.
`infigui-8444`: Reallm-Labs/InfiGUI-R1. The same, but within 0.04 of the longer side in pixels, and swipes must match
    in direction.
`os-atlas-7708`: OS-Copilot/OS-Atlas, evaluation_unify.py (bad0840), as its readers describe it. The steps of
    os_atlas_7708_ids.txt (ac_idx.txt); within 140 of 1000, each axis normalized, no boxes; texts and apps match by
    their first word; everything else verbatim.
`agentcpm-10161`: OpenBMB/AgentCPM-GUI, eval/utils/evaluator.py (a5612f0). No app openings; a "stop" after each episode
    (id EPISODE/number of steps); waiting counts as stopping; the nearest five boxes scaled by 1.2, or within 0.04. The
    10,161 steps include the validation split; the test split alone has 9,379.
`uground-500`: OSU-NLP-Group/UGround, offline_evaluation/AndroidControl/eval.py (c76e5cc). The smallest box around the
    recorded point, everything else verbatim, on the 500 steps of 500_steps.json where the folder has it, else on all.
`strict`: the same rule on all 8,444 steps. A click that no box contains cannot be correct.

The first action of a prediction is scored. Directions name the side that comes into view ("Swipe up" in a description
is "down" in the file). The file has no accessibility trees: candidate boxes are those that contain the recorded point,
so `agentcpm-10161` selects its five from them, and UGround's equivalences (a click on an icon for opening its app, on a
back button for going back) are not available. Nor does it have image sizes: they are read from images/, else
1080 x 2400 is assumed, which is right for nearly all recordings.
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
from evals.files import annotation_files, format_error, image_size, read_json, revision
from evals.metrics import mobile_actions, mobile_scoring, trajectory
from evals.metrics.geometry import Point, box_area, box_center, box_contains, scale_box
from evals.metrics.mobile_actions import (
    Match,
    MatchRule,
    MobileAction,
    RecordedMobileStep,
    distance_by_longer_side,
    normalized_distance,
)
from evals.metrics.text_distance import contains_either
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, SampleScore

NAME = "android-control"
SOURCE = "github.com/X-PLUG/MobileAgent, UI-S1/evaluation/dataset/android_control_evaluation_std.jsonl (2.7 MB)"
IMAGE_SOURCE = "gs://gresearch/android_control (20 TFRecord shards with all splits, 49.9 GB)"
IDS_7708_SOURCE = "github.com/OS-Copilot/OS-Atlas, eval/data/ac_idx.txt (0.2 MB)"
SUBSPLITS_SOURCE = "gs://gresearch/android_control/test_subsplits.json"
PUBLIC, UNPACKED = ("test_8444.jsonl", "android_control_evaluation_std.jsonl"), "android_control_unpacked.jsonl"
UNPACKED_NOTE = "unpacked from the shards: candidate boxes are all accessibility nodes that contain the point"
ASSUMED_SIZE = (1080, 2400)  # width, height in pixels, of nearly every recording


# ---- reading


def read_dataset(folder: Path) -> Dataset:
    """Read the public JSON lines, or those converted from the shards."""
    is_unpacked = _find(folder, UNPACKED) is not None and not any(_find(folder, name) for name in PUBLIC)
    files = annotation_files(folder, (UNPACKED,) if is_unpacked else PUBLIC, SOURCE)[:1]
    images = folder / "images" if (folder / "images").is_dir() else None
    steps: list[RecordedMobileStep] = []
    for number, record in enumerate(read_json(files[0]), 1):
        try:
            steps += _read_episode(record, images)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{files[0]}, episode {number}: not in AndroidControl's format ({format_error(error)})"
            ) from None
    stops = [_stop_step(step) for step, after in zip(steps, [*steps[1:], None], strict=True) if _is_last(step, after)]
    subsplits = _find(folder, "test_subsplits.json")
    splits = (
        {name: {str(episode) for episode in ids} for name, ids in read_json(subsplits).items()} if subsplits else {}
    )
    return Dataset(
        folder,
        revision(files),
        steps,
        (UNPACKED_NOTE,) if is_unpacked else (),
        extra_tasks=stops,
        extra={"subsplits": splits},
    )


def _read_episode(record: Mapping[str, Any], images: Path | None) -> list[RecordedMobileStep]:
    episode = str(record["episode_id"])
    steps = []
    for index, step in enumerate(record["steps"]):
        name = PurePosixPath(str(step["screenshot"])).name
        options = step["check_options"]
        has_image = images is not None and (images / name).is_file()
        steps.append(
            RecordedMobileStep(
                id=f"{episode}/{index}",
                episode=episode,
                index=index,
                goal=str(record["goal"]),
                instruction=str(step["step_instruction"]),
                image=name,
                size=image_size(images / name) if images is not None and has_image else ASSUMED_SIZE,
                action=_read_action(options),
                boxes=tuple(tuple(float(side) for side in box) for box in options.get("candidate_bbox", ())),
            )
        )
    return steps


def _read_action(options: Mapping[str, Any]) -> MobileAction:
    verb = str(options["action"])
    if verb in ("click", "long_press"):
        x, y = options["coordinate"]
        return MobileAction(verb, point=(float(x), float(y)))
    if verb in ("type", "open"):
        return MobileAction(verb, text=str(options["text"]))
    if verb == "swipe":
        if options["direction"] not in trajectory.OPPOSITE:
            raise ValueError(f"direction {options['direction']!r}")
        return MobileAction(verb, direction=options["direction"])
    if verb == "system_button":
        return MobileAction("press", button=str(options["button"]).lower().strip())
    if verb == "wait":
        return MobileAction(verb)
    raise ValueError(f"action {verb!r}")


def _is_last(step: RecordedMobileStep, after: RecordedMobileStep | None) -> bool:
    return after is None or after.episode != step.episode


def _stop_step(last: RecordedMobileStep) -> RecordedMobileStep:
    """Return the "stop" that follows an episode's last step."""
    index = last.index + 1
    return replace(
        last,
        id=f"{last.episode}/{index}",
        index=index,
        image=f"{last.episode}_{index}.png",
        instruction="",
        action=MobileAction("stop"),
        boxes=(),
    )


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / "annotations" / name, folder / name) if path.is_file()), None)


# ---- the matching rules


def match_qwen(
    distance: Callable[[RecordedMobileStep, Point, Point], float],
    directions_matter: bool,
    step: RecordedMobileStep,
    predicted: MobileAction,
) -> Match:
    """Match by the rule of `qwen-8444` and `infigui-8444`."""
    recorded = step.action

    def is_hit(target: Point) -> bool:
        point = predicted.point or (math.inf, math.inf)
        return any(box_contains(scale_box(box), point) for box in step.boxes) or distance(step, point, target) <= 0.04

    if recorded.verb == "open" and predicted.verb == "click":
        return (True, is_hit(box_center(step.boxes[0]))) if step.boxes else (False, False)
    if predicted.verb != recorded.verb:
        return False, False
    if recorded.point is not None:
        return True, is_hit(recorded.point)
    if recorded.verb in ("type", "open"):
        return True, contains_either(predicted.text, recorded.text)
    if recorded.verb == "swipe":
        return True, not directions_matter or predicted.direction == recorded.direction
    return True, predicted.button == recorded.button


def match_os_atlas(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the rule of `os-atlas-7708`."""
    recorded = step.action
    if predicted.verb != recorded.verb or predicted.button != recorded.button:  # buttons are action types there
        return False, False
    if recorded.verb == "click" and predicted.point and recorded.point:
        return True, normalized_distance(step, predicted.point, recorded.point) <= 0.14
    if recorded.verb == "long_press" and predicted.point and recorded.point:
        return True, _to_thousandths(step, predicted.point) == _to_thousandths(step, recorded.point)
    if recorded.verb in ("type", "open"):
        same_word = _first_word(predicted.text) == _first_word(recorded.text) != ""
        return True, predicted.text == recorded.text or same_word
    return True, predicted.direction == recorded.direction


def _to_thousandths(step: RecordedMobileStep, point: Point) -> tuple[int, int]:
    return round(1000 * point[0] / step.size[0]), round(1000 * point[1] / step.size[1])


def _first_word(text: str) -> str:
    return text.lower().split()[0] if text.split() else ""


def match_agentcpm(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the rule of `agentcpm-10161`."""
    recorded = step.action
    types = {"wait": "stop"}
    if types.get(predicted.verb, predicted.verb) != types.get(recorded.verb, recorded.verb):
        return False, False
    if recorded.point is not None and predicted.point is not None:
        return True, _is_near_five_boxes(step, predicted.point, recorded.point)
    if recorded.verb == "swipe":
        return True, predicted.direction == recorded.direction
    if recorded.verb == "type":
        return True, contains_either(predicted.text, recorded.text)
    return True, predicted.button == recorded.button


def _is_near_five_boxes(step: RecordedMobileStep, predicted: Point, recorded: Point) -> bool:
    """Match against the nearest boxes as normalized x, y, width, height, scaled by 1.2.

    The corner and the size of a box are each clipped to the screen, as in the official script.
    """
    width, height = step.size
    target, point = (recorded[0] / width, recorded[1] / height), (predicted[0] / width, predicted[1] / height)
    boxes = []
    for x1, y1, x2, y2 in step.boxes:
        w, h = (x2 - x1) / width, (y2 - y1) / height
        x, y = max(0.0, x1 / width - 0.1 * w), max(0.0, y1 / height - 0.1 * h)
        boxes.append((x, y, x + min(1.0, 1.2 * w), y + min(1.0, 1.2 * h)))
    nearest = sorted(boxes, key=lambda box: math.dist(box_center(box), target))[:5]
    return any(box_contains(box, point) for box in nearest) or math.dist(point, target) <= 0.04


def match_smallest_box(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match by the rule of `uground-500` and `strict`."""
    recorded = step.action
    if predicted.verb != recorded.verb:
        return False, False
    if recorded.point is not None and predicted.point is not None:
        boxes = [box for box in step.boxes if box_contains(box, recorded.point)]
        return True, bool(boxes) and box_contains(min(boxes, key=box_area), predicted.point)
    predicted_fields = (predicted.text, predicted.direction, predicted.button)
    return True, predicted_fields == (recorded.text, recorded.direction, recorded.button)


# ---- the protocols' steps


Selection = tuple[list[RecordedMobileStep], tuple[str, ...]]  # the steps to score, and notes on them


@dataclass(frozen=True)
class AndroidControlProtocol:
    """A protocol: the steps it scores and the rule that matches them."""

    select: Callable[[Dataset], Selection]
    rule: MatchRule


def _select_all(dataset: Dataset) -> Selection:
    return list(dataset.tasks), ()


def _select_os_atlas(dataset: Dataset) -> Selection:
    path = _find(dataset.folder, "os_atlas_7708_ids.txt") or _find(dataset.folder, "ac_idx.txt")
    if path is None:
        raise UsageError(
            f"os-atlas-7708 needs os_atlas_7708_ids.txt in {dataset.folder}; get it from {IDS_7708_SOURCE}"
        )
    ids = set(path.read_text(encoding="utf-8").split())
    return [step for step in dataset.tasks if f"episode_{step.episode}_screenshot_{step.index}" in ids], ()


def _select_agentcpm(dataset: Dataset) -> Selection:
    steps: list[RecordedMobileStep] = [*dataset.tasks, *dataset.extra_tasks]
    kept = sorted(
        (step for step in steps if step.action.verb != "open"), key=lambda step: (int(step.episode), step.index)
    )
    return kept, (
        f"{len(kept):,} steps: the test split alone; the published 10,161 include the validation split",
        "the five nearest boxes are selected from the candidate boxes, since the file has no accessibility trees",
    )


def _select_strict(dataset: Dataset) -> Selection:
    unboxed = sum(step.action.point is not None and not step.boxes for step in dataset.tasks)
    return list(dataset.tasks), (f"{unboxed:,} clicks are in no candidate box: no prediction can be correct there",)


def _select_uground(dataset: Dataset) -> Selection:
    note = "no accessibility trees: smallest candidate box, and a click never counts as opening an app or going back"
    path = _find(dataset.folder, "500_steps.json")
    if path is None:
        return list(dataset.tasks), (
            note,
            "500_steps.json is not in the folder: all steps are scored, not UGround's 500",
        )
    ids = {f"{record['episode_id']}/{record['step']}" for record in read_json(path)}
    return [step for step in dataset.tasks if step.id in ids], (note,)


PROTOCOLS = {
    "qwen-8444": AndroidControlProtocol(_select_all, partial(match_qwen, normalized_distance, False)),
    "infigui-8444": AndroidControlProtocol(_select_all, partial(match_qwen, distance_by_longer_side, True)),
    "os-atlas-7708": AndroidControlProtocol(_select_os_atlas, match_os_atlas),
    "agentcpm-10161": AndroidControlProtocol(_select_agentcpm, match_agentcpm),
    "uground-500": AndroidControlProtocol(_select_uground, match_smallest_box),
    "strict": AndroidControlProtocol(_select_strict, match_smallest_box),
}


# ---- scoring


def score_sample(task: RecordedMobileStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction under a protocol."""
    return mobile_scoring.score_step(task, prediction, PROTOCOLS[protocol].rule)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the result under a protocol, by the official sub-splits where their file is in the folder."""
    steps, notes = PROTOCOLS[protocol].select(dataset)
    assumed = sum(step.size == ASSUMED_SIZE for step in steps)
    if assumed:
        width, height = ASSUMED_SIZE
        notes = (*notes, f"{assumed:,} images are assumed to be {width} x {height}: the file does not say")
    subsplits = dataset.extra["subsplits"]
    if not subsplits:
        notes = (
            *notes,
            f"no IDD, app, task or category figures: test_subsplits.json is not in the folder ({SUBSPLITS_SOURCE})",
        )
    return mobile_scoring.evaluation_result(
        NAME,
        protocol,
        dataset,
        steps,
        PROTOCOLS[protocol].rule,
        predictions,
        known=known,
        splits={name: partial(_is_in_split, ids) for name, ids in subsplits.items()},
        notes=notes,
    )


def _is_in_split(episodes: Container[str], step: RecordedMobileStep) -> bool:
    return step.episode in episodes


# ---- checks of annotations


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    steps: Sequence[RecordedMobileStep] = dataset.tasks
    counts = Counter(step.id for step in steps)
    findings = [
        ("duplicate id", [name for name, count in counts.items() if count > 1]),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        ("box without area", [step.id for step in steps if any(box_area(box) <= 0 for box in step.boxes)]),
        (
            "box with x2 < x1 or y2 < y1; it may be x, y, width, height",
            [step.id for step in steps if any(box[2] < box[0] or box[3] < box[1] for box in step.boxes)],
        ),
        (
            "click outside its screen",
            [
                step.id
                for step in steps
                if step.action.point and not box_contains((0, 0, *step.size), step.action.point)
            ],
        ),
        (
            "click in none of its candidate boxes",
            [step.id for step in steps if step.action.point and step.boxes and not _is_boxed(step, step.action.point)],
        ),
    ]
    return [(what, ids) for what, ids in findings if ids]


def _is_boxed(step: RecordedMobileStep, point: Point) -> bool:
    return any(box_contains(box, point) for box in step.boxes)


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        tuple(PROTOCOLS),
        read_dataset,
        score,
        score_sample,
        mobile_actions.oracle,
        check_annotations,
        samples=8444,
        verbs=mobile_actions.VERBS,
        has_episodes=True,
        scored_tasks=lambda dataset, protocol: PROTOCOLS[protocol].select(dataset)[0],
        reference=mobile_actions.reference,
        env_id="pixelhand/AndroidControl-v0",
    )
}
