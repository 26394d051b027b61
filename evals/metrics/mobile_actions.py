"""What recorded phone episodes share: a deed in one vocabulary, what boxes and texts have in common, a result.

Knows no benchmark's file and no protocol. The first action of a prediction is judged. Directions are compared by their
meaning: which side's content comes into view.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actions import Answer, Back, Click, Done, Drag, Home, LongPress, Open, PressKeys, Scroll, TypeText, Wait
from evals.metrics import trajectory
from evals.scoring import Dataset, Outcome, Prediction, Reference, Result, SampleScore, box_shape, count, mean, ratio

VERBS = frozenset({"click", "long_press", "drag", "scroll", "type", "press", "open", "back", "home", "wait"})
Box = Sequence[float]
Point = tuple[float, float]


@dataclass(frozen=True)
class MobileAction:
    """What is done on one step, by a person or by a model, in one vocabulary.

    verb: click, long_press, swipe, type, open, wait, press, stop, other. text: what is typed, or the app's name, or of
    a stop "failure" where the task cannot be done. path: where a finger went down and up, where that is known.
    """

    verb: str
    point: Point | None = None  # pixels of the original picture
    text: str = ""
    side: str | None = None  # which comes into view
    button: str = ""
    path: tuple[Point, Point] | None = None


@dataclass(frozen=True)
class RecordedMobileStep:
    """One recorded step. boxes contain the true point (of an opening: the app's icon), pixels, x1, y1, x2, y2."""

    id: str
    episode: str
    index: int
    goal: str
    instruction: str
    picture: str
    size: tuple[int, int]
    deed: MobileAction
    boxes: tuple[Box, ...] = ()


Match = tuple[bool, bool]  # (the verb is right, the whole action is)
MatchRule = Callable[[RecordedMobileStep, MobileAction], Match]


def parse_prediction(said: Prediction) -> MobileAction | None:
    """The first action in the recorded vocabulary; None when the prediction cannot be read."""
    actions = trajectory.parse_actions(said)
    return None if actions is None else to_mobile_action(actions[0])


def to_mobile_action(action: Any) -> MobileAction:
    match action:
        case Click(x=x, y=y, button="left", count=1):
            return MobileAction("click", point=(x, y))
        case LongPress(x=x, y=y):
            return MobileAction("long_press", point=(x, y))
        case Scroll():
            return MobileAction("swipe", side=trajectory.scroll_direction(action))
        case Drag(path=path):
            ends = ((path[0].x, path[0].y), (path[-1].x, path[-1].y))
            return MobileAction("swipe", side=trajectory.scroll_direction(action), path=ends)
        case TypeText(text=text):
            return MobileAction("type", text=text)
        case Open(target=target):
            return MobileAction("open", text=target)
        case Back():
            return MobileAction("press", button="back")
        case Home():
            return MobileAction("press", button="home")
        case PressKeys(keys=("enter" | "recents" as key,)):
            return MobileAction("press", button=key)
        case Wait():
            return MobileAction("wait")
        case Done(status="failure"):
            return MobileAction("stop", text="failure")
        case Done() | Answer():
            return MobileAction("stop")
    return MobileAction("other")


def oracle(step: RecordedMobileStep) -> Prediction:
    """The recorded action in our schema."""
    true = step.deed
    x, y = (round(one) for one in true.point or (0, 0))
    if true.verb in ("click", "long_press"):
        action: dict[str, Any] = {"verb": true.verb, "x": x, "y": y}
    elif true.verb == "swipe":
        action = {
            "verb": "scroll",
            **{"down": {"down": 5}, "up": {"down": -5}, "right": {"right": 5}}.get(str(true.side), {"right": -5}),
        }
    elif true.verb == "type":
        action = {"verb": "type", "text": true.text}
    elif true.verb == "open":
        action = {"verb": "open", "target": true.text}
    else:
        action = {"verb": {"wait": "wait", "stop": "done"}.get(true.verb, true.button)}
        if true.button == "enter":
            action = {"verb": "press", "keys": ["enter"]}
        if true.text == "failure":
            action["status"] = "failure"
    return {"id": step.id, "actions": [action], "reply": "as recorded"}


def right(step: RecordedMobileStep, size: tuple[int, int]) -> Reference:
    """The candidate boxes, and the recorded action in words."""
    true = step.deed
    words = " ".join(
        one for one in (true.verb, true.side or "", true.button, repr(true.text) if true.text else "") if one
    )
    return Reference(tuple(box_shape(box) for box in step.boxes), words)


# ---- what rules have in common


def contains(a: str, b: str) -> bool:
    a, b = a.lower().strip(), b.lower().strip()
    return a in b or b in a


def normalized_distance(step: RecordedMobileStep, a: Point, b: Point) -> float:
    """The distance with each axis by the screen's own length."""
    width, height = step.size
    return math.hypot((a[0] - b[0]) / width, (a[1] - b[1]) / height)


def distance_by_longer_side(step: RecordedMobileStep, a: Point, b: Point) -> float:
    return math.dist(a, b) / max(step.size)


def scale_box(box: Box, factor: float = 1.2) -> Box:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = (box[2] - box[0]) * factor / 2, (box[3] - box[1]) * factor / 2
    return x - width, y - height, x + width, y + height


def inside(point: Point, box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


# ---- a result


def result(
    name: str,
    protocol: str,
    dataset: Dataset,
    steps: Sequence[RecordedMobileStep],
    word: MatchRule,
    said: Mapping[str, Prediction],
    *,
    splits: Mapping[str, Callable[[RecordedMobileStep], bool]] | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """The score of steps under one rule, by action and by split, with the baselines that see nothing."""
    verdicts: list[SampleScore] = []
    types: list[bool] = []
    for step in steps:
        one = parse_prediction(said[step.id]) if step.id in said else None
        type_right, right = word(step, one) if one else (False, False)
        outcome: Outcome = "correct" if right else "wrong"
        if one is None:
            outcome = "wrong_format" if step.id in said else "missing"
        verdicts.append(SampleScore(step.id, outcome, step.episode, float(right)))
        types.append(type_right)
    rights = [one.outcome == "correct" for one in verdicts]
    per_action = _per_action(steps, types, rights)
    outside = len(set(said) - {step.id for step in steps})
    if outside:
        notes = (*notes, f"{outside:,} predictions are for steps that this protocol does not judge")
    return Result(
        name,
        protocol,
        dataset.revision,
        tuple(verdicts),
        {
            "type": _part(types),
            "grounding": _grounding(steps, types, rights, conditional=False),
            "grounding_conditional": _grounding(steps, types, rights, conditional=True),
            "step_success": _part(rights),
            "episode_success": trajectory.episode_accuracy(verdicts, [step.episode for step in steps]),
        },
        {
            "micro (step success over steps)": count(verdicts)["accuracy"],
            f"macro (step success over {len(per_action)} kinds of action)": mean(
                one["accuracy"] for one in per_action.values()
            ),
        },
        "episode",
        cells={
            **{f"action {name}": held for name, held in per_action.items()},
            **{
                f"split {split}": _part([right for right, step in zip(rights, steps, strict=True) if chosen(step)])
                for split, chosen in (splits or {}).items()
            },
        },
        baselines=baselines(steps, word),
        notes=(*dataset.notes, *notes),
    )


def baselines(steps: Sequence[RecordedMobileStep], word: MatchRule) -> dict[str, Any]:
    """Two policies that see nothing: always click the middle, and always do the commonest recorded action."""
    found: dict[str, Any] = {}
    often = Counter(step.deed for step in steps if step.deed.point is None)
    commonest = often.most_common(1)[0][0] if often else MobileAction("click")
    told = " ".join(word for word in (commonest.verb, commonest.side, commonest.text, commonest.button) if word)
    policies: dict[str, Callable[[RecordedMobileStep], MobileAction]] = {
        "centre click": lambda step: MobileAction("click", point=(step.size[0] / 2, step.size[1] / 2)),
        f"commonest action ({told})": lambda step: commonest,
    }
    for name, policy in policies.items():
        words = [word(step, policy(step)) for step in steps]
        types, rights = [one for one, _ in words], [one for _, one in words]
        found[name] = {
            "type": _part(types),
            "grounding": _grounding(steps, types, rights, conditional=False),
            "step_success": _part(rights),
        }
    return found


def _grounding(
    steps: Sequence[RecordedMobileStep], types: Sequence[bool], rights: Sequence[bool], conditional: bool
) -> dict[str, Any]:
    """Clicks that hit, of all click steps, or of those on which a click was said."""
    judged = zip(steps, types, rights, strict=True)
    return _part([right for step, typed, right in judged if step.deed.verb == "click" and (typed or not conditional)])


def _per_action(
    steps: Sequence[RecordedMobileStep], types: Sequence[bool], rights: Sequence[bool]
) -> dict[str, dict[str, Any]]:
    held: dict[str, list[tuple[bool, bool]]] = {}
    for step, typed, right in zip(steps, types, rights, strict=True):
        held.setdefault(step.deed.verb, []).append((typed, right))
    return {
        name: {**_part([right for _, right in group]), "type": ratio(sum(typed for typed, _ in group), len(group))}
        for name, group in held.items()
    }


def _part(rights: Sequence[bool]) -> dict[str, Any]:
    return {"correct": sum(rights), "total": len(rights), "accuracy": ratio(sum(rights), len(rights))}
