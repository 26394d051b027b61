"""Tests of programs of what a person did: targets, hidden texts, stopped demonstrations, older traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import FakeEnv
from helpers.viewer_page import MessageDisplay

from actions import UsageError, parse_action
from actions.targets import ScreenTarget
from agent.demonstration import ActionCounter, DemonstrationPolicy
from agent.loop import run
from agent.replay.policy import ReplayPolicy
from agent.replay.recording import PERSON, compile_trace
from agent.run_control import RunControl
from agent.safety.redaction import MASK
from agent.trace import Trace, TraceWriter, new_folder, read_trace

PRESS = {"verb": "click", "x": 120, "y": 110}
TYPE = {"verb": "type", "text": "vina"}
OUTSIDE = {"verb": "click", "x": 5000, "y": 1}
NAMES = 'press it and type "vina"'


class LabeledEnv(FakeEnv):
    """A fake environment whose surface tells its button and a field that holds what was typed."""

    def __init__(self) -> None:
        super().__init__(task=False)
        surface: Any = self.surface
        surface.targets = self.targets

    def targets(self) -> tuple[ScreenTarget, ...]:
        typed = "".join(action.text for action in self.surface.performed if action.verb == "type")
        button = ScreenTarget("button", "OK", "", "", (100, 100, 40, 30))
        return button, ScreenTarget("textbox", "Name", "text", typed, (10, 300, 100, 20))


class HidingGuard:
    """A guard that hides what the person types from the trace."""

    def __call__(self, action: Any, screen: Any) -> None:
        """Allow every action."""

    admit = __call__

    def recordable(self, action: Any) -> Any:
        return action.model_copy(update={"text": MASK}) if action.verb == "type" else action

    def add_wait(self, seconds: float) -> None:
        """Count nothing."""


def demonstrate(tmp_path: Path, env: FakeEnv, *actions: dict[str, Any]) -> Trace:
    """Return the trace of a person's actions."""
    control = RunControl()
    control.take_over()
    for action in actions:
        control.act(parse_action(action))
    control.hand_back()
    manifest = {"goal": NAMES, "surface": "fake", "url": "", "policy": {"model": PERSON}}
    writer = TraceWriter(new_folder(tmp_path), manifest)
    counter = ActionCounter(MessageDisplay())
    policy = DemonstrationPolicy(counter)
    run(NAMES, env, policy, max_steps=3, trace=writer, on_event=counter, control=control)
    writer.close()
    return read_trace(writer.folder)


def with_events(trace: Trace, *events: dict[str, Any]) -> Trace:
    """Return the trace with other events."""
    return Trace(trace.folder, trace.manifest, tuple(events))


def test_actions_of_person_are_replayed(tmp_path: Path) -> None:
    program = compile_trace(demonstrate(tmp_path, LabeledEnv(), OUTSIDE, PRESS, TYPE))
    assert [step.verb for step in program.steps] == ["click", "type"]
    anchor = program.steps[0].anchors[0]
    assert (anchor.role, anchor.label) == ("button", "OK")
    assert anchor.crop
    assert program.steps[1].holds == ("${value1}",)
    env = LabeledEnv()
    policy = ReplayPolicy(program, {})
    policy.attach(env.surface)
    episode = run('press it and type "zoe"', env, policy, max_steps=20)
    assert episode.status == "success", episode.message
    assert [action.text for action in env.surface.performed if action.verb == "type"] == ["zoe"]


def test_hidden_text_of_person_is_parameter(tmp_path: Path) -> None:
    env = LabeledEnv()
    env.guard = HidingGuard()
    trace = demonstrate(tmp_path, env, PRESS, TYPE)
    assert [item.kind for item in compile_trace(trace).parameters] == ["hidden"]
    acts = [event for event in trace.events if event["event"] == "person.act"]
    assert "filled" in acts[0]
    assert "filled" not in acts[1]


def test_screens_around_action_are_checked(tmp_path: Path) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), PRESS)
    (act,) = [event for event in trace.events if event["event"] == "person.act"]
    assert act["before"] != act["screen"]
    (trace.folder / "frames" / f"{act['before']}.png").unlink()
    with pytest.raises(UsageError, match="screenshot"):
        trace.screen(act["before"])


@pytest.mark.parametrize("cause", ["interrupted", "signal"])
def test_stopped_demonstration_is_replayed(tmp_path: Path, cause: str) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), PRESS)
    events = [event for event in trace.events if event["event"] in ("start", "person.begin", "person.act")]
    stopped = with_events(trace, *map(dict, events), {"event": "end", "status": "stopped", "cause": cause})
    assert len(compile_trace(stopped).steps) == 1
    denied = with_events(trace, *map(dict, events), {"event": "end", "status": "stopped", "cause": "denied"})
    with pytest.raises(UsageError, match="stopped"):
        compile_trace(denied)


def test_older_trace_of_person_is_refused(tmp_path: Path) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), PRESS)
    added = {"before", "screen", "targets", "appeared", "filled"}
    events = [
        {key: value for key, value in event.items() if event["event"] != "person.act" or key not in added}
        for event in trace.events
    ]
    with pytest.raises(UsageError, match="earlier version"):
        compile_trace(with_events(trace, *events))


OWN_HANDS: Any = {"event": "approval", "step": 1, "answer": "taken over"}
MOVED: Any = {"event": "paused", "step": 1, "why": "the user moved the mouse"}


@pytest.mark.parametrize("before", [[OWN_HANDS], [MOVED]])
def test_unrecorded_acts_of_person_are_refused(tmp_path: Path, before: list[Any]) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), PRESS)
    start, *rest = map(dict, trace.events)
    acts = [event for event in rest if not event["event"].startswith("person.")]
    with pytest.raises(UsageError, match="outside the viewer"):
        compile_trace(with_events(trace, start, *before, *acts))


def test_take_over_in_viewer_is_replayed(tmp_path: Path) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), PRESS)
    start, *rest = map(dict, trace.events)
    assert len(compile_trace(with_events(trace, start, OWN_HANDS, *rest)).steps) == 1


@pytest.mark.parametrize("actions", [(), (OUTSIDE,), ({"verb": "wait", "seconds": 0.1},)])
def test_empty_demonstration_is_failure(tmp_path: Path, actions: tuple[dict[str, Any], ...]) -> None:
    trace = demonstrate(tmp_path, LabeledEnv(), *actions)
    assert trace.status == "failure"
    assert "nothing was done" in str(trace.first("end")["message"])
    with pytest.raises(UsageError, match="failure"):
        compile_trace(trace)
