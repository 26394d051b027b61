"""What recorded episodes share: a step, one prediction of actions, success of whole episodes. Knows no benchmark.

A step is judged on the recorded screen whatever was said on the steps before (teacher forcing). Our schema says what
happens to the content: Scroll(down=1) shows what is further down, Drag moves a finger and shows the opposite side.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actions import Drag, InvalidActionError, Scroll, UsageError, parse_action
from evals.scoring import SampleScore, mean, ratio

OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


def parse_actions(said: dict[str, Any]) -> list[Any] | None:
    """A prediction's actions as our verbs; None when there are none or one does not fit the schema.

    Points may be fractions of pixels here, as the recorded ones and other harnesses' are: the pixel they lie on counts.
    """
    held = said.get("actions")
    if not isinstance(held, list) or not held:
        return None
    try:
        return [parse_action(_on_pixels(one)) for one in held]
    except InvalidActionError:
        return None


def _on_pixels(action: Any) -> Any:
    """x, y and path with whole numbers in place of finite fractions; everything else as it is."""
    if not isinstance(action, dict):
        return action
    path = action.get("path")
    whole = {key: _whole(action[key]) for key in ("x", "y") if key in action}
    if isinstance(path, list):
        whole["path"] = [[_whole(side) for side in point] if isinstance(point, list) else point for point in path]
    return {**action, **whole}


def _whole(side: Any) -> Any:
    return math.floor(side) if isinstance(side, float) and math.isfinite(side) else side


def scroll_direction(action: Scroll | Drag) -> str | None:
    """Which side's content comes into view: up, down, left, right; None for a gesture that goes nowhere."""
    if isinstance(action, Scroll):
        right, down = action.right, action.down
    else:  # the finger pulls the content along
        first, last = action.path[0], action.path[-1]
        right, down = first.x - last.x, first.y - last.y
    if right == down == 0:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


def episode_accuracy(verdicts: Sequence[SampleScore], episodes: Sequence[str]) -> dict[str, Any]:
    """Episodes of which every judged step is right, and progress: the mean share of steps before the first mistake."""
    held: dict[str, list[bool]] = defaultdict(list)
    for verdict, episode in zip(verdicts, episodes, strict=True):
        held[episode].append(verdict.outcome == "correct")
    done = sum(all(steps) for steps in held.values())
    return {
        "correct": done,
        "total": len(held),
        "accuracy": ratio(done, len(held)),
        "progress": mean(
            (steps.index(False) if False in steps else len(steps)) / len(steps) for steps in held.values()
        ),
    }


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its head alone. UsageError when it is not there or is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.size
    except FileNotFoundError:
        raise UsageError(f"the picture {path} is missing; its size is needed to score clicks in its pixels") from None
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"{path} is no picture: {error}") from None
