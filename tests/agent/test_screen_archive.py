"""The memory of a long run is bounded, and its older screenshots stay available."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import ButtonSurface, FakeEnv

from actions import Action, Screen, SurfaceError, make_action
from agent.config import Settings
from agent.loop import Episode, run
from agent.mcp.session import McpSession
from agent.policies.scripted import ScriptPolicy
from agent.screen_archive import RECENT_STEPS
from agent.trace import Trace, TraceWriter

FIRST, STEPS = 20, 40
MAX_GROWTH = 50 * 2**20  # bytes, of 1,000 steps at 1920 x 1080


class FullHdSurface(ButtonSurface):
    """A screen of 1920 x 1080 on which every action changes every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = np.zeros((1080, 1920, 3), np.uint8)

    def perform(self, action: Action) -> str:
        self.performed.append(action)
        self.pixels[:] = len(self.performed) % 256
        self.pixels[::8, :, 1] = np.arange(1920) // 8 % 256
        return ""


class FullHdEnv(FakeEnv):
    """A FakeEnv on a FullHdSurface, without a task."""

    def __init__(self) -> None:
        super().__init__(task=False)
        self.surface = FullHdSurface()


def typing_script(count: int) -> ScriptPolicy:
    return ScriptPolicy([json.dumps({"verb": "type", "text": str(number)}) for number in range(count)])


def run_typing(env: FakeEnv, count: int, writer: TraceWriter | None = None, **options: Any) -> Episode:
    return run("type", env, typing_script(count), max_steps=count, trace=writer, **options)


def make_writer(folder: Path) -> TraceWriter:
    folder.mkdir()
    return TraceWriter(folder, {"goal": "type", "policy": {}, "surface": "fake"})


@pytest.mark.parametrize("has_trace", [True, False])
def test_long_run_memory_is_bounded(has_trace: bool, tmp_path: Path) -> None:
    used: dict[int, int] = {}

    def measure(event: Mapping[str, Any]) -> None:
        if event["event"] == "act.result" and event["step"] in (FIRST, STEPS):
            gc.collect()
            used[event["step"]] = tracemalloc.get_traced_memory()[0]

    writer = make_writer(tmp_path / "run") if has_trace else None
    tracemalloc.start()
    try:
        episode = run_typing(FullHdEnv(), STEPS, writer, on_event=measure)
    finally:
        tracemalloc.stop()
    growth = (used[STEPS] - used[FIRST]) / (STEPS - FIRST) * 1000
    assert growth < MAX_GROWTH
    assert len(episode.steps) == STEPS


@pytest.mark.parametrize("has_trace", [True, False])
def test_old_screenshots_are_loaded_on_access(has_trace: bool, tmp_path: Path) -> None:
    captured: list[Screen] = []

    def collect(event: Mapping[str, Any]) -> None:
        if event["event"] == "reply":
            captured.append(Screen(event["screen"].pixels.copy(), event["screen"].timestamp))

    writer = make_writer(tmp_path / "run") if has_trace else None
    steps = run_typing(FakeEnv(task=False), 12, writer, on_event=collect).steps
    assert [step.screen.is_offloaded for step in steps] == [True] * (12 - RECENT_STEPS) + [False] * RECENT_STEPS
    for step, screen in zip(steps, captured, strict=True):
        assert np.array_equal(step.screen.pixels, screen.pixels)
        assert not step.screen.pixels.flags.writeable
        assert step.screen.digest == screen.digest
        assert step.screen.timestamp == screen.timestamp
        assert (step.screen.width, step.screen.height) == (screen.width, screen.height)


def test_temporary_screenshots_are_deleted_with_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    episode = run_typing(FakeEnv(task=False), 10)
    assert len(list(tmp_path.glob("*/*.png"))) == 10 - RECENT_STEPS
    screen = episode.steps[0].screen
    del episode
    gc.collect()
    assert screen.pixels.shape == (364, 280, 3)
    del screen
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_offloaded_screen_is_copied_with_pixels() -> None:
    screen = run_typing(FakeEnv(task=False), 10).steps[0].screen
    assert screen.is_offloaded
    for duplicate in (copy.deepcopy(screen), pickle.loads(pickle.dumps(screen))):
        assert not duplicate.is_offloaded
        assert duplicate.digest == screen.digest
        assert duplicate.timestamp == screen.timestamp


def test_full_disk_keeps_screenshots_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> bytes:
        raise OSError("the disk is full")

    monkeypatch.setattr("agent.screen_archive.encode_png", fail)
    steps = run_typing(FakeEnv(task=False), 10).steps
    assert not any(step.screen.is_offloaded for step in steps)


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_lost_screenshot_raises_surface_error(change: str, tmp_path: Path) -> None:
    writer = make_writer(tmp_path / "run")
    screen = run_typing(FakeEnv(task=False), 10, writer).steps[0].screen
    path = writer.frame_path(screen)
    assert path is not None
    if change == "removed":
        path.unlink()
    else:
        Screen(np.zeros((4, 4, 3), np.uint8)).save(path)
    with pytest.raises(SurfaceError, match=path.name):
        _ = screen.pixels


def test_steps_of_trace_do_not_keep_pixels(tmp_path: Path) -> None:
    run_typing(FullHdEnv(), 30, make_writer(tmp_path / "run"))
    tracemalloc.start()
    try:
        steps = Trace.open(tmp_path / "run").steps()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(steps) == 30
    assert used < 2 * steps[0].screen.pixels.nbytes


def test_mcp_actions_do_not_keep_pixels(tmp_path: Path) -> None:
    settings = Settings(surface="browser", url="http://127.0.0.1/", approve="never", runs=str(tmp_path))
    session = McpSession(settings, open_env=lambda settings, guard: FullHdEnv())
    used: list[int] = []
    session.screenshot()
    tracemalloc.start()
    try:
        for number in range(FIRST, STEPS):
            session.act(make_action("type", text=str(number)))
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        session.close()
    growth = (used[-1] - used[FIRST // 2]) / (len(used) - FIRST // 2) * 1000
    assert growth < MAX_GROWTH
