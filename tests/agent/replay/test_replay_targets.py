"""What a replay opens: window and program of the recorded run, and the elements of the screen if it knew them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, FakeEnv
from helpers.command import Agent, last_run

from actions import UsageError
from agent.replay.program import Anchor, Program, ProgramStep, read_program, write_program
from agent.replay.session import choose_program, load_program
from agent.trace import read_trace

COMMAND = "galculator --scientific"


@pytest.fixture
def recorded(agent: Agent, env: FakeEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Record a run with a program on a virtual desktop, and return its folder."""
    from envs import factory

    monkeypatch.setattr(factory, "check_options", lambda name, options: [])  # a desktop may be missing here
    env.task = False
    script = tmp_path / "script.jsonl"
    script.write_text(f"{CLICK}\n{DONE}\n", encoding="utf-8")
    arguments = ("--surface", "desktop:virtual", "--program", COMMAND, "--script", str(script))
    code, out, err = agent("run", "press it", *arguments)
    assert code == 0, out + err
    env.guard, env.surface.clicked = None, False
    env.surface.pixels[:20] = 200
    return last_run(tmp_path)


def test_program_of_run_is_started_again(agent: Agent, recorded: Path, tmp_path: Path) -> None:
    code, out, err = agent("replay", "last")
    assert code == 0, out + err
    settings = read_trace(last_run(tmp_path)).manifest["settings"]
    assert settings["program"] == COMMAND
    assert settings["read_elements"] is False


def test_program_of_file_must_be_given(agent: Agent, recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "calculator.toml"
    assert agent("replay", "last", "--save", str(path))[0] == 0
    assert read_program(path).program == COMMAND
    code, _, err = agent("replay", str(path))
    assert code == 2
    assert "--program" in err
    code, out, err = agent("replay", str(path), "--program", COMMAND)
    assert code == 0, out + err


def test_given_program_comes_first(tmp_path: Path) -> None:
    program = make_program(program="xterm")
    assert choose_program("last", program, "xclock") == "xclock"
    assert choose_program("last", program, None) == "xterm"
    assert choose_program("last", make_program(), None) is None
    write_program(program, tmp_path / "a.toml")
    with pytest.raises(UsageError, match="xterm"):
        choose_program(str(tmp_path / "a.toml"), program, None)


def make_program(anchor: Anchor | None = None, **fields: Any) -> Program:
    """Return a program of one click."""
    steps = (ProgramStep("click", anchors=(anchor or Anchor(),)),)
    return Program("press it", "desktop:virtual", "", None, (280, 364), (1288, 728), (), steps, **fields)


def test_window_and_place_survive_the_file(tmp_path: Path) -> None:
    program = make_program(Anchor(place=(120, 110), rival=0.5, crop="AA=="), window="Budget")
    write_program(program, tmp_path / "a.toml")
    assert load_program(str(tmp_path / "a.toml"), tmp_path) == program


@pytest.mark.parametrize(("role", "has_elements"), [(None, False), ("", True), ("button", True)])
def test_elements_are_read_if_recorded(role: str | None, has_elements: bool) -> None:
    assert make_program(Anchor(role)).has_elements is has_elements
