"""Recorded episodes: whatever is said the next recorded screen comes, and each step is judged by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from actions import Ask, Back, Click, Done, InvalidActionError, TypeText, UsageError
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.termination import StopLimits
from envs.recorded import RecordedEpisode, RecordedEpisodeEnv, RecordedStep


@pytest.fixture
def recordings(tmp_path: Path) -> list[RecordedEpisode]:
    """Two episodes of three and one steps; a step's facts are the verb that is right."""
    held = []
    for name, verbs in (("a", ("click", "type", "done")), ("b", ("back",))):
        frames = []
        for n, verb in enumerate(verbs):
            path = tmp_path / f"{name}{n}.png"
            Image.new("RGB", (20, 30), (60 * n, 5, ord(name))).save(path)
            frames.append(RecordedStep(f"{name}/{n}", path, "" if verb == "done" else f"do a {verb}", verb))
        held.append(RecordedEpisode(name, f"reach {name}", tuple(frames)))
    return held


def same_verb(frame: RecordedStep, action: Any) -> float:
    return float(action.verb == frame.facts)


def test_the_recorded_screens_come_whatever_is_said(recordings: list[RecordedEpisode]) -> None:
    env = RecordedEpisodeEnv(recordings, same_verb)
    _, info = env.reset(seed=0)
    assert info["goal"] == "reach a" and info["verdict"] == {"done": False, "reward": None}
    first, reward, over, _, info = env.step(Back())
    assert (reward, over, info["id"], info["judged"]) == (0.0, False, "a/1", {"id": "a/0", "reward": 0.0})
    assert first[0, 0].tolist() == [60, 5, ord("a")]
    assert env.step(TypeText(text="x"))[1:3] == (1.0, False)
    *_, info = env.step(Done())
    assert info["verdict"] == {"done": True, "reward": pytest.approx(2 / 3)} and info["id"] == "a/2"


def test_the_low_level_says_each_steps_instruction(recordings: list[RecordedEpisode]) -> None:
    env = RecordedEpisodeEnv(recordings, same_verb, level="low")
    assert env.reset(seed=0)[1]["goal"] == "reach a\nThe step to do now: do a click"
    assert env.step(Click(x=1, y=1))[4]["goal"] == "reach a\nThe step to do now: do a type"
    assert env.step(Click(x=1, y=1))[4]["goal"] == "reach a"  # the recording has no words for its last step
    with pytest.raises(UsageError, match="level is one of high, low"):
        RecordedEpisodeEnv(recordings, same_verb, level="middle")  # type: ignore[arg-type]


def test_a_refused_action_costs_nothing(recordings: list[RecordedEpisode]) -> None:
    env = RecordedEpisodeEnv(recordings, same_verb, verbs=frozenset({"click", "back"}))
    env.reset(seed=1)
    for action, words in ((TypeText(text="x"), "do one of back, click"), (Ask(question="?"), "for the person")):
        with pytest.raises(InvalidActionError, match=words):
            env.step(action)
    assert env.step(Back())[1:3] == (1.0, True)


def test_the_loop_walks_through_a_recording(recordings: list[RecordedEpisode]) -> None:
    env = RecordedEpisodeEnv(recordings, same_verb)
    script = ['{"verb": "click", "x": 1, "y": 2}', '{"verb": "type", "text": "x"}', '{"verb": "done"}']
    episode = run("", env, ScriptPolicy(script), max_steps=3, seed=0, stop_limits=StopLimits())
    assert (episode.status, episode.cause, episode.reward) == ("success", "verdict", 1.0)
    assert [step.reward for step in episode.steps] == [1.0, 1.0, 1.0]
    assert [step.screen.pixels[0, 0, 0] for step in episode.steps] == [0, 60, 120]


def test_it_passes_gymnasiums_check(recordings: list[RecordedEpisode]) -> None:
    check_env(RecordedEpisodeEnv(recordings, same_verb), skip_render_check=True)
