"""Tests of `agent run` on other surfaces, and of the approval of actions."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, MISS, FakeEnv
from helpers.command import PRACTICE, Agent, actions, last_run

from agent.trace import read_trace

PAGE = ("--url", "https://example.org")


class Terminal:
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def own_screen(env: FakeEnv) -> FakeEnv:
    env.surface.is_user_owned = True
    return env


def answer_prompts(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Replace the terminal by given answers; return the prompts."""
    from agent.ui import display

    prompts: list[str] = []
    lines = iter(answers)

    def fresh_line(prompt: str) -> str:
        prompts.append(prompt)
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(display, "_read_fresh_line", fresh_line)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return prompts


def test_own_screen_without_terminal_exits_3(agent: Agent, own_screen: FakeEnv, script: Any, tmp_path: Path) -> None:
    for arguments in ([], ["--approve", "each"]):
        own_screen.guard = None  # each run has an environment of its own
        code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), *arguments)
        assert (code, own_screen.surface.performed) == (3, [])
    assert "needs a person's approval" in out
    assert read_trace(last_run(tmp_path)).status == "stopped"


def test_user_approves_actions_in_terminal(
    agent: Agent, own_screen: FakeEnv, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = answer_prompts(monkeypatch, "not that one", "y")
    code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(MISS, CLICK)))
    assert (code, len(prompts)) == (0, 2)
    assert own_screen.surface.clicked
    assert "wants    click (5, 5)" in out
    assert "mistake  the person refused this: not that one" in out
    assert f"picture  {last_run(tmp_path) / 'approvals' / '0002.png'}" in out
    own_screen.guard = None
    prompts = answer_prompts(monkeypatch, "s")
    code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(MISS, CLICK)))
    assert code == 130
    assert "a person stopped the run" in out


def test_approve_never_performs_without_asking(
    agent: Agent, own_screen: FakeEnv, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), "--approve", "never")[0] == 0
    monkeypatch.setenv("PIXELHAND_APPROVE", "never")
    own_screen.guard = None
    assert agent("run", "press it", *PAGE, "--script", script(actions(CLICK)))[0] == 0
    code, _, err = agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), "--approve", "always")
    assert code == 2
    assert "Invalid value for '--approve'" in err


def test_practice_page_needs_no_approval(agent: Agent, own_screen: FakeEnv, script: Any) -> None:
    assert agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))[0] == 0
    own_screen.guard = None
    assert agent("run", "", *PRACTICE, "--script", script(actions(CLICK)), "--approve", "each")[0] == 3


@pytest.fixture
def surface_options(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the desktop surface; return the options with which it was opened."""
    from actions import plugins
    from envs.live import LiveEnv  # noqa: F401 - loaded before the clock of a test runs

    options_list: list[Any] = []
    env = FakeEnv(task=False)

    def open_surface(options: Any) -> Any:
        options_list.append(options)
        return env.surface

    module = types.SimpleNamespace(open_surface=open_surface)
    monkeypatch.setattr(plugins, "list_plugins", lambda package: ["browser", "desktop", "bare"])
    real = plugins.load_plugin

    def load(package: str, name: str) -> Any:
        if package != "envs.surfaces":
            return real(package, name)
        return {"desktop": module, "bare": types.SimpleNamespace()}[name]

    monkeypatch.setattr(plugins, "load_plugin", load)
    return options_list


def test_surface_options_reach_the_surface(
    agent: Agent, surface_options: list[Any], script: Any, tmp_path: Path
) -> None:
    arguments = ["--on", "desktop:virtual", "--open", "galculator -x", "--window", "Calc", "--max-steps", "1"]
    code, out, _ = agent("run", "add", *arguments, "--script", script(actions(CLICK)))
    (options,) = surface_options
    assert (options.where, options.program, options.window, options.url) == ("virtual", "galculator -x", "Calc", "")
    assert code == 4
    assert "script on desktop:virtual, Calc, galculator -x" in out
    assert read_trace(last_run(tmp_path)).manifest["surface"] == "desktop:virtual"


def test_surface_without_pages_refuses_practice_page(agent: Agent, surface_options: list[Any], script: Any) -> None:
    code, _, err = agent("run", "", "--on", "desktop", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 2
    assert "desktop:virtual, or android:SERIAL" in err
    code, _, err = agent("run", "x", "--on", "bare", "--script", script(actions(CLICK)))
    assert code == 2
    assert "its module has no open_surface" in err


def test_practice_page_runs_on_virtual_desktop(
    agent: Agent, surface_options: list[Any], script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.agent_fakes import ButtonSurface

    from envs.miniwob import pages

    visited: list[str] = []
    page = pages.page("click-test").url

    def evaluate(surface: ButtonSurface, js: str) -> Any:
        if pages.VERDICT_JS in js:
            return {"done": surface.clicked, "reward": 1.0 if surface.clicked else None}
        return "press it" if "startEpisode" in js else True

    monkeypatch.setattr(ButtonSurface, "goto", lambda surface, address: visited.append(address), raising=False)
    monkeypatch.setattr(ButtonSurface, "evaluate", evaluate, raising=False)
    monkeypatch.setattr(ButtonSurface, "url", page, raising=False)
    code, out, _ = agent("run", "", "--on", "desktop:virtual", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    assert code == 0
    assert visited == ["miniwob:click-test"]
    assert "goal     press it" in out
    assert surface_options[0].url == "practice:click-test"
    assert "on desktop:virtual, practice:click-test, seed 9" in out


def test_unsupported_surface_option_exits_2(agent: Agent, script: Any) -> None:
    for extra in (["--on", "browser:second"], ["--window", "Budget"], ["--open", "mousepad"]):
        code, _, err = agent("run", "", "--url", "practice:click-test", *extra, "--script", script(actions(CLICK)))
        assert code == 2, extra
        assert "does not apply to the browser surface" in err, extra
