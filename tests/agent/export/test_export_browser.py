"""Exported runs of the browser and of a virtual desktop, run without this package."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.write_site import WriteSite, serve_writes

LOGIN = [  # of the practice page login-user with the seed 1
    {"verb": "click", "x": 124, "y": 154},
    {"verb": "type", "text": "vina"},
    {"verb": "click", "x": 106, "y": 246},
    {"verb": "type", "text": "US"},
    {"verb": "click", "x": 80, "y": 317},
]
FORM = """<title>Sign in</title><style>* {{ font: 20px Arial }} body {{ margin: 0 }}</style>
<form method=post action=/welcome>
<p><label>Name <input name=name></label></p><p><label>Code <input name=code type=password></label></p>
<button>{button}</button></form>"""
SIGN_IN = [
    {"verb": "click", "x": 150, "y": 14},
    {"verb": "type", "text": "alice"},
    {"verb": "press", "keys": ["tab"]},
    {"verb": "type", "text": "s3cret-pw"},
    {"verb": "click", "x": 38, "y": 112},
    {"verb": "done"},
]
TK_PAD = Path(__file__).parents[2] / "helpers" / "tk_pad.py"


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as site:
        site.add("/sign-in", FORM.format(button="Sign in"))
        site.add("/welcome", "<title>Welcome</title><h1>Welcome back</h1>")
        yield site


def record(agent: Agent, tmp_path: Path, goal: str, replies: list[dict[str, Any]], *arguments: str) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
    code, out, err = agent("run", goal, "--script", str(script), "--approve", "never", *arguments)
    assert code == 0, out + err


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("target", ["playwright", "pytest"])
def test_practice_page_is_exported_and_passes(agent: Agent, tmp_path: Path, target: str) -> None:
    record(agent, tmp_path, "", LOGIN, "--url", "miniwob:login-user", "--seed", "1")
    path = tmp_path / "login.py"
    code, _, err = agent("export", "last", "--to", target, "--out", str(path))
    assert code == 0, err
    source = path.read_text(encoding="utf-8")
    assert 'page.locator("#username").fill("vina")' in source
    assert 'page.get_by_role("button", name="Login", exact=True).click()' in source
    assert "pixelhand" not in source


@pytest.mark.usefixtures("chromium")
def test_form_is_exported_without_its_secret(
    agent: Agent, tmp_path: Path, site: WriteSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(agent, tmp_path, "sign in as alice", SIGN_IN, "--url", f"{site.origin}/sign-in")
    monkeypatch.setenv("CODE", "0ther-pw")
    code, out, err = agent("export", "last", "--to", "playwright")
    assert code == 0, err
    assert "s3cret-pw" not in out
    assert "0ther-pw" not in out
    assert 'page.get_by_role("textbox", name="Name", exact=True).fill("alice")' in out
    assert "to_be_visible()" in out
    assert {request.body for request in site.writes[1:]} == {b"name=alice&code=0ther-pw"}
    assert len(site.writes) == 4  # recorded, written, and run twice


@pytest.mark.usefixtures("chromium")
def test_changed_page_is_not_written(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    replies = [SIGN_IN[4], SIGN_IN[5]]
    record(agent, tmp_path, "sign in", replies, "--url", f"{site.origin}/sign-in")
    site.add("/welcome", "<title>Sorry</title><h1>Wrong code</h1>")
    path = tmp_path / "code.py"
    code, _, err = agent("export", "last", "--to", "playwright", "--out", str(path))
    assert code == 1
    assert "no end" in err
    assert not path.exists()


@pytest.mark.usefixtures("chromium")
def test_refused_expectation_fails_at_the_end(agent: Agent, tmp_path: Path, site: WriteSite) -> None:
    replies = [SIGN_IN[4], SIGN_IN[5]]
    expect = ("--expect", 'text "Welcome back"')
    record(agent, tmp_path, "sign in", replies, "--url", f"{site.origin}/sign-in", *expect)
    site.add("/welcome", "<title>Sorry</title><h1>Wrong code</h1>")
    code, out, err = agent("export", "last", "--to", "pytest")
    assert code == 1
    assert "at step the end" in err
    assert out == ""


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_forked_run_is_exported(agent: Agent, tmp_path: Path) -> None:
    record(agent, tmp_path, "", LOGIN, "--url", "miniwob:login-user", "--seed", "1")
    script = tmp_path / "rest.jsonl"
    script.write_text("".join(json.dumps(reply) + "\n" for reply in LOGIN[3:]), encoding="utf-8")
    code, out, err = agent("runs", "fork", "last", "--at", "3", "--script", str(script))
    assert code == 0, out + err
    assert "own reward is 1" in out
    code, _, err = agent("export", "last", "--to", "playwright", "--out", str(tmp_path / "fork.py"))
    assert code == 0, err


@pytest.mark.desktop
def test_desktop_program_is_exported_and_passes(agent: Agent, tmp_path: Path) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is missing")
    pytest.importorskip("tkinter")
    program = f"{Path(sys.executable).resolve()} {TK_PAD} pad.txt"
    replies = [{"verb": "click", "x": 300, "y": 200}, {"verb": "type", "text": "hello"}, {"verb": "done"}]
    arguments = ("--surface", "desktop:virtual", "--program", program, "--policy", "sandbox")
    record(agent, tmp_path, "write hello", replies, *arguments)
    code, out, err = agent("export", "last", "--to", "pyautogui")
    assert code == 0, err
    assert 'pyautogui.write("hello", interval=0.02)' in out
