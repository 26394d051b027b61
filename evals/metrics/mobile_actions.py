"""A common vocabulary for recorded and predicted actions on phones.

The first action of a prediction is scored. Directions name the side whose content comes into view.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actions import Action, Answer, Back, Click, Done, Drag, Home, LongPress, Open, PressKeys, Scroll, TypeText, Wait
from evals.metrics import trajectory
from evals.metrics.geometry import Box, Point, box_polygon
from evals.types import Prediction, Reference

VERBS = frozenset({"click", "long_press", "drag", "scroll", "type", "press", "open", "back", "home", "wait"})


@dataclass(frozen=True)
class MobileAction:
    """An action on a phone, recorded or predicted."""

    verb: str  # click, long_press, swipe, type, open, wait, press, stop or other
    point: Point | None = None  # pixels of the original image
    text: str = ""  # of type; the app's name, of open; "failure" of a stop where the task is impossible
    direction: str | None = None  # of a swipe: the side whose content comes into view
    button: str = ""  # of press: back, home, enter, recents
    path: tuple[Point, Point] | None = None  # of a swipe: where the finger went down and up, where that is known


@dataclass(frozen=True)
class RecordedMobileStep:
    """One recorded step of an episode on a phone."""

    id: str
    episode: str
    index: int
    goal: str
    instruction: str
    image: str  # file name below images/
    size: tuple[int, int]  # width, height in pixels
    action: MobileAction
    boxes: tuple[Box, ...] = ()  # pixels; elements that contain the recorded point, or of an opening the app's icon


Match = tuple[bool, bool]  # (the action's type is correct, the whole action is correct)
MatchRule = Callable[[RecordedMobileStep, MobileAction], Match]


def parse_prediction(prediction: Prediction) -> MobileAction | None:
    """Return the first action of a prediction, or None when the prediction cannot be parsed."""
    actions = trajectory.parse_actions(prediction)
    return None if actions is None else to_mobile_action(actions[0])


def to_mobile_action(action: Action) -> MobileAction:
    """Return an action in the vocabulary of phones; "other" where it has no word for it."""
    match action:
        case Click(x=x, y=y, button="left", count=1):
            return MobileAction("click", point=(x, y))
        case LongPress(x=x, y=y):
            return MobileAction("long_press", point=(x, y))
        case Scroll():
            return MobileAction("swipe", direction=trajectory.scroll_direction(action))
        case Drag(path=path):
            ends = ((path[0].x, path[0].y), (path[-1].x, path[-1].y))
            return MobileAction("swipe", direction=trajectory.scroll_direction(action), path=ends)
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


def action_type(action: MobileAction) -> str:
    """Return the action's type where each button and each ending is a type of its own."""
    return " ".join((action.verb, action.button, action.text if action.verb == "stop" else "")).strip()


def oracle(step: RecordedMobileStep) -> Prediction:
    """Return the recorded action as a prediction."""
    recorded = step.action
    x, y = (round(side) for side in recorded.point or (0, 0))
    if recorded.verb in ("click", "long_press"):
        action: dict[str, Any] = {"verb": recorded.verb, "x": x, "y": y}
    elif recorded.verb == "swipe":
        amounts = {"down": {"down": 5}, "up": {"down": -5}, "right": {"right": 5}}
        action = {"verb": "scroll", **amounts.get(str(recorded.direction), {"right": -5})}
    elif recorded.verb == "type":
        action = {"verb": "type", "text": recorded.text}
    elif recorded.verb == "open":
        action = {"verb": "open", "target": recorded.text}
    else:
        action = {"verb": {"wait": "wait", "stop": "done"}.get(recorded.verb, recorded.button)}
        if recorded.button == "enter":
            action = {"verb": "press", "keys": ["enter"]}
        if recorded.text == "failure":
            action["status"] = "failure"
    return {"id": step.id, "actions": [action], "reply": "as recorded"}


def reference(step: RecordedMobileStep, size: tuple[int, int]) -> Reference:
    """Return the candidate boxes and a description of the recorded action."""
    recorded = step.action
    words = (
        recorded.verb,
        recorded.direction or "",
        recorded.button,
        repr(recorded.text) if recorded.text else "",
    )
    return Reference(tuple(box_polygon(box) for box in step.boxes), " ".join(word for word in words if word))


def normalized_distance(step: RecordedMobileStep, a: Point, b: Point) -> float:
    """Return the distance between two points, each axis divided by the screen's length along it."""
    width, height = step.size
    return math.hypot((a[0] - b[0]) / width, (a[1] - b[1]) / height)


def distance_by_longer_side(step: RecordedMobileStep, a: Point, b: Point) -> float:
    """Return the distance between two points divided by the screen's longer side."""
    return math.dist(a, b) / max(step.size)
