"""MiniWoB++: successes, failures and errors of the machine are distinguished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from actions import Action, Click, Screen, SurfaceError, UsageError
from actions.rewards import SUCCESS_THRESHOLD
from agent.policies.scripted import ScriptPolicy
from envs.chromium.executable import find_chrome
from evals.live import miniwob
from evals.live.base import LiveReport, LiveTaskScore, format_report, parse_seeds
from evals.live_runner import evaluate_live
from evals.workers import spec as spec_module

StepResult = tuple[None, float, bool, bool, dict[str, Any]]


class ClickPolicy(ScriptPolicy):
    """Repeats one click."""

    def __init__(self) -> None:
        super().__init__(['{"verb": "click", "x": 3, "y": 4}'] * 1000)

    @property
    def metadata(self) -> Mapping[str, object]:
        return {"model": "always", "fingerprint": "0", "prompt_hash": "0"}


class FakePage:
    """An environment that ends after one click: solved on even seeds, and broken on seed 900004."""

    def __init__(self, task: str) -> None:
        self.unwrapped: Any = self
        self.surface: Any = SimpleNamespace(name="browser")
        self.guard: Any = None
        self.seed = 0

    def reward(self) -> float:
        return 1.0 if self.seed % 2 == 0 else -1.0

    def info(self, **verdict: Any) -> dict[str, Any]:
        screen = Screen(np.zeros((28, 28, 3), np.uint8))
        return {"screen": screen, "goal": "Click.", "note": "", "verdict": verdict, "timings_s": {}}

    def reset(self, *, seed: int | None = None) -> tuple[None, dict[str, Any]]:
        self.seed = seed or 0
        return None, self.info(done=False, reward=None)

    def step(self, action: Action) -> StepResult:
        assert action == Click(x=3, y=4)
        if self.seed == 900_004:
            raise SurfaceError("the browser is gone")
        return None, self.reward(), True, False, self.info(done=True, reward=self.reward())

    def verbs(self) -> frozenset[str]:
        return frozenset({"click"})

    def close(self) -> None:
        pass


def evaluate(tasks: list[str], seeds: range, make_env: Any = FakePage, **options: Any) -> LiveReport:
    return evaluate_live("miniwob", ClickPolicy(), tasks, seeds, make_env=make_env, **options)


def test_outcomes_are_counted_separately() -> None:
    report = evaluate(["click-test"], range(900_000, 900_006))
    score = report.tasks["click-test"]
    assert (score.success, score.total) == (2, 5)
    assert score.failed == [900_001, 900_003, 900_005]
    assert score.broken == [900_004]
    assert report.mean == pytest.approx(0.4)
    text = format_report(report, {"model": "always"})
    assert "2 of    5   40.0 %  (12 to 77 %)" in text
    assert "machine failed on 1" in text


def test_browser_that_fails_to_restart_costs_its_seeds() -> None:
    pages: list[FakePage] = []

    def make_env(task: str) -> FakePage:
        pages.append(FakePage(task))
        if len(pages) == 2:
            raise SurfaceError("the browser did not start")
        return pages[-1]

    score = evaluate(["click-test"], range(900_003, 900_008), make_env).tasks["click-test"]
    assert score.broken == [900_004, 900_005]
    assert score.total == 3


def test_machine_that_never_works_gives_no_rate() -> None:
    def make_env(task: str) -> FakePage:
        raise SurfaceError("the browser did not start")

    report = evaluate(["click-test"], range(3), make_env)
    assert (report.mean, report.step_ms) == (None, None)
    summary = report.as_dict()
    assert summary["mean"] is None
    assert summary["tasks"]["click-test"]["total"] == 0
    text = format_report(report, {})
    assert "n/a" in text
    assert not {"mean", "median", "%"} & set(text.split())


def test_each_task_is_reported_when_finished() -> None:
    finished: list[tuple[str, LiveTaskScore]] = []
    report = evaluate(
        ["click-test", "focus-text"], range(4), on_task=lambda task, score: finished.append((task, score))
    )
    assert [task for task, _ in finished] == ["click-test", "focus-text"]
    assert all(score.total == 4 for _, score in finished)
    summary = report.as_dict()["tasks"]["focus-text"]
    assert summary["interval"] == [0.15, 0.85]
    assert summary["step_ms"] is not None
    assert LiveTaskScore.from_dict(json.loads(json.dumps(summary))) == report.tasks["focus-text"]


class InterruptedPage(FakePage):
    """Ctrl-C at seed 3."""

    def step(self, action: Action) -> StepResult:
        if self.seed == 3:
            raise KeyboardInterrupt
        return super().step(action)


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `agent eval miniwob` with a fake policy; return (exit code, stdout, stderr)."""
    from dataclasses import replace

    from agent import cli

    def run_command(make_env: Any, *arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(miniwob, "BENCHMARK", replace(miniwob.BENCHMARK, make_env=make_env))
        monkeypatch.setattr(spec_module, "load_spec_policy", lambda spec: ClickPolicy())
        monkeypatch.setattr("sys.argv", ["agent", "eval", "miniwob", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        return exit_info.value.code, *capsys.readouterr()

    return run_command


def test_interrupted_command_prints_no_report(run_command: Any) -> None:
    code, out, errors = run_command(InterruptedPage, "--tasks", "click-test,focus-text", "--seeds", "0:9", "--json")
    assert (code, out) == (130, ""), errors
    assert "Traceback" not in errors
    assert " of " not in errors


def test_command_prints_json_and_progress(run_command: Any) -> None:
    code, out, errors = run_command(
        FakePage, "--tasks", "focus-text, click-test,focus-text", "--seeds", "0:4", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert list(report["tasks"]) == ["focus-text", "click-test"]
    assert {(score["success"], score["total"]) for score in report["tasks"].values()} == {(2, 4)}
    assert (report["seeds"], report["max_steps"], report["model"]) == ("0 to 3", 30, "always")
    first, second = errors.splitlines()
    assert "focus-text" in first
    assert "2 of    4" in first
    assert "click-test" in second
    assert "\r" not in errors


def test_command_without_browser_exits_with_5(run_command: Any) -> None:
    def make_env(task: str) -> FakePage:
        raise SurfaceError("no browser")

    code, out, _ = run_command(make_env, "--tasks", "click-link", "--seeds", "0:2")
    assert code == 5
    assert "machine failed on 2" in out
    assert "mean" not in out


def test_command_continues_finished_run(run_command: Any, tmp_path: Any) -> None:
    arguments = ["--tasks", "click-link", "--seeds", "0:4", "--json", "--out", str(tmp_path / "out")]
    code, first, _ = run_command(FakePage, *arguments)
    assert code == 0

    def make_env(task: str) -> FakePage:
        raise AssertionError("the finished task was run again")

    assert run_command(make_env, *arguments)[:2] == (0, first)


def page_with_reward(value: float) -> type[FakePage]:
    class RewardPage(FakePage):
        def reward(self) -> float:
            return value

    return RewardPage


@pytest.mark.parametrize(
    ("reward", "successes"), [(1.0, 2), (1 - 1e-12, 2), (SUCCESS_THRESHOLD, 2), (1 - 1e-6, 0), (0.5, 0)]
)
def test_success_has_the_loops_threshold(reward: float, successes: int) -> None:
    report = evaluate(["click-test"], range(2), page_with_reward(reward))
    assert report.tasks["click-test"].success == successes


def test_unknown_task_is_refused_before_running() -> None:
    with pytest.raises(UsageError, match=r"(?i)did you mean 'click-test'"):
        evaluate(["click-tset"], range(1))


@pytest.mark.parametrize("text", ["", "5", "5:", "7:7", "9:3", "a:b", "-1:4"])
def test_invalid_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="FIRST:LAST"):
        parse_seeds(text)


def test_embedded_model_runs_in_a_browser() -> None:
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from evals.cli import app

    options = ["miniwob", "--tasks", "click-test,focus-text", "--seeds", "900000:900002", "--json"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.strip().splitlines()[-1])
    assert set(report["tasks"]) == {"click-test", "focus-text"}
    for score in report["tasks"].values():
        assert score["total"] == 2
        assert 0 <= score["success"] <= 2
        assert score["broken"] == []


def test_live_benchmarks_are_plugins() -> None:
    from actions.plugins import list_plugins
    from evals.live.base import FOLDER, load_live_benchmark

    assert [load_live_benchmark(name).name for name in list_plugins(FOLDER)] == ["miniwob"]
    with pytest.raises(UsageError, match="miniwob"):
        load_live_benchmark("androidworld")
