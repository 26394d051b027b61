"""Resuming runs: history, uncertain actions, limits and refusals, on a fake screen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import FakeEnv
from helpers.command import Agent, last_run

from actions import UsageError
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.resume import NOTE_NEW_SCREEN, NOTE_UNKNOWN, load_resumption
from agent.safety.limits import LimitCounter
from agent.safety.policy import load_safety_policy
from agent.trace import EVENTS, Trace, list_runs, new_folder

Script = Callable[[Sequence[Any]], str]
MISSES = [{"verb": "click", "x": 5 + 50 * index, "y": 5} for index in range(4)]
URL = ("--url", "https://shop.example/")


def cut_after(folder: Path, event: str, count: int) -> None:
    """Keep the events of a trace up to the `count`-th one of that name, as a killed process leaves it."""
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    places = [index for index, line in enumerate(lines) if json.loads(line)["event"] == event]
    (folder / EVENTS).write_bytes(b"".join(lines[: places[count - 1] + 1]))


def clicks(env: FakeEnv) -> list[int]:
    return [action.x for action in env.surface.performed if action.verb == "click"]


@pytest.fixture
def killed(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes the trace of a run of four clicks, killed after an event."""
    env.task = False

    def make(event: str, count: int, *arguments: str) -> Path:
        agent("run", "miss it", *URL, "--script", script(MISSES), *arguments)
        cut_after(last_run(tmp_path), event, count)
        env.surface.performed.clear()
        return last_run(tmp_path)

    return make


def resume(agent: Agent, script: Script, *arguments: str) -> tuple[int, str, str]:
    return agent("runs", "resume", "last", "--script", script(MISSES), *arguments)


def test_resume_goes_on_after_last_step(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    folder = killed("act.result", 2)
    code, out, _ = resume(agent, script)
    assert code == 4, out
    assert clicks(env) == [105, 155]
    trace = Trace.open(last_run(tmp_path))
    assert trace.manifest["resumes"]["run"] == folder.name
    assert [event["step"] for event in trace.finished] == [3, 4]
    assert trace.first("end")["steps"] == 4


def test_reply_without_intent_is_used_again(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path]
) -> None:
    killed("reply", 3)
    resume(agent, script)
    assert clicks(env) == [105, 155]


def test_uncertain_action_is_not_repeated_unasked(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    killed("decision", 2)
    resume(agent, script)
    assert clicks(env) == [105, 155]
    event = Trace.open(last_run(tmp_path)).first("resume")
    assert (event["answer"], event["step"], event["action"]["x"]) == ("nobody", 2, 55)
    assert event["note"] == NOTE_UNKNOWN


def test_action_before_its_approval_is_certain(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path]
) -> None:
    folder = killed("decision", 2)
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b'"effect": "allow"', b'"effect": "ask"')
    (folder / EVENTS).write_bytes(b"".join(lines))
    resumption = load_resumption(folder)
    assert resumption.uncertain is None
    assert resumption.step_count == 1


def test_resumed_run_can_be_resumed(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    killed("decision", 2)
    resume(agent, script)
    cut_after(last_run(tmp_path), "act.result", 1)
    env.surface.performed.clear()
    resume(agent, script)
    assert clicks(env) == [155]
    resumption = load_resumption(last_run(tmp_path).parent / list_runs(tmp_path / "runs")[1])
    assert [step.index for step in resumption.history] == [1, 2, 3]
    assert NOTE_UNKNOWN in resumption.history[1].notice


def test_uncertainty_survives_second_kill(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    killed("decision", 2)
    resume(agent, script)
    cut_after(last_run(tmp_path), "start", 1)
    resumption = load_resumption(last_run(tmp_path))
    assert resumption.uncertain is not None
    assert resumption.uncertain.step.index == 2


@pytest.mark.parametrize(
    ("answer", "performed", "answered"),
    [
        ("y", [105, 155], "done"),
        ("n", [105, 155], "not done"),
        ("r", [55, 105, 155], "repeat"),
        ("s", [], "stop"),
    ],
)
def test_answer_decides_about_uncertain_action(
    killed: Callable[..., Path], answer: str, performed: list[int], answered: str
) -> None:
    resumption = load_resumption(killed("act.intent", 2))
    env, events, questions = FakeEnv(task=False), [], []

    def ask(question: str) -> str:
        questions.append(question)
        return "what?" if len(questions) == 1 else answer

    policy = ScriptPolicy([json.dumps(action) for action in MISSES])
    policy.skip(resumption.step_count)
    episode = run(
        resumption.trace.goal, env, policy, max_steps=4, on_event=events.append, ask=ask, resumption=resumption
    )
    assert clicks(env) == performed
    assert "click (55, 5)" in questions[0]
    assert len(questions) == 2  # the first answer was none of the four
    assert [event["answer"] for event in events if event["event"] == "resume"] == [answered]
    assert (episode.cause == "interrupted") == (answer == "s")
    assert len(episode.steps) == (1 if answer == "s" else 4)


def test_action_is_not_repeated_on_other_screen(killed: Callable[..., Path]) -> None:
    resumption = load_resumption(killed("act.intent", 2))
    env, events = FakeEnv(task=False), []
    env.surface.pixels[:60] = 7
    policy = ScriptPolicy([json.dumps(action) for action in MISSES])
    policy.skip(2)
    run("miss it", env, policy, max_steps=4, on_event=events.append, ask=lambda question: "r", resumption=resumption)
    assert clicks(env) == [105, 155]
    assert [event["answer"] for event in events if event["event"] == "resume"] == ["changed"]


def test_failed_action_of_machine_is_uncertain(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> None:
    env.task, env.surface.failure = False, "the browser crashed"
    assert agent("run", "miss it", *URL, "--script", script(MISSES))[0] == 5
    resumption = load_resumption(last_run(tmp_path))
    assert resumption.uncertain is not None
    assert "the browser crashed" in resumption.uncertain.step.notice
    assert resumption.step_count == 1


def test_model_is_told_of_new_screen(killed: Callable[..., Path]) -> None:
    resumption = load_resumption(killed("act.result", 2))
    assert resumption.history[-1].notice.endswith(NOTE_NEW_SCREEN)
    assert NOTE_NEW_SCREEN not in resumption.history[0].notice


def test_limits_of_policy_go_on_counting(killed: Callable[..., Path]) -> None:
    usage = load_resumption(killed("act.result", 3)).usage
    assert len(usage.actions) == 3
    counter = LimitCounter(load_safety_policy("sandbox"))
    counter.restore(usage.actions, 3600.0)
    assert counter._steps == 3


def test_steps_limit_ends_resumed_run(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('preset = "sandbox"\n[limits]\nsteps = 3\n')
    killed("act.result", 2, "--policy", str(path))
    code, out, err = resume(agent, script)
    assert code == 3, out + err
    assert "limit 'steps'" in out
    assert clicks(env) == [105]


def test_changed_policy_must_be_named(
    agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('preset = "sandbox"\n[limits]\nsteps = 3\n')
    killed("act.result", 2, "--policy", str(path))
    path.write_text('preset = "sandbox"\n')
    code, _, err = resume(agent, script)
    assert code == 2
    assert "--policy" in err
    code, _, err = resume(agent, script, "--policy", str(path))
    assert code == 4
    assert "policy has changed" in err


def test_narrower_policy_is_only_reported(
    agent: Agent,
    env: FakeEnv,
    script: Script,
    killed: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed("act.result", 2)
    path = tmp_path / "org.toml"
    path.write_text("[limits]\nsteps = 3\n")
    monkeypatch.setenv("PIXELHAND_ORG_POLICY", str(path))
    code, _, err = resume(agent, script)
    assert code == 3
    assert "policy has changed" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--max-steps", "2"), "--max-steps"), (("--runs", "/nowhere"), "no run")],
)
def test_resume_refuses_what_cannot_go_on(
    agent: Agent, script: Script, killed: Callable[..., Path], arguments: tuple[str, ...], word: str
) -> None:
    killed("act.result", 2)
    code, _, err = resume(agent, script, *arguments)
    assert code == 2
    assert word in err


def test_run_is_resumed_only_once(agent: Agent, env: FakeEnv, script: Script, killed: Callable[..., Path]) -> None:
    folder = killed("act.result", 2)
    resume(agent, script)
    code, _, err = agent("runs", "resume", folder.name, "--script", script(MISSES))
    assert code == 2
    assert "resumed already" in err


def test_script_must_be_the_same(agent: Agent, script: Script, killed: Callable[..., Path]) -> None:
    killed("act.result", 2)
    assert "--script" in agent("runs", "resume", "last")[2]
    code, _, err = agent("runs", "resume", "last", "--script", script(MISSES[:3]))
    assert code == 2
    assert "is not the script" in err


def test_finished_run_cannot_be_resumed(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> None:
    env.task = False
    path = script([*MISSES[:1], {"verb": "done"}])
    agent("run", "miss it", *URL, "--script", path)
    code, _, err = agent("runs", "resume", "last", "--script", path)
    assert code == 2
    assert "finished" in err
    cut_after(last_run(tmp_path), "act.result", 2)  # killed before its end was written
    assert "finished" in agent("runs", "resume", "last", "--script", path)[2]


def test_practice_page_cannot_be_resumed(agent: Agent, env: FakeEnv, script: Script, tmp_path: Path) -> None:
    path = script(MISSES)
    agent("run", "", "--url", "practice:click-test", "--script", path)
    code, _, err = agent("runs", "resume", "last", "--script", path)
    assert code == 2
    assert "practice page" in err


def test_trace_of_other_shape_is_usage_error(killed: Callable[..., Path]) -> None:
    folder = killed("act.result", 2)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(UsageError):
        load_resumption(folder)


def test_ids_sort_after_clock_was_set_back(tmp_path: Path) -> None:
    future = tmp_path / "20990101-000000-000000-abcd"
    future.mkdir()
    (future / "manifest.json").write_text("{}")
    name = new_folder(tmp_path).name
    assert name > future.name
    assert name.startswith("20990101-000000-000001")
