"""The specification of a run loads the policy that `agent run` loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.eval_runs import HashPolicy
from typer.testing import CliRunner

from agent.policies import factory
from agent.policies.factory import PolicyOptions
from evals import runner
from evals.cli import app
from evals.workers.spec import RunSpec, load_spec_policy, parse_spec


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, PolicyOptions, str]]:
    """Record the arguments of load_policy."""
    calls: list[tuple[str, PolicyOptions, str]] = []

    def load_policy(model: str, options: PolicyOptions, *, grounder: str = "") -> HashPolicy:
        calls.append((model, options, grounder))
        return HashPolicy(RunSpec("x", "", "", model=model))

    monkeypatch.setattr(factory, "load_policy", load_policy)
    return calls


def test_spec_passes_every_policy_option(loaded: list[tuple[str, PolicyOptions, str]]) -> None:
    options: dict[str, Any] = {"zoom": "on", "grammar": False, "budget_tokens": 9, "auto_shrink_history": True}
    spec = RunSpec("x", "", "", model="a", grounder="b", device="cpu", dtype="float32", prompt="file", options=options)
    load_spec_policy(parse_spec(json.loads(json.dumps(spec.as_dict()))))
    expected = PolicyOptions(device="cpu", dtype="float32", prompt="file", **options)
    assert loaded == [("a", expected, "b")]


def test_default_spec_has_default_options(loaded: list[tuple[str, PolicyOptions, str]]) -> None:
    load_spec_policy(RunSpec("x", "", ""))
    assert loaded == [("embedded", PolicyOptions(), "")]


def test_command_puts_options_into_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_runner import make_pro

    specs: list[RunSpec] = []

    def run_predictions(plan: Any, spec: RunSpec, out: Path, **_: Any) -> None:
        specs.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_predictions", run_predictions)
    data = make_pro(tmp_path / "data", 2)
    base = ["screenspot-pro", "--data", str(data), "--model", "http://127.0.0.1:9/v1#a"]
    arguments = ["--zoom", "on", "--no-grammar", "--temperature", "0.5", "--seed", "3", "--shrink"]
    arguments += ["--budget-tokens", "4096", "--grounder", "http://127.0.0.1:9/v1#b"]
    CliRunner().invoke(app, base)
    CliRunner().invoke(app, [*base, *arguments])
    default, changed = specs
    assert default.options == {}
    assert default.grounder == ""
    assert changed.options == {
        "zoom": "on",
        "auto_shrink_history": True,
        "budget_tokens": 4096,
        "grammar": False,
        "temperature": 0.5,
        "seed": 3,
    }
    assert changed.grounder == "http://127.0.0.1:9/v1#b"
