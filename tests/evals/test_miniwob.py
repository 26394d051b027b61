"""The practice benchmark: what counts as success, what as the machine's trouble, and that both are told apart."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from actions import Click, Screen, SurfaceError, UsageError
from agent.policy import ScriptPolicy
from envs.chromium.find import find_chrome
from evals.benchmarks.miniwob import evaluate, parse_seeds, table


class Always:
    """Says the same call for ever."""

    about = {"model": "always", "fingerprint": "0", "prompt_hash": "0"}  # noqa: RUF012

    def __init__(self) -> None:
        self._script = ScriptPolicy(['{"verb": "click", "x": 3, "y": 4}'] * 1000)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._script, name)


class Page:
    """An environment that is over after one click: won on even seeds, and broken on seed 900004."""

    def __init__(self, task: str) -> None:
        self.unwrapped = self
        self.seed = 0

    def _info(self, **verdict: Any) -> dict[str, Any]:
        screen = Screen(np.zeros((28, 28, 3), np.uint8))
        return {"screen": screen, "goal": "Click.", "note": "", "verdict": verdict, "timings_s": {}}

    def reset(self, *, seed: int) -> tuple[None, dict[str, Any]]:
        self.seed = seed
        return None, self._info(done=False, reward=None)

    def step(self, action: Any) -> tuple[None, float, bool, bool, dict[str, Any]]:
        assert action == Click(x=3, y=4)
        if self.seed == 900_004:
            raise SurfaceError("the browser is gone")
        reward = 1.0 if self.seed % 2 == 0 else -1.0
        return None, reward, True, False, self._info(done=True, reward=reward)

    def verbs(self) -> frozenset[str]:
        return frozenset({"click"})

    def close(self) -> None:
        pass


def test_success_failure_and_a_broken_machine_are_counted_apart() -> None:
    report = evaluate(Always(), ["click-test"], range(900_000, 900_006), make_env=Page)
    score = report.tasks["click-test"]
    assert (score.success, score.total) == (2, 5)
    assert score.failed == [900_001, 900_003, 900_005]
    assert score.broken == [900_004]
    assert report.mean == pytest.approx(0.4)
    text = table(report, {"model": "always"})
    assert "2 of    5" in text and "machine failed on 1" in text


def test_a_browser_that_does_not_come_back_costs_its_seeds_and_no_more() -> None:
    made: list[Page] = []

    def make(task: str) -> Page:
        if len(made) == 1:
            made.append(Page(task))
            raise SurfaceError("the browser did not start")
        made.append(Page(task))
        return made[-1]

    score = evaluate(Always(), ["click-test"], range(900_003, 900_008), make_env=make).tasks["click-test"]
    assert score.broken == [900_004, 900_005] and score.total == 3


def test_a_partial_reward_is_no_success() -> None:
    class Half(Page):
        def step(self, action: Any) -> tuple[None, float, bool, bool, dict[str, Any]]:
            return None, 0.5, True, False, self._info(done=True, reward=0.5)

    assert evaluate(Always(), ["click-test"], range(2), make_env=Half).tasks["click-test"].success == 0


def test_unknown_tasks_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="did you mean 'click-test'"):
        evaluate(Always(), ["click-tset"], range(1), make_env=Page)


@pytest.mark.parametrize("text", ["", "5", "5:", "7:7", "9:3", "a:b", "-1:4"])
def test_seeds_are_a_range(text: str) -> None:
    with pytest.raises(UsageError, match="FIRST:LAST"):
        parse_seeds(text)


def test_json_is_one_object_with_the_counts() -> None:
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from evals.cli import app

    options = ["miniwob", "--tasks", "click-test,focus-text", "--seeds", "900000:900002", "--json"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(report["tasks"]) == {"click-test", "focus-text"}
    for score in report["tasks"].values():
        assert score["total"] == 2 and 0 <= score["success"] <= 2 and score["broken"] == []
