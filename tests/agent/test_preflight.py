"""Wrong settings are reported before a model is loaded, all at once, one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent

PAGE = ("--url", "https://example.org")


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when weights are read, and leave no display or phone of the developer."""
    from agent.policies import factory

    def load(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(factory, "load_local_policy", load)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "desktop:banana"], ["unknown desktop 'banana'"]),
        (["--on", "desktop"], ["no display"]),
        (["--on", "desktop", "--window", "X", "--headed"], ["--headed does not apply", "no display"]),
        (["--on", "desktop:virtual", "--program", "no-such-program"], ["'no-such-program' was not found"]),
        (["--on", "desktop:virtual", "--window", "W"], ["--window does not apply"]),
        (["--on", "desktop", *PAGE], ["--url cannot be used here", "no display"]),
        (["--on", "phone"], ["unknown surface 'phone'"]),
        (["--on", "image:/nope.png"], ["/nope.png is missing"]),
        (["--on", "image"], ["no image is named"]),
        (["--on", "browser:second", *PAGE], ["--surface browser:second does not apply"]),
        (["--url", "not a url"], ["'not a url' is not an address"]),
        (["--url", "banana"], ["'banana' is not an address"]),
        (["--url", "htps://example.org"], ["no scheme 'htps:'", "'https'"]),
        (["--url", "https://example.org:99999"], ["is not an address"]),
        (["--url", "file:///nope/nope.html"], ["there is no file"]),
        (["--url", "miniwob:click-tset"], ["click-test"]),
        ([*PAGE, "--headed"], ["--headed needs a display"]),
        ([*PAGE, "--window", "W", "--program", "p"], ["--window W does not apply", "--program p does not apply"]),
        ([*PAGE, "--prompt", "/nope.txt"], ["the prompt /nope.txt cannot be read"]),
        ([*PAGE, "--device", "banana"], ["device must be"]),
        ([*PAGE, "--device", "cuda:77"], ["device cuda:77 cannot be used"]),
        ([*PAGE, "--grounder", "nosuch"], ["no model 'nosuch'"]),
        ([], ["--url is missing"]),
    ],
)
def test_wrong_setting_is_reported_before_loading(
    agent: Agent, arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    code, out, err = agent("run", "do it", "--model", "embedded", *arguments)
    lines = err.strip().splitlines()
    assert (code, out) == (2, "")
    assert len(lines) == len(words) or (len(words) == 2 and len(lines) == 1)
    assert all(word in err for word in words)
    assert not (tmp_path / "runs").exists()


def test_all_problems_are_reported_at_once(agent: Agent) -> None:
    arguments = ["--url", "not a url", "--window", "W", "--model", "nosuch", "--device", "banana", "--prompt", "/nope"]
    code, _, err = agent("run", "", *arguments)
    assert code == 2
    for word in ("is not an address", "--window W", "no model 'nosuch'", "device must be", "the goal is empty"):
        assert sum(word in line for line in err.splitlines()) == 1


def test_all_invalid_values_are_reported_at_once(agent: Agent) -> None:
    code, _, err = agent("run", "x", *PAGE, "--max-steps", "0", "--zoom", "banana", "--dtype", "x", "--seed", "-1")
    assert code == 2
    for flag in ("--max-steps", "--zoom", "--dtype", "--seed"):
        assert sum(f"'{flag}'" in line for line in err.splitlines()) == 1


def test_wrong_screen_hides_list_of_models(agent: Agent) -> None:
    code, _, err = agent("run", "x", "--url", "not a url")
    assert code == 2
    assert "no model is named" in err
    assert len(err.strip().splitlines()) == 2


def test_server_options_are_checked_with_the_screen(agent: Agent) -> None:
    code, _, err = agent("run", "x", "--url", "a b", "--model", "http://127.0.0.1:9/v1?nosuch=1", "--zoom", "on")
    assert code == 2
    for word in ("is not an address", "unknown option 'nosuch'", "--zoom cannot be applied to the server"):
        assert word in err


def test_wrong_url_leaves_no_runs(agent: Agent, tmp_path: Path) -> None:
    assert agent("run", "x", "--url", "not a url", "--model", "embedded")[0] == 2
    assert not (tmp_path / "runs").exists()


def test_mcp_checks_its_screen_at_start(agent: Agent) -> None:
    code, _, err = agent("mcp", "--on", "desktop:banana", "--model", "nosuch")
    assert code == 2
    assert "unknown desktop 'banana'" in err
    assert "no model 'nosuch'" in err


def test_calibrate_checks_desktop_before_loading(agent: Agent) -> None:
    code, _, err = agent("calibrate", "--on", "desktop:banana", "--model", "nosuch")
    assert code == 2
    assert "unknown desktop 'banana'" in err
    assert "no model 'nosuch'" in err
