"""`agent bench replay`: programs of one seed on pages of others, and how their ends are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.loop import Episode
from perf import replay
from perf.cli import app
from perf.replay import TASKS, ReplayScore, score_task


@pytest.mark.browser
def test_date_is_entered_at_two_seeds(chrome: str, tmp_path: Path) -> None:
    score = score_task("enter-date", 2, tmp_path)
    assert (score.done, score.halted, score.wrong) == (2, 0, 0)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_replays_are_never_silently_wrong(chrome: str, tmp_path: Path, task: str) -> None:
    score = score_task(task, 30, tmp_path)
    assert score.done + score.halted == 30
    assert (score.wrong, score.silent) == (0, 0)
    assert score.done == (0 if task == "book-flight" else 30)  # which flight is the cheapest is no value of the goal


@pytest.mark.parametrize(
    ("reward", "status", "message", "counted"),
    [
        (1.0, "success", "the task is done", (1, 0, 0, 0)),
        (None, "failure", "the task is not done: the replay halted at step 1: gone", (0, 1, 0, 0)),
        (-1.0, "failure", "the task ended without success", (0, 0, 1, 0)),
        (None, "success", "the model reports success", (0, 0, 1, 1)),
    ],
)
def test_ends_are_counted(reward: float | None, status: str, message: str, counted: tuple[int, ...]) -> None:
    score = ReplayScore("login-user", 1, 5, 100.0)
    episode = Episode(status, reward, (), message, "", "verdict")  # type: ignore[arg-type]
    replay.count_end(score, episode, 7, 3)
    assert (score.done, score.halted, score.wrong, score.silent) == counted


def test_silently_wrong_replay_fails_command(monkeypatch: pytest.MonkeyPatch) -> None:
    score = ReplayScore("login-user", 1, 5, 100.0, wrong=1, silent=1)
    monkeypatch.setattr(replay, "score_task", lambda *_: score)
    result = CliRunner().invoke(app, ["replay", "login-user", "--seeds", "1", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["tasks"][0]["silent"] == 1


def test_unknown_task_is_named() -> None:
    result = CliRunner().invoke(app, ["replay", "login-usr"])
    assert "login-usr" in str(result.exception)
