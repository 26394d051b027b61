"""Android in the Wild (AITW): five sets of recorded phone episodes.

Source: google-research, android_in_the_wild (README.md, action_type.py, action_matching.py at 1d49f2c). A step's
action is a number: 3 typing, 4 a gesture of two points, 5 back, 6 home, 7 enter, 10 done, 11 impossible. The shards
hold one step per record, its image as raw RGB bytes, its annotated boxes as y, x, height, width from 0 to 1;
`agent eval unpack aitw` converts them to images and aitw_unpacked.jsonl (see evals.datasets.convert_aitw).

`aitw`: gestures match as in evals.metrics.aitw_matching, everything else by its type alone; texts are never compared.
    The official score is the mean of the five sets' scores.

The test set of SeeClick and later papers, aitw_data_test.json (njucckevin/SeeClick, agent_tasks/aitw_test.py,
50e4ec9), is read too. It has x, y where Google has y, x, and a word for a scroll, which is replaced by a finger path.
Its script uses the same matching and the same mean, but leaves out steps without an image; here they are broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import annotation_files, format_error, image_size, read_json, revision
from evals.metrics import aitw_matching, mobile_actions, mobile_scoring
from evals.metrics.aitw_matching import Gesture
from evals.metrics.geometry import Box, Point
from evals.metrics.mobile_actions import Match, MobileAction, RecordedMobileStep, action_type
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, SampleScore, count_correct

NAME = "aitw"
UNPACKED, SEECLICK = "aitw_unpacked.jsonl", "aitw_data_test.json"
SOURCE = (
    "gs://gresearch/android-in-the-wild (GZIP TFRecord shards, 715,142 episodes; then `agent eval unpack aitw`), "
    "or aitw_data_test.json by the link in github.com/njucckevin/SeeClick, agent_tasks/readme_agent.md"
)
IMAGE_SOURCE = "the same places, into images/"
SUBSETS = ("general", "google_apps", "install", "single", "web_shopping")
JOINED_SUBSETS = {name.replace("_", "") for name in SUBSETS}  # SeeClick writes googleapps, webshopping
TYPE, DUAL_POINT, BACK, HOME, ENTER, DONE, IMPOSSIBLE = 3, 4, 5, 6, 7, 10, 11
BUTTONS = {BACK: "back", HOME: "home", ENTER: "enter"}
SCROLL_PATHS: dict[str, tuple[Point, Point]] = {  # SeeClick's "scroll down" is a finger that moves up
    "scroll down": ((0.5, 0.8), (0.5, 0.2)),
    "scroll up": ((0.5, 0.2), (0.5, 0.8)),
    "scroll left": ((0.2, 0.5), (0.8, 0.5)),
    "scroll right": ((0.8, 0.5), (0.2, 0.5)),
}


@dataclass(frozen=True)
class AitwStep(RecordedMobileStep):
    """A step with its gesture and the set it belongs to."""

    gesture: Gesture = field(default=Gesture(None, None))
    subset: str = ""


def read_dataset(folder: Path) -> Dataset:
    """Read the converted shards or SeeClick's test set."""
    files = annotation_files(folder, (UNPACKED, SEECLICK), SOURCE)
    if len(files) > 1:
        raise UsageError(f"{folder} holds two test sets, {UNPACKED} and {SEECLICK}; remove one of them")
    content, steps = read_json(files[0]), list[AitwStep]()
    is_seeclick = files[0].name == SEECLICK
    try:
        if is_seeclick:
            for subset, episodes in content.items():
                for number, episode in enumerate(episodes):
                    steps += [
                        _seeclick_step(record, subset, number, index, folder) for index, record in enumerate(episode)
                    ]
        else:
            for episode in content:
                steps += [_unpacked_step(record, episode) for record in episode["steps"]]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(f"{files[0]} is not in Android in the Wild's format ({format_error(error)})") from None
    duplicates = [name for name, count in Counter(step.id for step in steps).items() if count > 1]
    if duplicates:
        raise UsageError(f"{files[0]}: duplicate step '{duplicates[0]}'; unpack the shards again")
    note = "SeeClick's test set" if is_seeclick else "unpacked from the shards"
    return Dataset(folder, revision(files), steps, (note,))


def _unpacked_step(record: Mapping[str, Any], episode: Mapping[str, Any]) -> AitwStep:
    """Return a step as evals.datasets.convert_aitw writes it: y, x and y, x, height, width, all from 0 to 1."""
    width, height = (int(side) for side in record["size"])
    touch, lift = (_to_point(reversed(record[key])) for key in ("touch", "lift"))
    boxes = ((x * width, y * height, (x + w) * width, (y + h) * height) for y, x, h, w in record["positions"])
    return _with_action(
        AitwStep(
            id=f"{episode['episode_id']}/{record['step']}",
            episode=str(episode["episode_id"]),
            index=int(record["step"]),
            goal=str(episode["goal"]),
            instruction="",
            image=str(record["picture"]),
            size=(width, height),
            action=MobileAction("other"),
            boxes=tuple(boxes),
            subset=str(episode["subset"]),
        ),
        int(record["action_type"]),
        str(record["text"]),
        Gesture(touch, lift),
    )


def _seeclick_step(record: Mapping[str, Any], subset: str, number: int, index: int, folder: Path) -> AitwStep:
    image = f"{record['img_filename']}.png"
    path = folder / "images" / image
    width, height = image_size(path) if path.is_file() else (1, 1)  # coordinates are normalized
    flat = [float(side) for side in record["annot_position"]]
    boxes = (flat[n : n + 4] for n in range(0, len(flat), 4))
    kind, word = int(record["action_type_id"]), str(record["action_type_text"])
    touch, lift = (None, None)
    if kind == DUAL_POINT:
        is_click = word == "click"
        touch, lift = (_to_point(record["touch"]), _to_point(record["lift"])) if is_click else SCROLL_PATHS[word]
    return _with_action(
        AitwStep(
            id=f"{subset}-{number}/{index}",
            episode=f"{subset}-{number}",
            index=index,
            goal=str(record["goal"]),
            instruction="",
            image=image,
            size=(width, height),
            action=MobileAction("other"),
            boxes=tuple((x * width, y * height, (x + w) * width, (y + h) * height) for y, x, h, w in boxes),
            subset=subset,
        ),
        kind,
        str(record["type_text"]) if kind == TYPE else "",
        Gesture(touch, lift),
    )


def _to_point(values: Iterable[Any]) -> Point:
    x, y = (float(value) for value in values)
    return x, y


def _with_action(step: AitwStep, kind: int, text: str, gesture: Gesture) -> AitwStep:
    """Return the step with its action; a swipe's direction is opposite to the finger's movement."""
    if kind == TYPE:
        return replace(step, action=MobileAction("type", text=text))
    if kind in BUTTONS:
        return replace(step, action=MobileAction("press", button=BUTTONS[kind]))
    if kind in (DONE, IMPOSSIBLE):
        return replace(step, action=MobileAction("stop", text="failure" if kind == IMPOSSIBLE else ""))
    if kind != DUAL_POINT or gesture.touch is None or gesture.lift is None:
        raise ValueError(f"action type {kind}")
    (x, y), (to_x, to_y) = gesture.touch, gesture.lift
    width, height = step.size
    if gesture.is_tap:
        return replace(step, action=MobileAction("click", point=(x * width, y * height)), gesture=gesture)
    horizontal, vertical = ("right" if to_x < x else "left"), ("down" if to_y < y else "up")
    direction = vertical if gesture.is_vertical else horizontal
    return replace(step, action=MobileAction("swipe", direction=direction), gesture=gesture)


# ---- the official scorer


def match_action(step: RecordedMobileStep, predicted: MobileAction) -> Match:
    """Match a predicted action with the recorded one."""
    assert isinstance(step, AitwStep)
    if _official_type(step.action) != "gesture" or _official_type(predicted) != "gesture":
        return (same := _official_type(step.action) == _official_type(predicted)), same
    if step.size == (1, 1) and (predicted.point or predicted.path):
        raise UsageError(f"image images/{step.image} is missing; its size is needed to score a click on it")
    gesture = aitw_matching.to_gesture(predicted, step.size)
    return aitw_matching.match(step.gesture, gesture, aitw_matching.enlarge_boxes(step))


def _official_type(action: MobileAction) -> str:
    return "gesture" if action.verb in ("click", "swipe") else action_type(action)


def score_sample(task: AitwStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction."""
    return mobile_scoring.score_step(task, prediction, match_action)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the official score of the predictions, by set."""
    steps: Sequence[AitwStep] = dataset.tasks
    splits = {name: partial(_is_in_subset, name) for name in dict.fromkeys(step.subset for step in steps)}
    notes: tuple[str, ...] = ()
    if len(splits) != len(SUBSETS):
        notes = (f"{len(splits)} of the five sets: the published score is the mean of all five",)
    result = mobile_scoring.evaluation_result(
        NAME, protocol, dataset, steps, match_action, predictions, known=known, splits=splits, notes=notes
    )
    by_subset = {name: result.groups[f"split {name}"]["accuracy"] for name in splits}
    metrics = {
        "action_matching": mean(by_subset.values()),
        "of each set": by_subset,
        "typed texts that contain each other, not part of the score": _text_containment(steps, predictions),
        **result.metrics,
    }
    averages = {**result.averages, f"macro (action matching over {len(splits)} sets)": mean(by_subset.values())}
    return replace(result, metrics=metrics, averages=averages)


def _text_containment(steps: Sequence[AitwStep], predictions: Mapping[str, Prediction]) -> dict[str, Any]:
    """Return SeeClick's side metric: typing steps where one text contains the other, ignoring case."""

    def is_contained(step: AitwStep) -> bool:
        action = mobile_actions.parse_prediction(predictions[step.id]) if step.id in predictions else None
        if action is None or action.verb != "type":
            return False
        a, b = action.text.lower(), step.action.text.lower()
        return a in b or b in a

    return count_correct(is_contained(step) for step in steps if step.action.verb == "type")


def _is_in_subset(name: str, step: RecordedMobileStep) -> bool:
    return isinstance(step, AitwStep) and step.subset == name


# ---- checks of annotations


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    steps: Sequence[AitwStep] = dataset.tasks
    findings = [
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        (
            "touch point outside the screen",
            [step.id for step in steps if any(map(_is_off_screen, (step.gesture.touch, step.gesture.lift)))],
        ),
        ("box outside its image", [step.id for step in steps if any(_is_outside(step, box) for box in step.boxes)]),
        (
            "set that is none of the five",
            [step.id for step in steps if step.subset.replace("_", "") not in JOINED_SUBSETS],
        ),
    ]
    return [(what, ids) for what, ids in findings if ids]


def _is_off_screen(point: Point | None) -> bool:
    return point is not None and not all(0 <= side <= 1 for side in point)


def _is_outside(step: RecordedMobileStep, box: Box) -> bool:
    tolerance = 1e-4  # coordinates are 32-bit floats in the shards
    width, height = step.size
    return (
        min(box) < -tolerance * max(step.size) or box[2] > width * (1 + tolerance) or box[3] > height * (1 + tolerance)
    )


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        (NAME,),
        read_dataset,
        score,
        score_sample,
        mobile_actions.oracle,
        check_annotations,
        verbs=mobile_actions.VERBS - {"open", "long_press"},
        has_episodes=True,
        reference=mobile_actions.reference,
        env_id="pixelhand/AITW-v0",
    )
}
