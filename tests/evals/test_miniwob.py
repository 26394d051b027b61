"""The practice benchmark: what counts as success, what as the machine's trouble, and that both are told apart."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from actions import Click, Screen, SurfaceError, UsageError
from agent.policies.scripted import ScriptPolicy
from envs.chromium.executable import find_chrome
from evals.benchmarks.miniwob import TaskScore, evaluate, parse_seeds, table


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
    assert "2 of    5   40.0 %  (12 to 77 %)" in text and "machine failed on 1" in text


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


def test_a_machine_that_never_works_gives_no_figure_at_all() -> None:
    def none(task: str) -> Page:
        raise SurfaceError("the browser did not start")

    report = evaluate(Always(), ["click-test"], range(3), make_env=none)
    assert (report.mean, report.step_ms) == (None, None)
    said = report.as_dict()
    assert said["mean"] is None and said["tasks"]["click-test"]["total"] == 0
    text = table(report, {})
    assert "mean" not in text and "median" not in text and " %" not in text


def test_each_task_is_told_when_it_is_done_and_comes_back_from_its_json() -> None:
    told: list[tuple[str, TaskScore]] = []
    report = evaluate(
        Always(), ["click-test", "focus-text"], range(4), make_env=Page, on_task=lambda *one: told.append(one)
    )
    assert [task for task, _ in told] == ["click-test", "focus-text"] and all(one.total == 4 for _, one in told)
    one = report.as_dict()["tasks"]["focus-text"]
    assert one["interval"] == [0.15, 0.85] and one["step_ms"] is not None
    assert TaskScore.from_dict(json.loads(json.dumps(one))) == report.tasks["focus-text"]


def interrupted(task: str) -> Page:
    """A page on which Ctrl-C comes at the fourth seed."""

    class Page4(Page):
        def step(self, action: Any) -> tuple[None, float, bool, bool, dict[str, Any]]:
            if self.seed == 3:
                raise KeyboardInterrupt
            return super().step(action)

    return Page4(task)


def test_ctrl_c_is_no_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from agent import cli, session
    from envs import live

    monkeypatch.setattr(live, "practice_env", interrupted)
    monkeypatch.setattr(session, "load_policy", lambda settings: Always())
    line = ["agent", "eval", "miniwob", "--tasks", "click-test,focus-text", "--seeds", "0:9", "--json"]
    monkeypatch.setattr("sys.argv", line)
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, errors = capsys.readouterr()
    assert (left.value.code, out) == (130, "") and "Traceback" not in errors and " of " not in errors


def test_the_command_has_a_line_for_each_task_beside_its_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent import cli, session
    from envs import live

    made: list[str] = []

    def page(task: str) -> Page:
        made.append(task)
        if task == "click-link":
            raise SurfaceError("no browser")
        return Page(task)

    def call(*more: str) -> tuple[Any, str, str]:
        monkeypatch.setattr("sys.argv", ["agent", "eval", "miniwob", *more])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, *capsys.readouterr()

    monkeypatch.setattr(live, "practice_env", page)
    monkeypatch.setattr(session, "load_policy", lambda settings: Always())
    code, out, errors = call("--tasks", "focus-text, click-test,focus-text", "--seeds", "0:4", "--json")
    report = json.loads(out)
    assert code == 0 and made == ["focus-text", "click-test"]
    assert {task: (one["success"], one["total"]) for task, one in report["tasks"].items()} == {
        "focus-text": (2, 4),
        "click-test": (2, 4),
    }
    assert (report["seeds"], report["max_steps"], report["model"]) == ("0 to 3", 30, "always")
    first, second = errors.splitlines()
    assert "focus-text" in first and "2 of    4" in first and "click-test" in second and "\r" not in errors
    code, out, _ = call("--tasks", "click-link", "--seeds", "0:2")
    assert code == 5 and "machine failed on 2" in out and "mean" not in out


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
