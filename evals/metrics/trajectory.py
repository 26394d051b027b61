"""Metrics of recorded episodes: predicted actions, scroll directions and episode accuracy.

Each step is scored on the recorded screen whatever was predicted on the steps before (teacher forcing). Scroll
directions name the side whose content comes into view: Scroll(down=1) shows what is further down, and a Drag moves the
content with the finger.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from actions import Action, Drag, InvalidActionError, Scroll, parse_action
from evals.stats import mean, ratio
from evals.types import Prediction, SampleScore

OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


def parse_actions(prediction: Prediction) -> list[Action] | None:
    """Return a prediction's actions, or None when there are none or one does not fit the schema.

    Recordings and other harnesses have points with fractions of a pixel; they are rounded down to the pixel that
    contains them.
    """
    items = prediction.get("actions")
    if not isinstance(items, list) or not items:
        return None
    try:
        return [parse_action(_floor_points(item)) for item in items]
    except InvalidActionError:
        return None


def _floor_points(action: object) -> object:
    """Return the action with finite fractions in x, y and path rounded down."""
    if not isinstance(action, dict):
        return action
    path = action.get("path")
    points: dict[str, object] = {key: _floor(action[key]) for key in ("x", "y") if key in action}
    if isinstance(path, list):
        points["path"] = [[_floor(side) for side in point] if isinstance(point, list) else point for point in path]
    return {**action, **points}


def _floor(side: object) -> object:
    return math.floor(side) if isinstance(side, float) and math.isfinite(side) else side


def scroll_direction(action: Scroll | Drag) -> str | None:
    """Return the side whose content comes into view: up, down, left or right; None for a gesture of no length."""
    if isinstance(action, Scroll):
        right, down = action.right, action.down
    else:  # the content follows the finger
        first, last = action.path[0], action.path[-1]
        right, down = first.x - last.x, first.y - last.y
    if right == down == 0:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


def episode_accuracy(scores: Sequence[SampleScore], episodes: Sequence[str]) -> dict[str, float]:
    """Return the fraction of episodes with every step correct.

    "progress" is the mean fraction of an episode's steps before its first wrong one.

    Args:
        scores: The score of each step, in order.
        episodes: The episode of each step.
    """
    flags_by_episode: dict[str, list[bool]] = defaultdict(list)
    for sample, episode in zip(scores, episodes, strict=True):
        flags_by_episode[episode].append(sample.outcome == "correct")
    solved = sum(all(flags) for flags in flags_by_episode.values())
    return {
        "correct": solved,
        "total": len(flags_by_episode),
        "accuracy": ratio(solved, len(flags_by_episode)),
        "progress": mean(
            (flags.index(False) if False in flags else len(flags)) / len(flags) for flags in flags_by_episode.values()
        ),
    }
