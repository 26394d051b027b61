"""RunStatus: what `agent stop` prints about a running run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.ui.formatting import describe_action


class RunStatus:
    """Follows the events of a run.

    Args:
        folder: The run's folder.
        goal: The task.
    """

    def __init__(self, folder: Path, goal: str) -> None:
        self._folder, self._goal = folder, goal
        self._state, self._steps, self._last_action = "starting", 0, ""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Follow one event of the loop."""
        match event["event"]:
            case "start":
                self._state, self._goal = "running", event["goal"]
            case "act.result":
                self._steps = event["step"]
                self._last_action = describe_action(event["action"]) if event["action"] is not None else ""
            case "end":
                self._state = "ending"

    def as_dict(self) -> dict[str, object]:
        """Return the state as JSON data. Thread-safe: each value is replaced as a whole."""
        return {
            "run": self._folder.name,
            "folder": str(self._folder),
            "pid": os.getpid(),
            "state": self._state,
            "goal": self._goal[:500],
            "steps": self._steps,
            "last_action": self._last_action[:500],
        }
