"""Android in the Wild (AITW): five sets of recorded phone episodes. Knows its steps and its action matching.

Official source: google-research, android_in_the_wild (README.md, action_type.py, action_matching.py at 1d49f2c), read.
A step's action is a number: 3 typing, 4 a gesture of two points, 5 back, 6 home, 7 enter, 10 done, 11 impossible. The
shards hold one step a record, its picture as raw RGB bytes, its annotated boxes as y, x, height, width from 0 to 1;
`agent eval unpack aitw` makes pictures and aitw_unpacked.jsonl of them (see evals.shards_aitw).

`aitw`: gestures match as in evals.dual_point, everything else by its kind alone: a text is never compared. The official
    score is the mean of the five sets' scores.

SeeClick's and later papers' test set, aitw_data_test.json (njucckevin/SeeClick, agent_tasks/aitw_test.py, 50e4ec9), is
read too: x, y where Google has y, x; a scroll is a word there, with the finger's way standing for it. Its script takes
the same matching and the same mean. It leaves out steps whose picture is missing; here a missing one is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.metrics import aitw_matching, mobile_actions, trajectory
from evals.metrics.aitw_matching import Gesture
from evals.metrics.mobile_actions import Box, Match, MobileAction, Point, RecordedMobileStep
from evals.scoring import Benchmark, Dataset, Prediction, Result, annotation_files, mean, ratio, read_json, revision

NAME = "aitw"
UNPACKED, SEECLICK = "aitw_unpacked.jsonl", "aitw_data_test.json"
SOURCE = (
    "gs://gresearch/android-in-the-wild (GZIP TFRecord shards, 715,142 episodes; then `agent eval unpack aitw`), "
    "or aitw_data_test.json by the link in github.com/njucckevin/SeeClick, agent_tasks/readme_agent.md"
)
PICTURES = "the same places, into images/"
SUBSETS = ("general", "google_apps", "install", "single", "web_shopping")
TYPE, DUAL_POINT, BACK, HOME, ENTER, DONE, IMPOSSIBLE = 3, 4, 5, 6, 7, 10, 11
BUTTONS = {BACK: "back", HOME: "home", ENTER: "enter"}
FINGERS: dict[str, tuple[Point, Point]] = {  # SeeClick's scrolls: what is "scroll down" there is a finger going up
    "scroll down": ((0.5, 0.8), (0.5, 0.2)),
    "scroll up": ((0.5, 0.2), (0.5, 0.8)),
    "scroll left": ((0.2, 0.5), (0.8, 0.5)),
    "scroll right": ((0.8, 0.5), (0.2, 0.5)),
}


@dataclass(frozen=True)
class AitwStep(RecordedMobileStep):
    """A step, with where the finger went; subset: one of the five sets."""

    gesture: Gesture = field(default=Gesture(None, None))
    subset: str = ""


def read(folder: Path) -> Dataset:
    files = annotation_files(folder, (UNPACKED, SEECLICK), SOURCE)
    if len(files) > 1:
        raise UsageError(f"{folder} holds both {UNPACKED} and {SEECLICK}, two test sets; leave one of them")
    told, steps = read_json(files[0]), list[AitwStep]()
    seeclick = files[0].name == SEECLICK
    try:
        if seeclick:
            for subset, held in told.items():
                for number, episode in enumerate(held):
                    steps += [_of_seeclick(one, subset, number, n, folder) for n, one in enumerate(episode)]
        else:
            for episode in told:
                steps += [_step(one, episode) for one in episode["steps"]]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{files[0]} is not in Android in the Wild's form ({what})") from None
    twice = [name for name, times in Counter(one.id for one in steps).items() if times > 1]
    if twice:
        raise UsageError(f"{files[0]}: the step '{twice[0]}' comes twice; unpack the shards again")
    note = "SeeClick's test set" if seeclick else "unpacked from the shards"
    return Dataset(folder, revision(files), steps, (note,))


def _step(one: Mapping[str, Any], episode: Mapping[str, Any]) -> AitwStep:
    """A step as evals.shards_aitw writes it: y, x and y, x, height, width, all from 0 to 1."""
    width, height = (int(side) for side in one["size"])
    touch, lift = (_xy(reversed(one[key])) for key in ("touch", "lift"))
    boxes = ((x * width, y * height, (x + w) * width, (y + h) * height) for y, x, h, w in one["positions"])
    return _made(
        AitwStep(
            id=f"{episode['episode_id']}/{one['step']}",
            episode=str(episode["episode_id"]),
            index=int(one["step"]),
            goal=str(episode["goal"]),
            instruction="",
            picture=str(one["picture"]),
            size=(width, height),
            deed=MobileAction("other"),
            boxes=tuple(boxes),
            subset=str(episode["subset"]),
        ),
        int(one["action_type"]),
        str(one["text"]),
        Gesture(touch, lift),
    )


def _of_seeclick(one: Mapping[str, Any], subset: str, number: int, step: int, folder: Path) -> AitwStep:
    picture = f"{one['img_filename']}.png"
    there = folder / "images" / picture
    width, height = trajectory.picture_size(there) if there.is_file() else (1, 1)  # all is in shares of the screen
    flat = [float(side) for side in one["annot_position"]]
    boxes = (flat[n : n + 4] for n in range(0, len(flat), 4))
    kind, word = int(one["action_type_id"]), str(one["action_type_text"])
    touch, lift = (None, None)
    if kind == DUAL_POINT:
        touch, lift = (_xy(one["touch"]), _xy(one["lift"])) if word == "click" else FINGERS[word]
    return _made(
        AitwStep(
            id=f"{subset}-{number}/{step}",
            episode=f"{subset}-{number}",
            index=step,
            goal=str(one["goal"]),
            instruction="",
            picture=picture,
            size=(width, height),
            deed=MobileAction("other"),
            boxes=tuple((x * width, y * height, (x + w) * width, (y + h) * height) for y, x, h, w in boxes),
            subset=subset,
        ),
        kind,
        str(one["type_text"]) if kind == TYPE else "",
        Gesture(touch, lift),
    )


def _xy(values: Any) -> Point:
    x, y = (float(one) for one in values)
    return x, y


def _made(step: AitwStep, kind: int, text: str, gesture: Gesture) -> AitwStep:
    """The step with its deed. A gesture's side is what comes into view: the opposite of where the finger goes."""
    if kind == TYPE:
        return replace(step, deed=MobileAction("type", text=text))
    if kind in BUTTONS:
        return replace(step, deed=MobileAction("press", button=BUTTONS[kind]))
    if kind in (DONE, IMPOSSIBLE):
        return replace(step, deed=MobileAction("stop", text="failure" if kind == IMPOSSIBLE else ""))
    if kind != DUAL_POINT or gesture.touch is None or gesture.lift is None:
        raise ValueError(f"action type {kind}")
    (x, y), (to_x, to_y) = gesture.touch, gesture.lift
    width, height = step.size
    if gesture.tap:
        return replace(step, deed=MobileAction("click", point=(x * width, y * height)), gesture=gesture)
    across, along = ("right" if to_x < x else "left"), ("down" if to_y < y else "up")
    return replace(step, deed=MobileAction("swipe", side=along if gesture.upright else across), gesture=gesture)


# ---- the rule


def word(step: RecordedMobileStep, said: MobileAction) -> Match:
    assert isinstance(step, AitwStep)
    if _kind(step.deed) != "gesture" or _kind(said) != "gesture":
        return (right := _kind(step.deed) == _kind(said)), right
    if step.size == (1, 1) and (said.point or said.path):
        raise UsageError(f"the picture images/{step.picture} is missing; its size is needed to score a click on it")
    return aitw_matching.match(step.gesture, aitw_matching.gesture(said, step.size), aitw_matching.enlarge_boxes(step))


def _kind(deed: MobileAction) -> str:
    """What the official action type says of a deed."""
    if deed.verb in ("click", "swipe"):
        return "gesture"
    return " ".join((deed.verb, deed.button, deed.text if deed.verb == "stop" else "")).strip()


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    steps: Sequence[AitwStep] = dataset.tasks
    splits = {name: partial(_of_subset, name) for name in dict.fromkeys(step.subset for step in steps)}
    notes: tuple[str, ...] = ()
    if len(splits) != len(SUBSETS):
        notes = (f"{len(splits)} of the five sets: the published score is the mean of all five",)
    found = mobile_actions.result(NAME, protocol, dataset, steps, word, said, splits=splits, notes=notes)
    by_set = {name: found.cells[f"split {name}"]["accuracy"] for name in splits}
    metrics = {
        "action_matching": mean(by_set.values()),
        "of each set": by_set,
        "typed texts that contain each other, not part of the score": _texts(steps, said),
        **found.metrics,
    }
    averages = {**found.averages, f"macro (action matching over {len(splits)} sets)": mean(by_set.values())}
    return replace(found, metrics=metrics, averages=averages)


def _texts(steps: Sequence[AitwStep], said: Mapping[str, Prediction]) -> dict[str, Any]:
    """SeeClick's side figure: of the steps that type, those on which one text holds the other, whatever its case."""
    typing = [step for step in steps if step.deed.verb == "type"]
    right = 0
    for step in typing:
        one = mobile_actions.parse_prediction(said[step.id]) if step.id in said else None
        if one is not None and one.verb == "type":
            a, b = one.text.lower(), step.deed.text.lower()
            right += a in b or b in a
    return {"correct": right, "total": len(typing), "accuracy": ratio(right, len(typing))}


def _of_subset(name: str, step: RecordedMobileStep) -> bool:
    return isinstance(step, AitwStep) and step.subset == name


def examine(dataset: Dataset) -> list[tuple[str, list[str]]]:
    steps: Sequence[AitwStep] = dataset.tasks
    found = [
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        (
            "a finger beside the screen",
            [step.id for step in steps if any(_beside(point) for point in (step.gesture.touch, step.gesture.lift))],
        ),
        ("box outside its picture", [step.id for step in steps if any(_outside(step, box) for box in step.boxes)]),
        ("a set that is none of the five", [step.id for step in steps if step.subset.replace("_", "") not in FLAT]),
    ]
    return [(what, which) for what, which in found if which]


FLAT = {name.replace("_", "") for name in SUBSETS}  # SeeClick writes googleapps, webshopping


def _beside(point: Point | None) -> bool:
    return point is not None and not all(0 <= one <= 1 for one in point)


def _outside(step: RecordedMobileStep, box: Box) -> bool:
    hair = 1e-4  # shares are 32-bit floats in the shards
    return min(box) < -hair * max(step.size) or box[2] > step.size[0] * (1 + hair) or box[3] > step.size[1] * (1 + hair)


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        PICTURES,
        (NAME,),
        read,
        score,
        mobile_actions.oracle,
        examine,
        verbs=mobile_actions.VERBS - {"open", "long_press"},
        episodes=True,
        right=mobile_actions.right,
    )
}
