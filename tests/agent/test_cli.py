"""Tests of the `agent` command: exit codes, messages and output streams."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, HERE, MISS, FakeEnv
from helpers.command import PRACTICE, Agent, actions, last_run

from actions import ActionDeniedError, SurfaceError, UsageError
from agent import cli, session
from agent.crash_report import InternalError
from agent.trace import list_runs, read_trace


def test_success_exits_0_with_verdict_and_trace(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    code, out, err = agent("run", "", *PRACTICE, "--seed", "7", "--script", script(actions(MISS, CLICK)))
    assert (code, err) == (0, "")
    assert env.seeds == [7]
    assert env.surface.closed
    assert out.splitlines()[-4:-1] == [
        "end      success after 2 steps: the task is done",
        "verdict  the page's own reward is 1",
        "proof    verified",
    ]
    assert out.splitlines()[-1] == f"trace    {last_run(tmp_path)}"
    run = read_trace(last_run(tmp_path))
    assert run.manifest["seed"] == 7
    assert run.manifest["settings"]["url"] == "practice:click-test"
    assert run.manifest["policy"]["model"] == "script"
    assert run.manifest["versions"]["numpy"]


@pytest.mark.parametrize(
    ("replies", "code", "status"),
    [
        ([CLICK], 0, "success"),
        ([DONE], 1, "failure"),
        ([MISS] * 9, 1, "failure"),
        ([MISS], 4, "budget"),
        (['{"verb": "open", "target": "file:///etc/passwd"}'] * 3, 3, "stopped"),
    ],
)
def test_exit_codes(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path, replies: list[str], code: int, status: str
) -> None:
    from agent.safety.url_policy import UrlGuard

    env.guard = UrlGuard()
    assert agent("run", "", *PRACTICE, "--script", script(actions(*replies)))[0] == code
    assert read_trace(last_run(tmp_path)).status == status


def test_surface_error_exits_5(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    env.surface.failure = "the browser is gone"
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5
    assert "error after 1 step: the browser is gone" in out


def test_environment_start_failure_exits_5_with_trace(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def fail_to_open(settings: Any, guard: Any) -> Any:
        raise SurfaceError("no browser here")

    monkeypatch.setattr(session, "make_env", fail_to_open)
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5
    assert "no browser here" in out
    assert read_trace(last_run(tmp_path)).status == "error"


def test_interrupt_before_run_exits_130(agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "run_session", interrupt)
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert (code, err) == (130, "")


def test_missing_model_error_lists_models(agent: Agent) -> None:
    code, out, err = agent("run", "buy milk", "--url", "https://example.org")
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for arguments in (
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "16.6 GB",
        "Apache-2.0",
        "Qwen Research License",
        "agent models pull Qwen/Qwen2.5-VL-7B-Instruct",
        "agent demo",
    ):
        assert arguments in err
    without_page = agent("run", "buy milk")[2]
    assert "--url is missing" in without_page
    assert without_page.endswith(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument"),
        (["runn"], "Did you mean"),
        (["run", "x", "--modle", "y"], "--model"),
        (["run", "x", "--max-steps", "0"], "--max-steps"),
        (["run", "x", "--max-steps", "many"], "valid integer"),
        (["run", "x", "--model", "embedded"], "--url is missing"),
        (["run", "", "--model", "embedded", "--url", "https://a.org"], "the goal is empty"),
        (["run", "x", "--url", "practice:clik-test"], "Did you mean 'click-test'"),
        (["demo", "click-dialog-3"], "no practice task 'click-dialog-3'"),
        (["run", "x", "--url", "https://a.org", "--script", "/no/such"], "the script /no/such cannot be read"),
        (
            ["run", "x", "--url", "https://a.org", "--allow-host", "http://a.org/", "--script", "SCRIPT"],
            "is not a host",
        ),
        (["run", "x", "--url", "https://a.org", "--on", "browsr", "--script", "SCRIPT"], "Did you mean 'browser'?"),
        (
            ["run", "x", "--url", "https://a.org", "--prompt", "/no", "--script", "WORDS"],
            "the prompt /no cannot be read",
        ),
        (["run", "x", "--url", "https://a.org", "--model", "no such model"], "no model 'no such model'"),
        (["runs", "show", "nine"], "no run 'nine'"),
        (["models", "pul"], "Did you mean 'pull'"),
    ],
)
def test_usage_error_exits_2(agent: Agent, script: Any, arguments: list[str], message: str) -> None:
    files = {"SCRIPT": lambda: script(actions(CLICK)), "WORDS": lambda: script(["words"])}
    code, out, err = agent(*[files[argument]() if argument in files else argument for argument in arguments])
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out in ("", "loading no such model …\n")


@pytest.mark.parametrize("lines", ["", "3\n", '"words"\n{"verb": "done"}\n', "{\n", '{"verb":\n'])
def test_invalid_script_exits_2_without_trace(agent: Agent, tmp_path: Path, lines: str) -> None:
    (tmp_path / "s").write_text(lines)
    code, _, err = agent("run", "", *PRACTICE, "--script", str(tmp_path / "s"))
    assert code == 2
    assert "JSON string" in err
    assert not (tmp_path / "runs").exists()


def test_text_script_uses_qwen25_dialect(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    call = {"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [120, 110]}}
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Another text.")
    arguments = [f"There it is.\n<tool_call>\n{json.dumps(call)}\n</tool_call>"]
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(arguments), "--prompt", str(prompt))
    assert code == 0
    assert "click (120, 110)" in out
    assert "There it is." in out


def test_unexpected_exception_writes_crash_report(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(action: Any) -> str:
        raise ZeroDivisionError("a bug\nof two lines")

    env.surface.perform = bug  # type: ignore[method-assign]
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5
    assert env.surface.closed
    path = re.search(r"the traceback is in (\S+),", err)
    assert path
    assert len(err.splitlines()) == 1
    assert "ZeroDivisionError: a bug" in err
    assert "in bug" in Path(path[1]).read_text()
    assert Path(path[1]).parent == last_run(tmp_path)
    assert read_trace(last_run(tmp_path)).status == "error"
    monkeypatch.setenv("PIXELHAND_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["agent", "run", "", *PRACTICE, "--script", script(actions(CLICK))])
    with pytest.raises(InternalError):
        cli.main()


def test_unexpected_exception_before_run_writes_crash_report(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def bug(*args: Any) -> Any:
        raise ZeroDivisionError("early")

    monkeypatch.setattr(session, "load_script", bug)
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    path = re.search(r"the traceback is in (\S+),", err)
    assert code == 5
    assert path
    assert "early" in Path(path[1]).read_text()
    assert tmp_path in Path(path[1]).parents


def test_practice_seed_is_drawn_from_evaluation_seeds(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert env.seeds[0] is not None
    assert env.seeds[0] >= 900_000
    assert read_trace(last_run(tmp_path)).manifest["seed"] == env.seeds[0]


def test_environment_guard_checks_allowed_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.config import Settings
    from agent.safety.url_policy import UrlGuard

    guards: list[UrlGuard] = []
    monkeypatch.setattr("envs.factory.open_surface", lambda name, options: None)
    monkeypatch.setattr("envs.miniwob.env.miniwob_env", lambda task, guard, surface: guards.append(guard))
    session.make_env(Settings(url="practice:click-test"), UrlGuard(hosts=("a.org",)))
    with pytest.raises(ActionDeniedError):
        guards[0].check_url("https://b.org")
    guards[0].check_url("https://a.org")


def test_allow_host_flag_reaches_guard(agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any) -> None:
    guards: list[Any] = []

    def open_env(settings: Any, guard: Any) -> FakeEnv:
        guards.append(guard)
        return FakeEnv(guard=guard)

    monkeypatch.setattr(session, "make_env", open_env)
    lines = script(actions(CLICK))
    assert agent("run", "", *PRACTICE, "--script", lines)[0] == 0
    assert agent("run", "", *PRACTICE, "--script", lines, "--allow-host", "A.org", "--allow-host", "*.b.org")[0] == 0
    assert [guard.hosts for guard in guards] == [None, ("a.org", "*.b.org")]


def test_interrupt_while_opening_exits_130_with_trace(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def interrupt_start(settings: Any, guard: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "make_env", interrupt_start)
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 130
    assert "before it began" in out
    assert read_trace(last_run(tmp_path)).status == "stopped"


def test_runs_are_listed_and_shown(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    assert "no runs in" in agent("runs", "list")[1]
    agent("run", "press \x1b[31mit", *PRACTICE, "--script", script(["nonsense", *[]]))
    agent("run", "", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    code, out, _ = agent("runs", "list")
    first, second = out.splitlines()
    assert code == 0
    assert "budget" in first
    assert "success" in second
    assert "\x1b" not in out
    code, out, _ = agent("runs", "show")
    assert code == 0
    assert "did      click (120, 110)" in out
    assert "trace    whole: " in out
    code, out, _ = agent("runs", "show", first.split()[0])
    assert "mistake  " in out
    assert "\x1b" not in out
    path = last_run(tmp_path) / "steps.jsonl"
    path.write_bytes(path.read_bytes().replace(b"click", b"clack", 1))
    assert "damaged" in agent("runs", "list")[1].splitlines()[1]
    code, _, err = agent("runs", "show", "last")
    assert code == 2
    assert "does not follow" in err


def test_killed_run_shows_pending_action(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    agent("run", "", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    path = last_run(tmp_path) / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])
    code, out, _ = agent("runs", "show")
    assert code == 0
    assert "step 2 was interrupted: click (120, 110) may or may not have been carried out" in out
    assert "broken off" in out
    assert "cut off by a crash" in out


def test_version_flag_prints_version(agent: Agent) -> None:
    code, out, _ = agent("--version")
    assert code == 0
    assert out.startswith("pixelhand ")


@pytest.mark.parametrize("arguments", [["-h"], ["run", "-h"], ["models", "-h"]])
def test_short_help_flag_is_accepted(agent: Agent, arguments: list[str]) -> None:
    code, out, _ = agent(*arguments)
    assert code == 0
    assert "Usage: agent" in out


def test_config_show_lists_origins(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELHAND_MAX_STEPS", "7")
    code, out, _ = agent("config", "show")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("max_steps")]
    assert line.split() == ["max_steps", "=", "7", "#", "the", "environment"]


def test_bench_without_source_checkout_is_usage_error(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_import(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="perf")

    monkeypatch.setattr(cli, "import_module", fail_to_import)
    code, _, err = agent("bench", "decode")
    assert code == 2
    assert "agent bench is part of the source checkout" in err


def test_usage_error_while_opening_leaves_no_run(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def refuse(settings: Any, guard: Any) -> Any:
        raise UsageError("there is no such phone")

    monkeypatch.setattr(session, "make_env", refuse)
    code, out, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 2
    assert (out + err).count("there is no such phone") == 1
    assert list_runs(tmp_path / "runs") == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_end_event_has_cause_and_totals(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    env.surface.failure = "the browser is gone"
    agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    end = read_trace(last_run(tmp_path)).first("end")
    assert (end["status"], end["cause"], end["message"]) == ("error", "machine", "the browser is gone")
    assert end["duration_s"] >= 0
    assert (end["prompt_tokens"], end["reply_tokens"]) == (0, 0)


def test_closed_pipe_exits_1_silently() -> None:
    line = [sys.executable, "-m", "agent", "demo", "--list"]
    process = subprocess.Popen(line, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert errors == ""


def test_every_subcommand_has_its_module() -> None:
    from importlib.util import find_spec

    for location, summary in cli.SUBCOMMANDS.values():
        module = location.partition(":")[0]
        assert find_spec(module) is not None, module
        assert summary.endswith("."), module


def test_grounder_without_model_exits_2(agent: Agent) -> None:
    code, _, err = agent("calibrate", "--grounder", "some/model")
    assert code == 2
    assert "with --model" in err


def test_error_has_no_control_characters(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **extra: Any) -> Any:
        raise UsageError("the server refuses (\x1b]0;owned\x07)\nand more")

    monkeypatch.setattr(session, "load_policy", refuse)
    code, _, err = agent("run", "go", "--url", "https://a.org", "--model", "http://127.0.0.1:1/v1#x")
    assert code == 2
    assert "owned" in err
    assert "\nand more" in err
    assert "\x1b" not in err


def test_bench_is_found_from_another_folder(tmp_path: Path) -> None:
    root = str(HERE.parent.parent)
    code = (
        f"import sys; sys.path.insert(0, {root!r}); from agent import cli; sys.path.remove({root!r}); "
        "sys.argv = ['agent', 'bench', '--help']; cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "surfaces" in process.stdout
