"""Helpers for tests of the `agent` command; the fixture `agent` is in tests/agent/conftest.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.trace import list_runs

Agent = Callable[..., tuple[int, str, str]]  # (*arguments) -> (exit code, standard output, standard error)
PRACTICE = ("--url", "practice:click-test")


def actions(*replies: str) -> list[Any]:
    """Return replies of the JSON dialect as objects, for a script."""
    return [json.loads(reply) for reply in replies]


def last_run(tmp_path: Path) -> Path:
    """Return the folder of the latest run."""
    return tmp_path / "runs" / list_runs(tmp_path / "runs")[-1]
