"""GUI-Odyssey: recorded phone and tablet episodes across apps. Knows its files, its four splits and its score.

Official source: OpenGVLab/GUI-Odyssey, data/format_converter.py (what an annotation means) and src/eval_mm/
GUIOdyssey_action_matching.py, evaluate_GUIOdyssey.py (e12788f), read. An episode is a JSON file of annotations/; its
coordinates, and `sam2_bbox` of what was pressed, are 0 to 1000. A split is a file of splits/ with the names of its
episodes' files. Pictures lie in screenshots/ there, in images/ here.

AMS, the action matching score, is the share of steps that are right: the same action, and a click or long press within
0.14 of the screen (each axis by its own length) or in sam2_bbox, edges included; of texts one holds the other or half
of the longer one's letters agree (Levenshtein); a scroll's side; all else by its kind. SR is the share of episodes of
which every step is right; those that have not all their steps are left out of it. On the random split both are the
mean of the six categories' figures, on the others over all; the scripts call the first "micro" and the second "macro".
A prediction that cannot be read is wrong.

The annotations of before July 2025 have no sam2_bbox: the distance alone decides then, and a note says so, for figures
of the two versions are not comparable. "SCROLL: UP" is a finger that goes up: what is below comes into view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from actions import UsageError
from evals.metrics import mobile_actions, trajectory
from evals.metrics.mobile_actions import Box, Match, MobileAction, Point, RecordedMobileStep, inside
from evals.scoring import (
    Benchmark,
    Dataset,
    Prediction,
    Result,
    SampleScore,
    annotation_files,
    mean,
    ratio,
    read_json,
    revision,
)

NAME = "gui-odyssey"
SOURCE = "huggingface.co/datasets/hflqf88888/GUIOdyssey (annotations/ and splits/, 8,334 episodes)"
PICTURES = "huggingface.co/datasets/hflqf88888/GUIOdyssey, screenshots/ (93 GB), as images/"
SPLITS = ("random", "task", "device", "app")
ALL = "all"
CATEGORIES = 6
NEAR, ALIKE = 0.14, 0.5
KEYS = {
    "KEY_HOME": MobileAction("press", button="home"),
    "KEY_BACK": MobileAction("press", button="back"),
    "KEY_APPSELECT": MobileAction("press", button="recents"),
}
ENDS = {"COMPLETE": MobileAction("stop"), "INCOMPLETE": MobileAction("stop", text="failure")}
TEXTS = ("TEXT", "TYPE")


@dataclass(frozen=True)
class OdysseyStep(RecordedMobileStep):
    """A step; goal_point: where it was pressed, box: what was pressed, both 0 to 1000; whole: no step is missing."""

    category: str = ""
    device: str = ""
    file: str = ""
    goal_point: Point | None = None
    box: Box | None = None
    whole: bool = True


def read(folder: Path) -> Dataset:
    files = annotation_files(folder, ("*.json",), SOURCE)
    splits: dict[str, set[str]] = {}
    for name in SPLITS:
        path = folder / "splits" / f"{name}_split.json"
        if path.is_file():
            told = read_json(path)
            if not isinstance(told, dict) or not isinstance(told.get("test"), list):
                raise UsageError(f"{path} has no list 'test' of annotation files; get it again from {SOURCE}")
            splits[name] = {PurePosixPath(str(one)).stem for one in told["test"]}
            files = [*files, path]
    steps: list[OdysseyStep] = []
    for path in files:
        if path.parent.name == "splits":
            continue
        try:
            steps += _episode(read_json(path), path.stem, folder / "images")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path} is not in GUI-Odyssey's form ({what})") from None
    default = next((name for name in SPLITS if name in splits), ALL)
    return Dataset(folder, revision(files), steps, protocol=default, extra={"splits": splits})


def _episode(told: Mapping[str, Any], file: str, images: Path) -> list[OdysseyStep]:
    device, task = told["device_info"], told["task_info"]
    episode, held = str(told["episode_id"]), list(told["steps"])
    made = []
    for one in held:
        picture = PurePosixPath(str(one["screenshot"]).replace("\\", "/")).name
        there = images / picture
        size = trajectory.picture_size(there) if there.is_file() else (int(device["w"]), int(device["h"]))
        action, info = str(one["action"]), one["info"]
        deed, point = _deed(action, info)
        given = one.get("sam2_bbox") or None
        box = _box(given) if given is not None and point is not None else None
        pixels = tuple(side / 1000 * size[n % 2] for n, side in enumerate(box)) if box else None
        made.append(
            OdysseyStep(
                id=f"{episode}/{int(one['step'])}",
                episode=episode,
                index=int(one["step"]),
                goal=str(task["instruction"]),
                instruction=str(one.get("low_level_instruction") or ""),
                picture=picture,
                size=size,
                deed=replace(deed, point=(point[0] / 1000 * size[0], point[1] / 1000 * size[1])) if point else deed,
                boxes=(pixels,) if pixels else (),
                category=str(task["category"]),
                device=str(device["device_name"]),
                file=file,
                goal_point=point,
                box=box,
                whole=len(held) == int(told["step_length"]),
            )
        )
    return made


def _deed(action: str, info: Any) -> tuple[MobileAction, Point | None]:
    """What the official converter makes of an annotation; the point is 0 to 1000."""
    if action in ("CLICK", "LONG_PRESS"):
        if isinstance(info, str):
            if info not in KEYS:
                raise ValueError(f"{action} of {info!r}")
            return KEYS[info], None
        x, y = (float(one) for one in info[0])
        return MobileAction(action.lower()), (x, y)
    if action == "SCROLL":
        (x, y), (to_x, to_y) = ((float(a), float(b)) for a, b in info[:2])
        across, down = ("left" if to_x < x else "right"), ("up" if to_y < y else "down")
        finger = across if abs(to_x - x) > abs(to_y - y) else down
        return MobileAction("swipe", side=trajectory.OPPOSITE[finger]), None
    if action in TEXTS:
        return MobileAction("type", text=str(info)), None
    if action in ENDS:
        return ENDS[action], None
    raise ValueError(f"action {action!r}")


def _box(given: Any) -> Box:
    x1, y1, x2, y2 = (float(one) for one in given)
    return x1, y1, x2, y2


# ---- the rule


def word(step: RecordedMobileStep, said: MobileAction) -> Match:
    assert isinstance(step, OdysseyStep)
    true = step.deed
    if _kind(said) != _kind(true):
        return False, False
    if true.point is not None and said.point is not None and step.goal_point is not None:
        at = said.point[0] / step.size[0] * 1000, said.point[1] / step.size[1] * 1000
        x, y = ((a - b) / 1000 for a, b in zip(at, step.goal_point, strict=True))
        return True, (step.box is not None and inside(at, step.box)) or (x * x + y * y) ** 0.5 <= NEAR
    if true.verb == "type":
        return True, alike(true.text, said.text)
    return True, true.verb != "swipe" or said.side == true.side


def _kind(deed: MobileAction) -> str:
    """The action's official name: each button and each ending is one of its own."""
    return " ".join((deed.verb, deed.button, deed.text if deed.verb == "stop" else "")).strip()


def alike(true: str, said: str) -> bool:
    true, said = true.strip(), said.strip()
    if true in said or said in true:
        return True
    return 1 - distance(true, said) / max(len(true), len(said)) >= ALIKE


def distance(a: str, b: str) -> int:
    """Levenshtein's: letters put in, left out or replaced."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], before if left == right else 1 + min(before, row[j], row[j - 1])
    return row[-1]


# ---- scoring


def judged(dataset: Dataset, protocol: str) -> Sequence[OdysseyStep]:
    """The steps of a split's test episodes. UsageError where the split's file is not here, or lacks its episodes."""
    if protocol == ALL:
        return dataset.tasks
    splits = dataset.extra["splits"]
    if protocol not in splits:
        raise UsageError(
            f"the protocol '{protocol}' needs splits/{protocol}_split.json in {dataset.folder}; get it from {SOURCE}"
        )
    return [step for step in dataset.tasks if step.file in splits[protocol]]


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    steps = judged(dataset, protocol)
    parts = {
        f"category {name}": partial(_of, "category", name) for name in dict.fromkeys(one.category for one in steps)
    }
    parts |= {f"device {name}": partial(_of, "device", name) for name in dict.fromkeys(one.device for one in steps)}
    found = mobile_actions.result(
        NAME, protocol, dataset, steps, word, said, splits=parts, notes=_notes(dataset, steps, protocol)
    )
    held = list(zip(steps, found.verdicts, strict=True))
    groups: dict[str, list[tuple[OdysseyStep, SampleScore]]] = {}
    for pair in held:
        groups.setdefault(pair[0].category, []).append(pair)
    over_all = ams(held), sr(held)
    over_categories = mean(ams(group) for group in groups.values()), mean(sr(group) for group in groups.values())
    official = over_categories if protocol == "random" else over_all
    typing = [verdict for step, verdict in held if step.deed.verb == "type"]
    metrics = {
        "AMS": official[0],
        "SR": official[1],
        "total": len(steps),
        "action_type": found.metrics["type"],
        "text": {
            "correct": sum(one.outcome == "correct" for one in typing),
            "total": len(typing),
            "accuracy": ratio(sum(one.outcome == "correct" for one in typing), len(typing)),
        },
        **{key: value for key, value in found.metrics.items() if key != "type"},
    }
    averages = {
        **found.averages,
        f"AMS over samples ({'not ' if protocol == 'random' else ''}the official one here)": over_all[0],
        f"AMS, mean of {len(groups)} categories ({'' if protocol == 'random' else 'not '}the official one here)": (
            over_categories[0]
        ),
        "SR over episodes": over_all[1],
        f"SR, mean of {len(groups)} categories": over_categories[1],
    }
    return replace(found, metrics=metrics, averages=averages)


def ams(held: Sequence[tuple[OdysseyStep, SampleScore]]) -> float:
    return mean(float(verdict.outcome == "correct") for _, verdict in held)


def sr(held: Sequence[tuple[OdysseyStep, SampleScore]]) -> float:
    """Of the episodes that have all their steps, those of which every step is right."""
    rights: dict[str, list[bool]] = {}
    for step, verdict in held:
        if step.whole:
            rights.setdefault(step.episode, []).append(verdict.outcome == "correct")
    return mean(float(all(one)) for one in rights.values())


def _of(field: str, value: str, step: RecordedMobileStep) -> bool:
    return getattr(step, field) == value


def _notes(dataset: Dataset, steps: Sequence[OdysseyStep], protocol: str) -> list[str]:
    notes = []
    pressed = [step for step in steps if step.goal_point is not None]
    if pressed and not any(step.box for step in pressed):
        notes.append("no sam2_bbox: annotations of before July 2025; not comparable with figures of the later ones")
    if protocol == ALL:
        notes.append(f"all {len({step.episode for step in steps}):,} episodes here: none of the four published splits")
    else:
        lacking = dataset.extra["splits"][protocol] - {step.file for step in steps}
        if lacking:
            notes.append(f"{len(lacking):,} episodes of the split {protocol} are not here: this is not its score")
    cut = len({step.episode for step in steps if not step.whole})
    if cut:
        notes.append(f"{cut:,} episodes lack steps and are left out of SR, as in the official script")
    categories = len({step.category for step in steps})
    if protocol == "random" and categories != CATEGORIES:
        notes.append(f"{categories} categories; the published mean is over {CATEGORIES}")
    return notes


def oracle(step: Any) -> Prediction:
    """The recorded action in our schema; the third button has no verb of its own and is a key."""
    if step.deed.button == "recents":
        return {"id": step.id, "actions": [{"verb": "press", "keys": ["recents"]}], "reply": "as recorded"}
    return mobile_actions.oracle(step)


def examine(dataset: Dataset) -> list[tuple[str, list[str]]]:
    steps: Sequence[OdysseyStep] = dataset.tasks
    seen: set[str] = set()
    twice = [step.id for step in steps if step.id in seen or seen.add(step.id)]  # type: ignore[func-returns-value]
    found = [
        ("id that comes twice", twice),
        ("no goal", [step.id for step in steps if not step.goal.strip()]),
        (
            "point or box beyond 0 to 1000",
            [
                step.id
                for step in steps
                if any(not 0 <= n <= 1000 for n in (*(step.goal_point or ()), *(step.box or ())))
            ],
        ),
        (
            "box that is none (x2 < x1 or y2 < y1): is it x, y, width, height?",
            [step.id for step in steps if step.box and (step.box[2] < step.box[0] or step.box[3] < step.box[1])],
        ),
        (
            "pressed outside its own box",
            [step.id for step in steps if step.box and step.goal_point and not inside(step.goal_point, step.box)],
        ),
        ("an episode that lacks steps", sorted({step.episode for step in steps if not step.whole})),
    ]
    return [(what, which) for what, which in found if which]


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        PICTURES,
        (*SPLITS, ALL),
        read,
        score,
        oracle,
        examine,
        verbs=mobile_actions.VERBS - {"open"},
        episodes=True,
        right=mobile_actions.right,
        judged=judged,
    )
}
