"""Tests of recording and replaying runs on a fake surface: halts, expectations, programs as files, a model's answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import BUTTON, CLICK, DONE, FakeEnv

from actions import Action, ActionDeniedError, Click, Screen, UsageError
from actions.targets import ScreenTarget
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.replay.policy import MAX_WAITS, ReplayPolicy
from agent.replay.program import Program, describe_changes, format_program, read_program, write_program
from agent.replay.recording import compile_trace
from agent.replay.session import parse_values
from agent.trace import TraceWriter, new_folder, read_trace

TYPE = '{"verb": "type", "text": "vina"}'
GOAL = 'press it and type "vina"'
X0, Y0, X1, Y1 = BUTTON


class TargetEnv(FakeEnv):
    """A fake environment whose surface tells its elements: the button, and a field that holds what was typed."""

    def __init__(self, label: str = "OK", **options: Any) -> None:
        super().__init__(**options)
        self.label, self.loses_text = label, False
        surface: Any = self.surface
        surface.targets = self.targets

    def targets(self) -> tuple[ScreenTarget, ...]:
        typed = "".join(action.text for action in self.surface.performed if action.verb == "type")
        content = "" if self.loses_text else typed
        return (
            ScreenTarget("button", self.label, "", "", (X0, Y0, X1 - X0, Y1 - Y0)),
            ScreenTarget("textbox", "Name", "text", content, (10, 300, 100, 20)),
        )


class NamingModel(ScriptPolicy):
    """A model that names one point for whatever is asked."""

    def __init__(self, x: int, y: int) -> None:
        super().__init__([DONE])
        self.click, self.asked_texts = Click(x=x, y=y), list[str]()

    def locate(self, text: str, screen: Screen) -> Click:
        self.asked_texts.append(text)
        return self.click


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Program]:
    """Return a function that records replies in an environment, and returns the program."""

    def call(env: FakeEnv, replies: Sequence[str], goal: str = GOAL) -> Program:
        writer = TraceWriter(new_folder(tmp_path), {"goal": goal, "surface": "fake", "url": ""})
        run(goal, env, ScriptPolicy(replies), max_steps=10, trace=writer)
        writer.close()
        return compile_trace(read_trace(writer.folder))

    return call


def replay(program: Program, env: FakeEnv, goal: str = GOAL, **options: Any) -> tuple[Episode, ReplayPolicy]:
    """Replay a program in an environment."""
    values = {item.name: item.recorded for item in program.parameters if not item.is_in_goal}
    policy = ReplayPolicy(program, values, **options)
    policy.attach(env.surface)
    return run(goal, env, policy, max_steps=30), policy


def performed(env: FakeEnv) -> list[tuple[object, ...]]:
    """Return verb and text or point of each action that reached the surface, without waits."""
    return [
        ("type", action.text) if action.verb == "type" else (action.verb, action.x, action.y)
        for action in env.surface.performed
        if action.verb != "wait"
    ]


def test_replay_repeats_run_without_elements(record: Any) -> None:
    program = record(FakeEnv(task=False), [CLICK, DONE], "press it")
    env = FakeEnv(task=False)
    episode, _ = replay(program, env, "press it")
    assert episode.status == "success"
    assert performed(env) == [("click", 120, 110)]


def test_replay_types_value_of_goal(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    env = TargetEnv(task=False)
    episode, _ = replay(program, env, 'press it and type "zoe"')
    assert episode.status == "success"
    assert performed(env) == [("click", 120, 110), ("type", "zoe")]
    assert program.steps[1].holds == ("${value1}",)


def test_reward_of_task_decides(record: Any) -> None:
    program = record(TargetEnv(), [CLICK], "press it")
    episode, _ = replay(program, TargetEnv(), "press it")
    assert (episode.status, episode.cause, episode.reward) == ("success", "verdict", 1.0)
    episode, _ = replay(program, TargetEnv(reward=-1.0), "press it")
    assert (episode.status, episode.reward) == ("failure", -1.0)


def test_missing_anchor_halts(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, DONE])
    env = TargetEnv("Cancel", task=False)
    episode, _ = replay(program, env)
    assert episode.status == "failure"
    assert 'halted at step 1: click: button "OK" is not on the screen' in episode.message
    assert performed(env) == []
    assert [step.action.verb for step in episode.steps if step.action] == ["wait"] * MAX_WAITS + ["done"]


def test_missing_pixels_halt(record: Any) -> None:
    program = record(FakeEnv(task=False), [CLICK, DONE])
    env = FakeEnv(task=False)
    env.surface.pixels[Y0:Y1, X0:X1] = 200
    episode, _ = replay(program, env)
    assert episode.status == "failure"
    assert performed(env) == []


def test_ambiguous_pixels_halt(record: Any) -> None:
    program = record(FakeEnv(task=False), [CLICK, DONE])
    env = FakeEnv(task=False)
    env.surface.pixels[Y0 + 150 : Y1 + 150, X0 + 50 : X1 + 50] = env.surface.pixels[Y0:Y1, X0:X1]
    episode, _ = replay(program, env)
    assert "more than once" in episode.message
    assert performed(env) == []


def test_halt_on_task_names_its_reason(record: Any) -> None:
    program = record(TargetEnv(), [CLICK])
    episode, _ = replay(program, TargetEnv("Cancel"))
    assert (episode.status, episode.cause) == ("failure", "verdict")
    assert "halted at step 1" in episode.message


def test_refusal_of_guard_halts(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])

    def deny(action: Action, screen: Screen) -> None:
        if action.verb == "click":
            raise ActionDeniedError("clicks are not allowed")

    env = TargetEnv(task=False, guard=deny)
    episode, _ = replay(program, env)
    assert episode.status == "failure"
    assert "clicks are not allowed" in episode.message
    assert performed(env) == []


def test_other_goal_halts_before_first_action(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    env = TargetEnv(task=False)
    episode, _ = replay(program, env, 'press it twice and type "vina"')
    assert "does not fit" in episode.message
    assert performed(env) == []


def test_action_without_effect_halts(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    env = TargetEnv(task=False)
    env.surface.pixels[:20] = (0, 200, 0)  # as after the click
    episode, _ = replay(program, env)
    assert "changed nothing" in episode.message
    assert performed(env) == [("click", 120, 110)]


def test_text_that_is_lost_halts(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    env = TargetEnv(task=False)
    env.loses_text = True
    episode, _ = replay(program, env)
    assert "'vina' is not in a field" in episode.message


def test_unexpected_notice_halts(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    quiet = replace(program, steps=(program.steps[0], replace(program.steps[1], notice="")))
    episode, _ = replay(quiet, TargetEnv(task=False))
    assert "typed 4 characters" in episode.message


def test_model_places_renamed_button(record: Any) -> None:
    program = record(TargetEnv("Save file", task=False), [CLICK, DONE])
    env, model = TargetEnv("Save files", task=False), NamingModel(125, 115)
    episode, policy = replay(program, env, fallback=model)
    assert episode.status == "success"
    assert performed(env) == [("click", 125, 115)]
    assert model.asked_texts == ['button "Save file"']
    changes = describe_changes(program, policy.proposal).splitlines()
    assert '-label = "Save file"' in changes
    assert '+label = "Save files"' in changes


def test_disagreeing_model_halts(record: Any) -> None:
    program = record(TargetEnv("Save file", task=False), [CLICK, DONE])
    env = TargetEnv("Save files", task=False)
    episode, policy = replay(program, env, fallback=NamingModel(20, 310))
    assert "does not agree" in episode.message
    assert policy.proposal == program
    assert performed(env) == []


def test_program_survives_its_file(record: Any, tmp_path: Path) -> None:
    program = record(TargetEnv('say "hi"\\\u20ac', task=False), [CLICK, TYPE, DONE])
    path = tmp_path / "program.toml"
    write_program(program, path)
    assert read_program(path) == program
    assert replay(read_program(path), TargetEnv('say "hi"\\\u20ac', task=False))[0].status == "success"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "format"),
        ('verb = "type"', 'verb = "shout"', "shout"),
        ("${value1}", "${value9}", "value9"),
        ('text = "${value1}"', 'text = "${value1:%B}"', "date"),
        ("changes = true", "changes = true\ncolor = 3", "color"),
        ('kind = "quoted"', 'kind = "typed"', "goal"),
        ("[[steps]]", "[[steps", "cannot be read"),
    ],
)
def test_invalid_program_is_rejected(record: Any, tmp_path: Path, old: str, new: str, message: str) -> None:
    text = format_program(record(TargetEnv(task=False), [CLICK, TYPE, DONE]))
    assert old in text
    path = tmp_path / "program.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_program(path)


def test_failed_run_is_no_program(record: Any) -> None:
    with pytest.raises(UsageError, match="succeeded"):
        record(FakeEnv(), [CLICK.replace("120", "5"), '{"verb": "done", "status": "failure"}'])


def test_run_with_answer_is_no_program(record: Any) -> None:
    with pytest.raises(UsageError, match="answer"):
        record(FakeEnv(task=False), [CLICK, '{"verb": "answer", "text": "42"}'])


def test_failed_actions_are_left_out(record: Any) -> None:
    outside = json.dumps({"verb": "click", "x": 9999, "y": 1})
    program = record(TargetEnv(task=False), [outside, CLICK, DONE])
    assert [step.verb for step in program.steps] == ["click"]


def test_set_takes_known_parameters(record: Any) -> None:
    program = record(TargetEnv(task=False), [CLICK, TYPE, DONE])
    assert parse_values(["value1=a=b"], program) == {"value1": "a=b"}
    with pytest.raises(UsageError, match="value1"):
        parse_values(["value2=x"], program)
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_values(["value1"], program)
