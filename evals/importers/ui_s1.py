"""UI-S1's episodes: JSON lines {"goal", "steps": [{"screenshot", "action_content": {"action", ...}}]}.

Source: X-PLUG/MobileAgent, UI-S1 (11cea57), evaluation/dataset/*.jsonl for the file, x/data/agent/space/std_space.py
for the actions. A step is matched by its image, EPISODE_STEP.png; points are pixels of the original image. The output
of its scripts, {"goal", "task_success", "final_step_id"}, holds no actions and cannot be scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from actions.types import MAX_WAIT_S
from evals.files import JsonValue
from evals.importers.base import file_name, to_pixels
from evals.types import Dataset, Prediction

HAS_EPISODES = True
BUTTONS: dict[str, dict[str, Any]] = {
    "back": {"verb": "back"},
    "home": {"verb": "home"},
    "enter": {"verb": "press", "keys": ["enter"]},
    "menu": {"verb": "press", "keys": ["menu"]},
}


def coordinate_space(benchmark: str) -> str:
    """Return the space of the points."""
    return "pixels"


def can_read(content: JsonValue) -> bool:
    """Return whether the content is UI-S1's, episodes or script output."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and "goal" in first and ("final_step_id" in first or _has_actions(first))


def _has_actions(episode: Mapping[str, Any]) -> bool:
    steps = episode.get("steps")
    return isinstance(steps, list) and bool(steps) and isinstance(steps[0], dict) and "action_content" in steps[0]


def read_entries(content: JsonValue, dataset: Dataset, path: Path, space: str) -> list[Prediction]:
    """Return the prediction of each step."""
    episodes = content if isinstance(content, list) else [content]
    if not can_read(content):
        raise UsageError(f"{path} is not in UI-S1's format: no episodes with a goal and steps with action_content")
    tasks = {file_name(task.image): task for task in (*dataset.tasks, *dataset.extra_tasks)}
    lines = []
    for number, episode in enumerate(episodes, 1):
        if not isinstance(episode, dict) or not _has_actions(episode):
            raise UsageError(
                f"{path}, entry {number}: the output of UI-S1's script holds no actions, only where an episode failed; "
                "provide the episodes with their steps' action_content"
            )
        for step in episode["steps"]:
            if not isinstance(step, dict):
                raise UsageError(f"{path}, entry {number}: a step is not an object ({str(step)[:40]!r})")
            image = file_name(str(step.get("screenshot")))
            task = tasks.get(image)
            if task is None:
                raise UsageError(f"{path}, entry {number}: no step of this benchmark has the image '{image}'")
            action_content = step.get("action_content")
            action = _convert_action(action_content, task, dataset, space) if isinstance(action_content, dict) else None
            reply = json.dumps(action_content, ensure_ascii=False)
            lines.append({"id": task.id, "actions": [action] if action else [], "reply": reply})
    return lines


def _convert_action(content: Mapping[str, Any], task: Any, dataset: Dataset, space: str) -> dict[str, Any] | None:
    """Return the action in this project's schema, or None where it is unknown or an argument is missing."""
    try:
        kind = str(content["action"])
        if kind in ("click", "long_press"):
            x, y = _to_pixel(content["coordinate"], task, dataset, space)
            return {"verb": kind, "x": x, "y": y}
        if kind == "swipe":
            path = [_to_pixel(content[key], task, dataset, space) for key in ("coordinate", "coordinate2")]
            return {"verb": "drag", "path": path}
        if kind == "type":
            return {"verb": "type", "text": str(content["text"])}
        if kind == "open":
            return {"verb": "open", "target": str(content["text"])}
        if kind == "answer":
            return {"verb": "answer", "text": str(content["text"])}
        if kind == "system_button":
            return BUTTONS[str(content["button"]).lower().strip()]
        if kind == "wait":
            return {"verb": "wait", "seconds": min(MAX_WAIT_S, max(0.0, float(content.get("time", 1))))}
        if kind == "terminate":
            return {"verb": "done", "status": "failure" if content.get("status") == "failure" else "success"}
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return None


def _to_pixel(point: Any, task: Any, dataset: Dataset, space: str) -> list[int]:
    """Return the pixel that contains the point."""
    x, y = (float(side) for side in point)
    return [math.floor(side) for side in to_pixels(task, dataset, (x, y), space)]
