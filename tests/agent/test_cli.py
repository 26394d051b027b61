"""Tests of the `agent` command: exit codes, messages and output streams."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, HERE, MISS, FakeEnv

from actions import ActionDeniedError, SurfaceError, UsageError
from agent import cli, session
from agent.crash_report import InternalError
from agent.trace import list_runs, read_trace

Agent = Callable[..., tuple[int, str, str]]
PRACTICE = ("--url", "practice:click-test")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Agent:
    """Call the command in this process: (exit code, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> FakeEnv:
    fake = FakeEnv()
    monkeypatch.setattr(session, "make_env", lambda settings, guard: fake)
    return fake


@pytest.fixture
def script(tmp_path: Path) -> Callable[[Sequence[Any]], str]:
    def write(replies: Sequence[Any]) -> str:
        path = tmp_path / "script.jsonl"
        path.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
        return str(path)

    return write


def actions(*replies: str) -> list[Any]:
    return [json.loads(reply) for reply in replies]


def last_run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / list_runs(tmp_path / "runs")[-1]


def test_success_exits_0_with_verdict_and_trace(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    code, out, err = agent("run", "", *PRACTICE, "--seed", "7", "--script", script(actions(MISS, CLICK)))
    assert (code, err) == (0, "")
    assert env.seeds == [7]
    assert env.surface.closed
    assert out.splitlines()[-3:-1] == [
        "end      success after 2 steps: the task is done",
        "verdict  the page's own reward is 1",
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
    assert agent("run", "buy milk")[2] == err


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
        (["run", "x", "--url", "practice:clik-test"], "did you mean 'click-test'"),
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
    from envs import live

    guards: list[UrlGuard] = []
    monkeypatch.setattr(session, "open_surface", lambda settings: None)
    monkeypatch.setattr(live, "practice_env", lambda task, guard, surface: guards.append(guard))
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
    assert "step 2 was begun (click (120, 110)); whether it happened is not known" in out
    assert "broken off" in out
    assert "cut off by a crash" in out


CARD = {
    "tasks": {
        "click-test-2": {"success": 19, "total": 50},
        "focus-text": {"success": 50, "total": 50},
        "click-test": {"success": 49, "total": 50},
        "click-dialog": {"success": 0, "total": 50},
        "click-link": {"success": 9, "total": 10},
        "click-tab": {"success": 0, "total": 0},
    },
    "seeds": "900000 to 900049",
}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the embedded checkpoint's card."""
    from agent import demo

    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    monkeypatch.setattr(demo, "CARD", path)
    return path


def test_demo_list_sorts_tasks_by_success_rate(agent: Agent, card: Path) -> None:
    code, out, _ = agent("demo", "--list")
    lines = out.splitlines()
    assert code == 0
    assert "seeds 900000 to 900049" in lines[0]
    assert "agent eval miniwob --seeds 900000:900050" in lines[0]
    assert [line.split() for line in lines[1:6]] == [
        ["focus-text", "50", "of", "50"],
        ["click-test", "49", "of", "50"],
        ["click-link", "9", "of", "10"],
        ["click-test-2", "19", "of", "50"],
        ["click-dialog", "0", "of", "50"],
    ]
    from envs.miniwob.pages import names

    others = " ".join(lines[6:])
    assert f"{len(names()) - 5} other tasks were not evaluated" in others
    arguments = others.replace(",", "").split()
    assert "click-tab" in arguments
    assert "book-flight" in arguments
    assert "click-test" not in arguments


def test_damaged_card_raises_usage_error(card: Path) -> None:
    from actions import UsageError
    from agent.demo import format_tasks, success_rates

    assert success_rates()["click-link"] == (9, 10)
    for text in ('{"tasks": {"click-test": 3}}', '{"tasks": [1]}', "[]", "{", '{"tasks": {"a": {"success": 1}}}'):
        card.write_text(text)
        with pytest.raises(UsageError, match=r"card\.json cannot be read .*; install pixelhand again"):
            success_rates()
    card.write_text('{"tasks": {"click-test": {"success": 1, "total": 2}}}')
    assert "on seeds that it was not trained on (agent eval miniwob):" in format_tasks().splitlines()[0]
    card.unlink()
    assert success_rates() == {}
    assert "has no figures" in format_tasks()


def add_figures(card: Path, task: str, successes: int, total: int) -> None:
    """Add the figures of a task to a card."""
    data = json.loads(card.read_text())
    data["tasks"][task] = {"success": successes, "total": total}
    card.write_text(json.dumps(data))


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Replace run_session; return the (goal, settings) of each call."""
    from agent.loop import Episode

    runs: list[tuple[str, Any]] = []

    def begin(goal: str, settings: Any, *args: Any, **kwargs: Any) -> Episode:
        runs.append((goal, settings))
        return Episode("success", 1.0, (), "", "", "verdict")

    monkeypatch.setattr(session, "run_session", begin)
    return runs


def test_missing_model_error_names_practice_demo(agent: Agent, sessions: list[Any]) -> None:
    code, out, err = agent("run", "book a flight")
    assert (code, out, sessions) == (2, "", [])
    assert err.splitlines()[-1].endswith("agent demo book-flight")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "https://example.org"], "none was named (--model)"),
        (["--on", "browser"], "none was named (--model)"),
        (["--surface", "elsewhere"], "no surface 'elsewhere'"),
        (["--url", "practice:clik-test"], "did you mean 'click-test'"),
        (["--model", "embedded"], "--url is missing"),
    ],
)
def test_run_reports_wrong_option_before_missing_one(
    agent: Agent, sessions: list[Any], arguments: list[str], message: str
) -> None:
    code, out, err = agent("run", "close the dialog", *arguments)
    assert (code, out, sessions) == (2, "", [])
    assert message in err


def test_missing_model_error_names_downloaded_models(
    agent: Agent, sessions: list[Any], hub: Callable[..., None]
) -> None:
    hub("a/ours", revisions=2)
    code, out, err = agent("run", "book a flight")
    assert (code, out, sessions) == (2, "", [])
    assert len(err.splitlines()) == 2
    assert "on this disk is a/ours;" in err
    assert "--model a/ours --url https://" in err
    hub("b/ours")
    assert "are a/ours, b/ours" in agent("run", "book a flight")[2]


@pytest.mark.parametrize(("failed", "notice"), [([900000, 900002], "one of the 2 of 4 pages"), ([], "")])
def test_demo_seed_is_one_that_succeeded(
    agent: Agent, sessions: list[Any], card: Path, failed: list[int], notice: str
) -> None:
    data = json.loads(card.read_text())
    data["seeds"] = "900000 to 900003"
    data["tasks"]["book-flight"] = {"success": 4 - len(failed), "total": 4, "failed": failed, "broken": []}
    card.write_text(json.dumps(data))
    successful = {900000, 900001, 900002, 900003} - set(failed)
    code, out, _ = agent("demo", "book-flight")
    assert code == 0
    assert sessions[-1][1].seed in successful
    assert ("in its last evaluation; --seed N shows another" in out) == bool(notice)
    assert notice in out
    agent("demo", "book-flight", "--seed", "900002")
    assert sessions[-1][1].seed == 900002
    agent("run", "", "--url", "practice:book-flight", "--model", "embedded")
    assert sessions[-1][1].seed is None


@pytest.mark.parametrize(
    ("successes", "task"),
    [
        ({"login-user": 50, "enter-date": 50}, "login-user"),
        ({"login-user": 48, "enter-date": 49}, "enter-date"),
        ({"login-user": 10, "click-dialog-2": 40}, "click-dialog-2"),
    ],
)
def test_demo_without_task_shows_reliable_one(
    agent: Agent, sessions: list[Any], card: Path, successes: dict[str, int], task: str
) -> None:
    for name, count in successes.items():
        add_figures(card, name, count, 50)
    agent("demo")
    ((goal, settings),) = sessions
    assert (goal, settings.url, settings.model) == ("", f"practice:{task}", "embedded")


def test_embedded_card_has_reliable_first_task() -> None:
    from agent.demo import FIRST_TASK_RATE, default_task, success_rates

    successes, total = success_rates()[default_task()]
    assert successes / total >= FIRST_TASK_RATE


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


def test_models_lists_supported_models(agent: Agent) -> None:
    code, out, _ = agent("models")
    assert code == 0
    assert "embedded" in out
    assert "Qwen/Qwen2.5-VL-72B-Instruct" in out
    assert "146.8 GB" in out


def test_failed_download_is_one_sentence(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail_to_connect(*args: Any, **kwargs: Any) -> Any:
        raise OSError("We could not connect\nto the hub")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail_to_connect)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 2
    assert out == ""
    assert "Qwen Research License" in err
    assert "could not be fetched (We could not connect); check the name" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["not a name", "Qwen/", "../x", ""])
def test_invalid_hub_name_is_one_sentence(agent: Agent, name: str) -> None:
    code, _, err = agent("models", "pull", name)
    assert code == 2
    assert "could not be fetched" in err
    assert "Traceback" not in err


def test_unsupported_architecture_is_not_downloaded(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: types.SimpleNamespace(siblings=[]))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(tmp_path / "config.json"))
    code, _, err = agent("models", "pull", "some/llama")
    assert code == 2
    assert "is not a Qwen2.5-VL" in err


def test_pull_downloads_weights_and_config_only(agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    patterns: list[Any] = []
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    files = [types.SimpleNamespace(rfilename=f"model-{n}.safetensors", size=3_000_000_000) for n in (1, 2)]
    files.append(types.SimpleNamespace(rfilename="pytorch_model.bin", size=9_000_000_000))
    info = types.SimpleNamespace(siblings=files)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(tmp_path / "config.json"))

    def snapshot_download(hub_id: str, allow_patterns: list[str]) -> str:
        patterns.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 0
    assert f"ready in {tmp_path}" in out
    assert "6.0 GB of weights" in err
    assert "*.safetensors" in patterns
    assert not {"*", "*.bin", "*.py", "*.pt"} & set(patterns)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that adds a model to the Hub cache."""
    import huggingface_hub

    (tmp_path / "hub").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(tmp_path / "hub"))

    def add_model(name: str, kind: str = "qwen2_5_vl", weights: bool = True, revisions: int = 1) -> None:
        for number in range(revisions):
            repo = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
            snapshot = repo / "snapshots" / f"{number}123456789abcdef0123456789abcdef01234567"
            snapshot.mkdir(parents=True)
            (snapshot / "config.json").write_text(json.dumps({"model_type": kind}))
            if weights:
                (snapshot / "model.safetensors").write_bytes(b"weights")
            (repo / "refs").mkdir(exist_ok=True)
            (repo / "refs" / f"main{number}").write_text(snapshot.name)

    return add_model


def test_models_lists_hub_cache(agent: Agent, hub: Callable[..., None]) -> None:
    hub("a/ours")
    hub("a/theirs", "llama")
    hub("a/without", weights=False)
    out = agent("models")[1]
    assert "a/ours" in out
    assert "a/theirs" not in out
    assert "a/without" not in out


def test_closed_pipe_exits_1_silently() -> None:
    line = [sys.executable, "-m", "agent", "demo", "--list"]
    process = subprocess.Popen(line, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert errors == ""


# surfaces and approval

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

    monkeypatch.setattr(display, "_fresh_line", fresh_line)
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
    assert f"picture  {last_run(tmp_path) / 'asked' / '0002.png'}" in out
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
    assert "--on desktop:virtual, or --on android:SERIAL" in err
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
    assert visited == ["practice:click-test"]
    assert "goal     press it" in out
    assert surface_options[0].url == "practice:click-test"
    assert "on desktop:virtual, practice:click-test, seed 9" in out


def test_demo_accepts_surface(agent: Agent, sessions: list[Any]) -> None:
    assert agent("demo", "click-dialog-2", "--on", "android:127.0.0.1:5555")[0] == 0
    assert sessions[0][1].surface == "android:127.0.0.1:5555"
    assert sessions[0][1].url == "practice:click-dialog-2"


def test_every_subcommand_has_its_module() -> None:
    from importlib.util import find_spec

    for module, summary in cli.SUBCOMMANDS.values():
        assert find_spec(module) is not None, module
        assert summary.endswith("."), module


def test_grounder_without_model_exits_2(agent: Agent) -> None:
    code, _, err = agent("calibrate", "--grounder", "some/model")
    assert code == 2
    assert "with --model" in err


def test_unsupported_surface_option_exits_2(agent: Agent, script: Any) -> None:
    for extra in (["--on", "browser:second"], ["--window", "Budget"], ["--open", "mousepad"]):
        code, _, err = agent("run", "", "--url", "practice:click-test", *extra, "--script", script(actions(CLICK)))
        assert code == 2, extra
        assert "the browser has no" in err, extra


def test_error_has_no_control_characters(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **extra: Any) -> Any:
        raise UsageError("the server refuses (\x1b]0;owned\x07)\nand more")

    monkeypatch.setattr(session, "load_policy", refuse)
    code, _, err = agent("run", "go", "--url", "https://a.org", "--model", "http://127.0.0.1:1/v1#x")
    assert code == 2
    assert "owned" in err
    assert "\nand more" in err
    assert "\x1b" not in err
