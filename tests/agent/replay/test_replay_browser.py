"""Tests of `agent replay` in a real Chromium: practice pages of other seeds, a changed page, secrets, halts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.write_site import WriteSite, serve_writes

from agent.trace import list_runs, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
LOGIN_SEED, NAME, PASSWORD = 1, "vina", "US"
LOGIN = [  # of the practice page with that seed
    {"verb": "click", "x": 124, "y": 154},
    {"verb": "type", "text": NAME},
    {"verb": "click", "x": 106, "y": 246},
    {"verb": "type", "text": PASSWORD},
    {"verb": "click", "x": 80, "y": 317},
]
FORM = """<title>Sign in</title><style>* {{ font: 20px Arial }} body {{ margin: 0 }}</style>{head}
<form method=post action=/welcome>
<p><label>Name <input name=name></label></p><p><label>Code <input name=code type=password></label></p>
<button>{button}</button></form>"""
SIGN_IN = [
    {"verb": "click", "x": 150, "y": 14},
    {"verb": "type", "text": "alice"},
    {"verb": "press", "keys": ["tab"]},
    {"verb": "type", "text": "s3cret-pw"},
    {"verb": "press", "keys": ["enter"]},
    {"verb": "done"},
]


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as site:
        site.add("/sign-in", FORM.format(head="", button="Sign in"))
        site.add("/welcome", "<title>Welcome</title><h1>Welcome back</h1>")
        yield site


def record(agent: Agent, tmp_path: Path, goal: str, replies: list[dict[str, Any]], *arguments: str) -> None:
    """Run replies with the command, and expect a success."""
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
    code, out, err = agent("run", goal, "--script", str(script), *arguments)
    assert code == 0, out + err


def test_login_is_replayed_at_two_seeds(agent: Agent, tmp_path: Path) -> None:
    record(agent, tmp_path, "", LOGIN, "--url", "miniwob:login-user", "--seed", str(LOGIN_SEED))
    path = tmp_path / "login.toml"
    assert agent("replay", "last", "--save", str(path))[0] == 0
    for run, seed in ((str(path), 7), ("last", 8)):  # the replay of a replay is one as well
        code, out, err = agent("replay", run, "--seed", str(seed))
        assert code == 0, out + err
        trace = read_trace(tmp_path / "runs" / list_runs(tmp_path / "runs")[-1])
        assert trace.first("end")["reward"] == 1.0
        assert trace.manifest["policy"]["model"] == "replay"
        assert NAME not in trace.goal


@pytest.mark.slow
def test_other_task_halts_with_exit_code_one(agent: Agent, tmp_path: Path) -> None:
    record(agent, tmp_path, "", LOGIN, "--url", "miniwob:login-user", "--seed", str(LOGIN_SEED))
    code, out, _ = agent("replay", "last", "--url", "miniwob:click-test", "--seed", "7")
    assert code == 1
    assert "halted at step 1" in out


def test_moved_form_is_filled_with_other_values(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    address = f"{site.origin}/sign-in"
    expect = ("--expect", 'text "Welcome back"')
    record(agent, tmp_path, "sign in as alice", SIGN_IN, "--url", address, "--approve", "never", *expect)
    path = tmp_path / "sign_in.toml"
    assert agent("replay", "last", "--save", str(path))[0] == 0
    assert "s3cret-pw" not in path.read_text(encoding="utf-8")
    site.add("/sign-in", FORM.format(head="<h1>News</h1><p>We have moved.</p>", button="Go on"))
    arguments = (str(path), "--set", "words1=bob", "--set", "text1=0ther-pw", "--approve", "never")
    code, out, err = agent("replay", *arguments)
    assert code == 0, out + err
    assert "verified" in out
    assert [request.body for request in site.writes][1:] == [b"name=bob&code=0ther-pw"]
    assert "0ther-pw" not in "".join(file.read_text() for file in (tmp_path / "runs").rglob("*.json*"))


def test_hidden_text_must_be_given(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    record(agent, tmp_path, "sign in as alice", SIGN_IN, "--url", f"{site.origin}/sign-in", "--approve", "never")
    code, _, err = agent("replay", "last")
    assert code == 2
    assert "--set text1=VALUE" in err


def test_renamed_button_halts_before_click(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    click = [{"verb": "click", "x": 38, "y": 112}, {"verb": "done"}]
    record(agent, tmp_path, "sign in", click, "--url", f"{site.origin}/sign-in", "--approve", "never")
    assert len(site.writes) == 1
    site.add("/sign-in", FORM.format(head="", button="Delete"))
    code, out, _ = agent("replay", "last", "--approve", "never")
    assert code == 1
    assert 'button "Sign in" is not on the screen' in out
    assert len(site.writes) == 1


def test_denied_action_halts(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    click = [{"verb": "click", "x": 38, "y": 112}, {"verb": "done"}]
    record(agent, tmp_path, "sign in", click, "--url", f"{site.origin}/sign-in", "--approve", "never")
    code, out, _ = agent("replay", "last", "--policy", "read-only")
    assert code == 1
    assert "halted at step 1: click was not done" in out
    assert len(site.writes) == 1


@pytest.mark.slow
def test_focus_elsewhere_halts_before_typing(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    focus = "<script>onload = () => document.querySelector('[name={}]').focus()</script>"
    typing = [{"verb": "type", "text": "alice"}, {"verb": "done"}]
    site.add("/sign-in", FORM.format(head=focus.format("name"), button="Sign in"))
    record(agent, tmp_path, "sign in as alice", typing, "--url", f"{site.origin}/sign-in", "--approve", "never")
    site.add("/sign-in", FORM.format(head=focus.format("code"), button="Sign in"))
    code, out, _ = agent("replay", "last", "--approve", "never")
    assert code == 1
    assert "would go to textbox 'Code'" in out
