"""The process of a run of 1,000 steps on a real screen of 1920 x 1080 pixels grows by less than 50 MB."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.desktop_programs import require_programs, require_window_manager

from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.trace import TraceWriter
from envs.live import LiveEnv
from envs.surfaces.desktop import Surface

STEPS, FIRST, EVERY = 1000, 20, 20  # steps; the first measurement; steps between two of them
MAX_GROWTH = 50e6  # bytes


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_thousand_steps_grow_little(tmp_path: Path, record_property: Any) -> None:
    require_programs("Xvfb", "mousepad")
    require_window_manager()
    process, used = psutil.Process(), {}

    def measure(event: Mapping[str, Any]) -> None:
        if event["event"] == "act.result" and event["step"] % EVERY == 0:
            gc.collect()
            used[event["step"]] = process.memory_info().rss

    replies = [json.dumps({"verb": "press", "keys": [chr(ord("a") + number % 26)]}) for number in range(STEPS)]
    folder = tmp_path / "run"
    folder.mkdir()
    writer = TraceWriter(folder, {"goal": "type", "policy": {}, "surface": "desktop:virtual"})
    with Surface("virtual", program="mousepad --disable-server", width=1920, height=1080) as surface:
        episode = run("type", LiveEnv(surface), ScriptPolicy(replies), max_steps=STEPS, trace=writer, on_event=measure)
    growth = max(used.values()) - used[FIRST]
    record_property("growth_mb", round(growth / 1e6, 1))
    print(f"grew by {growth / 1e6:.1f} MB over {len(episode.steps)} steps, from {used[FIRST] / 1e6:.0f} MB")
    assert len(episode.steps) == STEPS
    assert growth < MAX_GROWTH
