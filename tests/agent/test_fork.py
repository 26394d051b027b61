"""Forks: the first steps of a run are performed again, and another policy goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import BUTTON, FakeEnv
from helpers.command import Agent, last_run

from actions import Click, Reply, Screen, Step, UsageError
from agent.policies.base import load_dialect
from agent.policies.scripted import JsonDialect, ScriptPolicy
from agent.recorded_history import translate_steps
from agent.trace import Trace
from model.processing.image import ImageLimits

Script = Callable[[Sequence[Any]], str]
URL = ("--url", "https://shop.example/")
RECORDED = [{"verb": "click", "x": 5 + 50 * index, "y": 5} for index in range(4)]
OTHER = [{"verb": "click", "x": 205, "y": 7}, {"verb": "done"}]


@pytest.fixture
def recorded(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> Path:
    """Return the folder of a run of four clicks that never ended its task."""
    env.task = False
    agent("run", "miss it", *URL, "--script", script(RECORDED))
    env.surface.performed.clear()
    return last_run(tmp_path)


def fork(agent: Agent, script: Script, folder: Path, *arguments: str) -> tuple[int, str, str]:
    return agent("runs", "fork", str(folder), "--script", script(OTHER), *arguments)


def clicks(env: FakeEnv) -> list[int]:
    return [action.x for action in env.surface.performed if action.verb == "click"]


def test_fork_repeats_first_steps_and_goes_on(
    agent: Agent, env: FakeEnv, script: Script, recorded: Path, tmp_path: Path
) -> None:
    code, out, err = fork(agent, script, recorded, "--at", "2", "--max-steps", "9")
    assert code == 0, out + err
    assert clicks(env) == [5, 55, 205]
    trace = Trace.open(last_run(tmp_path))
    assert trace.manifest["forks"] == {"run": recorded.name, "folder": str(recorded), "step": 2}
    assert [event["step"] for event in trace.finished] == [1, 2, 3, 4]
    assert trace.goal == "miss it"
    parent = Trace.open(recorded)
    assert [trace.reply(step)["reply"]["text"] for step in (1, 2)] == [
        parent.reply(step)["reply"]["text"] for step in (1, 2)
    ]
    assert recorded.name in agent("runs", "show", "last")[1]


def test_fork_with_other_goal_has_it(agent: Agent, script: Script, recorded: Path, tmp_path: Path) -> None:
    fork(agent, script, recorded, "--at", "1", "--goal", "hit it", "--max-steps", "9")
    assert Trace.open(last_run(tmp_path)).goal == "hit it"


def test_other_screen_halts_before_its_step(
    agent: Agent, env: FakeEnv, script: Script, recorded: Path, tmp_path: Path
) -> None:
    env.surface.pixels[200:] = 0
    code, out, _ = fork(agent, script, recorded, "--at", "2", "--max-steps", "9")
    assert code == 1
    assert clicks(env) == []
    assert "before step 1" in Trace.open(last_run(tmp_path)).first("end")["message"]
    assert "halted" in out


def test_force_goes_on_and_reports_difference(agent: Agent, env: FakeEnv, script: Script, recorded: Path) -> None:
    env.surface.pixels[200:] = 0
    code, out, _ = fork(agent, script, recorded, "--at", "2", "--force", "--max-steps", "9")
    assert code == 0
    assert clicks(env) == [5, 55, 205]
    assert "differs" in out


@pytest.mark.parametrize("at", ["5", "99"])
def test_step_beyond_run_is_an_error(agent: Agent, script: Script, recorded: Path, at: str) -> None:
    code, _, err = fork(agent, script, recorded, "--at", at)
    assert code == 2
    assert "1 to 4" in err


def test_no_step_left_is_an_error(agent: Agent, script: Script, recorded: Path) -> None:
    code, _, err = fork(agent, script, recorded, "--at", "3", "--max-steps", "3")
    assert code == 2
    assert "--max-steps" in err


def test_last_step_of_finished_task_cannot_fork(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> None:
    middle = {"verb": "click", "x": (BUTTON[0] + BUTTON[2]) // 2, "y": (BUTTON[1] + BUTTON[3]) // 2}
    agent("run", "hit it", *URL, "--script", script([RECORDED[0], middle]))
    code, _, err = fork(agent, script, last_run(tmp_path), "--at", "2")
    assert code == 2
    assert "ended its task" in err


def recorded_click() -> tuple[Step, Screen]:
    import numpy as np

    screen = Screen(np.zeros((364, 280, 3), np.uint8))
    action = Click(x=120, y=110)
    text = json.dumps(action.model_dump(mode="json", exclude_defaults=True) | {"verb": "click"})
    call = JsonDialect().parse(text)
    return Step(1, screen, Reply(text), call, action, actions=(action,)), screen


def test_history_is_written_in_another_dialect() -> None:
    step, screen = recorded_click()
    dialect = load_dialect("qwen25", ImageLimits())
    (translated,) = translate_steps([step], ScriptPolicy((), dialect))
    assert translated.reply.text != step.reply.text
    assert dialect.to_actions(dialect.parse(translated.reply.text), screen) == step.actions


def test_history_in_own_dialect_is_kept() -> None:
    step, _ = recorded_click()
    assert translate_steps([step], ScriptPolicy(()))[0].reply == step.reply


def test_several_actions_of_other_dialect_are_rejected() -> None:
    step, _ = recorded_click()
    several = Step(1, step.screen, step.reply, step.call, step.action, actions=step.actions * 2)
    with pytest.raises(UsageError, match="2 actions"):
        translate_steps([several], ScriptPolicy((), load_dialect("qwen25", ImageLimits())))
