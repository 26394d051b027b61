"""The commands `agent policy check`, `explain` and `test`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from helpers.command import Agent
from helpers.facts_surface import PAY, FactsSurface

from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety import policy as policy_module
from agent.safety.policy import load_safety_policy
from agent.session import install_guard
from agent.trace import TraceWriter, new_folder, read_trace
from envs.live import LiveEnv
from envs.stability import SettleOptions

DENY_CLICKS = "[[rules]]\nname = 'no-clicks'\neffect = 'deny'\nverbs = ['click']\n"
DENY_PAY = "preset = 'sandbox'\n[[rules]]\nname = 'no-pay'\neffect = 'deny'\nwords = ['pay']\n"


@pytest.fixture(autouse=True)
def _no_machine_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "org_file", lambda: tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)


def policy_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "task.toml"
    path.write_text(text)
    return str(path)


def record(tmp_path: Path, env: Any, *replies: str, surface: str = "fake") -> Path:
    folder = new_folder(tmp_path / "runs")
    writer = TraceWriter(folder, {"goal": "g", "policy": {}, "surface": surface, "url": ""})
    install_guard(env, load_safety_policy("sandbox"), folder, writer.write, None)
    run("g", env, ScriptPolicy(replies), max_steps=9, trace=writer)
    writer.close()
    return folder


def test_check_lists_rules_of_valid_file(agent: Agent, tmp_path: Path) -> None:
    path = policy_file(tmp_path, DENY_PAY + "[allow]\nhosts = []\n[limits]\nsteps = 3\n")
    code, out, _ = agent("policy", "check", path)
    assert code == 0
    assert "deny   no-pay: words" in out
    assert "every action is denied" in out
    assert "1 rules, 1 allow lists, 1 limits" in out


def test_check_names_problem_of_invalid_file(agent: Agent, tmp_path: Path) -> None:
    code, _, err = agent("policy", "check", policy_file(tmp_path, "[limits]\nstep = 3\n"))
    assert code == 2
    assert "limits.step" in err
    assert "steps" in err


def test_explain_names_rule_and_layer(agent: Agent, tmp_path: Path) -> None:
    facts = json.dumps({"url": "https://shop.test/", "elements": [{"role": "button", "label": "Pay"}]})
    arguments = ["policy", "explain", '{"verb": "click", "x": 1, "y": 2}', "--facts", facts]
    code, out, _ = agent(*arguments)
    assert (code, out.splitlines()[0].split()[:3]) == (0, ["ask", "rule", "'effects'"])
    assert load_safety_policy().sha256 in out
    path = policy_file(tmp_path, DENY_PAY)
    code, out, _ = agent(*arguments, "--policy", path)
    assert out.startswith(f"deny  rule 'no-pay' of {path} (task)")


def test_explain_knows_own_screens(agent: Agent) -> None:
    action = '{"verb": "click", "x": 1, "y": 2}'
    assert agent("policy", "explain", action, "--surface", "desktop", "--screen", "own")[1].startswith("ask")
    assert agent("policy", "explain", action, "--surface", "desktop")[1].startswith("allow")
    assert agent("policy", "explain", action, "--approve", "each")[1].startswith("ask")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (['{"verb": "clik"}'], "Did you mean 'click'"),
        (["{"], "not valid JSON"),
        (['{"verb": "back"}', "--facts", '{"lable": 1}'], "no key 'lable'"),
        (['{"verb": "back"}', "--facts", "[1]"], "facts"),
        (['{"verb": "back"}', "--policy", "cautios"], "Did you mean 'cautious'"),
    ],
)
def test_explain_rejects_bad_input(agent: Agent, arguments: list[str], words: str) -> None:
    code, _, err = agent("policy", "explain", *arguments)
    assert code == 2
    assert words in err


def test_policy_test_reports_what_would_be_denied(agent: Agent, tmp_path: Path) -> None:
    folder = record(tmp_path, FakeEnv(task=False), MISS, CLICK, DONE)
    arguments = ["policy", "test", str(folder)]
    code, out, _ = agent(*arguments)
    assert code == 0
    assert out.count("allow  click") == 2
    code, out, _ = agent(*arguments, "--policy", policy_file(tmp_path, DENY_CLICKS))
    assert code == 1
    assert "2 of the actions that were done would be denied" in out


def test_policy_test_uses_recorded_facts(agent: Agent, tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): PAY})
    env = LiveEnv(surface, settle=SettleOptions(0.0, 0.0, 0.0, 0.0))
    pay = '{"verb": "click", "x": 150, "y": 125}'
    folder = record(tmp_path, env, MISS, pay, DONE, surface="browser")
    code, out, _ = agent("policy", "test", str(folder), "--policy", policy_file(tmp_path, DENY_PAY))
    assert code == 1
    assert [line.split()[2] for line in out.splitlines()[:2]] == ["allow", "deny"]
    decision = next(event for event in read_trace(folder).events if event["event"] == "decision")
    assert decision["facts"]["url"] == "https://shop.test/cart"
