"""The hooks of pixelhand.run: when they are called, and what their exceptions do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS

import pixelhand as ph
from pixelhand.testing import FakeSurface, ScriptPolicy

ASK = '{"verb": "ask", "question": "Which one?"}'


def run_fake(*replies: str, **options: Any) -> ph.Episode:
    from envs.live import LiveEnv
    from envs.stability import SettleOptions

    env = LiveEnv(FakeSurface(), goal="press the button", settle=SettleOptions(0.0, 0.0, 0.0, 0.0))
    return ph.run("press the button", env, ScriptPolicy(replies), max_steps=len(replies), **options)


def events_in(root: Path) -> list[dict[str, Any]]:
    (path,) = root.glob("*/steps.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_hooks_are_called_in_order() -> None:
    calls: list[object] = []

    def answer(question: str) -> str:
        calls.append(question)
        return "the left one"

    episode = run_fake(
        MISS,
        ASK,
        DONE,
        on_step=lambda step: calls.append(step.index),
        on_ask=answer,
        on_end=lambda episode: calls.append(episode.status),
    )
    assert calls == [1, "Which one?", 2, 3, "success"]
    assert "the left one" in episode.steps[1].notice


def test_hooks_receive_what_the_episode_has() -> None:
    steps: list[ph.Step] = []
    episodes: list[ph.Episode] = []
    episode = run_fake(MISS, DONE, on_step=steps.append, on_end=episodes.append)
    assert tuple(steps) == episode.steps
    assert episodes == [episode]


def test_step_is_recorded_before_its_hook(tmp_path: Path) -> None:
    results: list[int] = []

    def count_results(step: ph.Step) -> None:
        results.append(sum(event["event"] == "act.result" for event in events_in(tmp_path)))

    run_fake(MISS, DONE, on_step=count_results, trace=tmp_path)
    assert results == [1, 2]


def test_end_is_recorded_before_its_hook(tmp_path: Path) -> None:
    statuses: list[str] = []
    run_fake(DONE, on_end=lambda episode: statuses.append(ph.Trace.open(episode.run).status), trace=tmp_path)
    assert statuses == ["success"]


def test_question_without_answer_is_an_error() -> None:
    episode = run_fake(ASK, DONE, on_ask=lambda question: None)
    assert "nobody is there" in episode.steps[0].error
    assert episode.status == "success"


def test_error_in_step_hook_ends_run(tmp_path: Path) -> None:
    episodes: list[ph.Episode] = []

    def fail(step: ph.Step) -> None:
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        run_fake(MISS, CLICK, DONE, on_step=fail, on_end=episodes.append, trace=tmp_path)
    (episode,) = episodes
    assert (episode.status, episode.cause, len(episode.steps)) == ("error", "hook", 1)
    assert episode.message == "on_step raised ValueError: no disk"
    end = events_in(tmp_path)[-1]
    assert (end["event"], end["status"], end["cause"]) == ("end", "error", "hook")
    assert ph.Trace.open(episode.run).count == 1


def test_error_after_last_step_revokes_success() -> None:
    episodes: list[ph.Episode] = []

    def fail(step: ph.Step) -> None:
        raise AssertionError("the title is wrong")

    with pytest.raises(AssertionError):
        run_fake(DONE, on_step=fail, on_end=episodes.append)
    assert episodes[0].status == "error"


def test_surface_error_of_hook_is_raised() -> None:
    from actions import SurfaceError

    def fail(step: ph.Step) -> None:
        raise SurfaceError("the camera is off")

    with pytest.raises(SurfaceError, match="camera"):
        run_fake(MISS, DONE, on_step=fail)


@pytest.mark.parametrize("error", [RuntimeError("offline"), ph.UsageError("offline")])
def test_error_in_ask_hook_ends_run(error: Exception, tmp_path: Path) -> None:
    def fail(question: str) -> str:
        raise error

    with pytest.raises(type(error), match="offline"):
        run_fake(MISS, ASK, DONE, on_ask=fail, trace=tmp_path)
    end = events_in(tmp_path)[-1]
    assert (end["status"], end["cause"], end["steps"]) == ("error", "hook", 1)
    assert end["message"] == f"on_ask raised {type(error).__name__}: offline"


def test_answer_of_wrong_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="str or None, not int"):
        run_fake(ASK, DONE, on_ask=lambda question: 3)


def test_error_in_end_hook_names_status(tmp_path: Path) -> None:
    def fail(episode: ph.Episode) -> None:
        raise RuntimeError("offline")

    with pytest.raises(RuntimeError, match="offline") as raised:
        run_fake(DONE, on_end=fail, trace=tmp_path)
    assert "success (own word)" in raised.value.__notes__[0]
    assert events_in(tmp_path)[-1]["status"] == "success"


def test_step_hook_can_stop_run() -> None:
    def stop(step: ph.Step) -> None:
        raise ph.RunStoppedError("one step is enough")

    episode = run_fake(MISS, DONE, on_step=stop)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "interrupted", 1)
    assert episode.message == "one step is enough"


def test_ask_hook_can_stop_run() -> None:
    def stop(question: str) -> str:
        raise ph.RunStoppedError("nobody is at home")

    episode = run_fake(MISS, ASK, DONE, on_ask=stop)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "interrupted", 2)
    assert episode.message == "nobody is at home"


def test_end_hook_is_called_after_interrupt() -> None:
    statuses: list[str] = []

    def interrupt(step: ph.Step) -> None:
        raise KeyboardInterrupt

    episode = run_fake(MISS, DONE, on_step=interrupt, on_end=lambda episode: statuses.append(episode.status))
    assert statuses == ["stopped"]
    assert episode.cause == "interrupted"


def test_event_observer_error_still_calls_end_hook() -> None:
    episodes: list[ph.Episode] = []

    def fail(event: Mapping[str, object]) -> None:
        raise ValueError("no observer")

    with pytest.raises(ValueError, match="no observer"):
        run_fake(DONE, on_event=fail, on_end=episodes.append)
    assert [episode.status for episode in episodes] == ["error"]


def test_former_name_of_ask_hook_works() -> None:
    episode = run_fake(ASK, DONE, ask=lambda question: "the left one")
    assert "the left one" in episode.steps[0].notice


def test_both_names_of_ask_hook_are_refused() -> None:
    with pytest.raises(ph.UsageError, match="Remove ask="):
        run_fake(DONE, ask=lambda question: "", on_ask=lambda question: "")


@pytest.mark.parametrize("name", ["on_step", "on_ask", "on_end"])
def test_coroutine_function_as_hook_is_refused(name: str) -> None:
    async def hook(value: object) -> None: ...

    with pytest.raises(ph.UsageError, match="plain function"):
        run_fake(DONE, **{name: hook})
