"""What a person asks of a run between two steps, without a viewer: notes, pauses, actions, and their trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from helpers.facts_surface import FactsSurface

from actions import ActionDeniedError, SurfaceError, parse_action
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.resume import load_resumption
from agent.run_control import RunControl
from agent.safety.guard import ActionGuard
from agent.safety.policy import load_safety_policy
from agent.trace import Trace, TraceWriter, new_folder, read_trace
from agent.ui.run_report import format_run

PRESS = parse_action({"verb": "click", "x": 120, "y": 110})
OUTSIDE = parse_action({"verb": "click", "x": 5000, "y": 1})


class WatchedScript(ScriptPolicy):
    """A script that calls a function before each reply."""

    def __init__(self, replies: Sequence[str], before: Callable[[int], None]) -> None:
        super().__init__(replies)
        self.before = before

    def decide(self, goal: str, steps: Sequence[Any], screen: Any, verbs: frozenset[str]) -> Any:
        self.before(len(steps))
        return super().decide(goal, steps, screen, verbs)


def run_with(
    tmp_path: Path, env: FakeEnv, replies: Sequence[str], before: Callable[[RunControl, int], None], max_steps: int = 9
) -> tuple[Any, Trace]:
    """Run a script; `before` is called with the control and the number of finished steps before each reply."""
    control, folder = RunControl(), new_folder(tmp_path)
    manifest = {"goal": "g", "surface": "fake", "url": "", "seed": None, "policy": {"model": "m", "fingerprint": "f"}}
    writer = TraceWriter(folder, manifest)
    policy = WatchedScript(replies, lambda count: before(control, count))
    episode = run("g", env, policy, max_steps=max_steps, trace=writer, control=control)
    writer.close()
    return episode, read_trace(folder)


def test_note_is_read_again_after_resume(tmp_path: Path) -> None:
    def before(control: RunControl, count: int) -> None:
        if count == 0:
            control.steer("the left one")

    episode, trace = run_with(tmp_path, FakeEnv(task=False), [MISS, MISS], before, max_steps=2)
    assert episode.steps[0].notice == "The person says: the left one"
    assert load_resumption(trace.folder).history[0].notice == "The person says: the left one"
    assert "the left one" in format_run(tmp_path, trace.folder.name)


def test_actions_of_person_are_theirs_in_trace(tmp_path: Path) -> None:
    def before(control: RunControl, count: int) -> None:
        if count == 0:
            control.take_over()
            control.act(OUTSIDE)
            control.act(PRESS)
            control.hand_back()

    env = FakeEnv(task=False)
    episode, trace = run_with(tmp_path, env, [MISS, DONE], before)
    acts = [event for event in trace.events if event["event"] == "person.act"]
    assert [bool(act["error"]) for act in acts] == [True, False]
    assert [step.action.verb for step in episode.steps] == ["click", "done"]
    assert "did 2 actions" in episode.steps[0].notice
    assert env.surface.clicked
    assert "person" in format_run(tmp_path, trace.folder.name)


def test_failing_machine_ends_turn_of_person(tmp_path: Path) -> None:
    env = FakeEnv(task=False)

    def before(control: RunControl, count: int) -> None:
        if count == 0:
            control.take_over()
            control.act(PRESS)
            env.surface.failure = ""

    def fail(action: Any) -> str:
        raise SurfaceError("the browser is gone")

    env.surface.perform = lambda action: fail(action) if action == PRESS else ""  # type: ignore[method-assign]
    episode, trace = run_with(tmp_path, env, [MISS, CLICK], before)
    assert (episode.status, episode.cause) == ("error", "machine")
    assert trace.events[-2]["event"] == "person.act"
    assert trace.events[-2]["error"] == "the browser is gone"


def guard_of(surface: Any, tmp_path: Path, preset: str) -> ActionGuard:
    return ActionGuard(load_safety_policy(preset, is_practice=False), surface, tmp_path, lambda event, **facts: None)


def test_denying_rule_holds_for_person(tmp_path: Path) -> None:
    surface = FakeEnv().surface
    guard = guard_of(surface, tmp_path, "read-only")
    with pytest.raises(ActionDeniedError, match="read-only"):
        guard.admit(PRESS, surface.capture())


def test_asking_rule_does_not_ask_person(tmp_path: Path) -> None:
    surface = FactsSurface()
    guard = guard_of(surface, tmp_path, "cautious")
    assert guard.admit(parse_action({"verb": "click", "x": 1, "y": 1}), surface.capture()) is None
