"""`agent eval miniwob --policy`: the guard's policy of a live benchmark decides, and is part of the run's identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, FakeEnv
from typer.testing import CliRunner

from actions import UsageError
from agent.policies.scripted import ScriptPolicy
from evals.cli import app
from evals.live.base import LiveTaskScore
from evals.live.miniwob import BENCHMARK
from evals.live_runner import LiveJobRunner, evaluate_task, load_live_safety
from evals.workers.spec import RunSpec, parse_spec

DENY = '[[rules]]\nname = "no-clicks"\neffect = "deny"\nverbs = ["click"]\n'
ASK = DENY.replace('"deny"', '"ask"')


def score(safety: str) -> tuple[LiveTaskScore, list[str]]:
    """Return the score of two episodes on a fake page that a click solves, and their status."""
    status: list[str] = []
    result = evaluate_task(
        BENCHMARK,
        ScriptPolicy([CLICK] * 100),
        "click-test",
        range(2),
        max_steps=4,
        make_env=lambda task: FakeEnv(),
        on_result=lambda task, seed, outcome: status.append(outcome),
        safety=load_live_safety(safety),
    )
    return result, status


def test_default_policy_asks_nothing() -> None:
    result, status = score("")
    assert (result.success, status[0]) == (2, "success")


@pytest.mark.parametrize("content", [DENY, ASK])
def test_denied_actions_fail_episodes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(content)
    result, status = score(str(path))
    assert (result.success, result.total, result.broken) == (0, 2, [])
    assert set(status) == {"stopped"}


def test_workers_load_policy_of_spec(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DENY)
    spec = RunSpec("miniwob", "", "live", seeds="0:2", safety_policy=str(path))
    runner = LiveJobRunner(parse_spec(spec.as_dict()), ScriptPolicy([CLICK]))
    assert runner._safety.sha256 == load_live_safety(str(path)).sha256


def test_policy_is_part_of_identity() -> None:
    spec = RunSpec("miniwob", "", "live", seeds="0:2")
    assert "safety_policy" not in spec.identity()
    assert replace(spec, safety_policy="cautious").identity() != spec.identity()
    assert (
        replace(spec, safety_policy="p", safety_sha256="1").identity()
        != replace(spec, safety_policy="p", safety_sha256="2").identity()
    )


def test_command_reports_and_passes_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evals import live_runner
    from evals.live.base import LiveReport

    specs: list[RunSpec] = []

    def run_live(spec: RunSpec, tasks: Any, **options: Any) -> tuple[LiveReport, dict[str, Any]]:
        specs.append(spec)
        return LiveReport({"click-test": LiveTaskScore(success=1, total=1)}), {}

    monkeypatch.setattr(live_runner, "run_live", run_live)
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(DENY)
    line = ["miniwob", "--tasks", "click-test", "--seeds", "0:1", "--policy"]
    result = CliRunner().invoke(app, [*line, "mine.toml"])
    assert result.exit_code == 0, result.output
    assert "mine.toml (sha256" in result.stdout
    assert specs[0].safety_policy == str(tmp_path / "mine.toml")
    assert CliRunner().invoke(app, [*line, "unattended"]).exit_code == 0
    assert specs[1].safety_policy == "unattended"
    assert isinstance(CliRunner().invoke(app, [*line, "missing.toml"]).exception, UsageError)
    assert len(specs) == 2
