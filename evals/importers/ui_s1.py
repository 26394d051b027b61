"""UI-S1's episodes: JSON lines {"goal", "steps": [{"screenshot", "action_content": {"action", ...}}]}.

Source: X-PLUG/MobileAgent, UI-S1 (11cea57), evaluation/dataset/*.jsonl for the file, x/data/agent/space/std_space.py
for the actions, read. A step's id comes from its picture, EPISODE_STEP.png; points are pixels of the original picture.
What its scripts print, {"goal", "task_success", "final_step_id"}, holds no action: nothing can be scored from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from actions.types import MAX_WAIT_S
from evals.importers.base import file_name, pixels
from evals.scoring import Dataset

EPISODES = True
BUTTONS: dict[str, dict[str, Any]] = {
    "back": {"verb": "back"},
    "home": {"verb": "home"},
    "enter": {"verb": "press", "keys": ["enter"]},
    "menu": {"verb": "press", "keys": ["menu"]},
}


def space(benchmark: str) -> str:
    return "pixels"


def recognises(content: Any) -> bool:
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and "goal" in first and ("final_step_id" in first or _has_actions(first))


def _has_actions(episode: Mapping[str, Any]) -> bool:
    steps = episode.get("steps")
    return isinstance(steps, list) and bool(steps) and isinstance(steps[0], dict) and "action_content" in steps[0]


def read(content: Any, dataset: Dataset, path: Path, space: str) -> list[dict[str, Any]]:
    episodes = content if isinstance(content, list) else [content]
    if not recognises(content):
        raise UsageError(f"{path} holds no episodes of UI-S1: they have a goal, and steps with action_content")
    by_picture = {file_name(task.picture): task for task in (*dataset.tasks, *dataset.more)}
    lines = []
    for number, episode in enumerate(episodes, 1):
        if not isinstance(episode, dict) or not _has_actions(episode):
            raise UsageError(
                f"{path}, entry {number}: a result of UI-S1's script holds no action, only where an episode failed; "
                "give the episodes with their steps' action_content"
            )
        for step in episode["steps"]:
            if not isinstance(step, dict):
                raise UsageError(f"{path}, entry {number}: a step is no object ({str(step)[:40]!r})")
            picture = file_name(str(step.get("screenshot")))
            task = by_picture.get(picture)
            if task is None:
                raise UsageError(f"{path}, entry {number}: no step of this benchmark has the picture '{picture}'")
            given = step.get("action_content")
            action = _action(given, task, dataset, space) if isinstance(given, dict) else None
            said = json.dumps(given, ensure_ascii=False)
            lines.append({"id": task.id, "actions": [action] if action else [], "reply": said})
    return lines


def _action(given: Mapping[str, Any], task: Any, dataset: Dataset, space: str) -> dict[str, Any] | None:
    """Ours; None where an argument is missing or no such action is known: it cannot be read then."""
    try:
        kind = str(given["action"])
        if kind in ("click", "long_press"):
            x, y = _pixel(given["coordinate"], task, dataset, space)
            return {"verb": kind, "x": x, "y": y}
        if kind == "swipe":
            ends = [_pixel(given[key], task, dataset, space) for key in ("coordinate", "coordinate2")]
            return {"verb": "drag", "path": ends}
        if kind == "type":
            return {"verb": "type", "text": str(given["text"])}
        if kind == "open":
            return {"verb": "open", "target": str(given["text"])}
        if kind == "answer":
            return {"verb": "answer", "text": str(given["text"])}
        if kind == "system_button":
            return BUTTONS[str(given["button"]).lower().strip()]
        if kind == "wait":
            return {"verb": "wait", "seconds": min(MAX_WAIT_S, max(0.0, float(given.get("time", 1))))}
        if kind == "terminate":
            return {"verb": "done", "status": "failure" if given.get("status") == "failure" else "success"}
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return None


def _pixel(given: Any, task: Any, dataset: Dataset, space: str) -> list[int]:
    """The pixel that the point lies on."""
    x, y = (float(one) for one in given)
    return [math.floor(one) for one in pixels(task, dataset, (x, y), space)]
