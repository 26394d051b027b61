"""The command as a person and a program meet it: exit codes, sentences, streams."""

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
from agent.trace import list_runs, read_trace

Agent = Callable[..., tuple[int, str, str]]
PRACTICE = ("--url", "practice:click-test")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Agent:
    """Call the command in this process: (exit code, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

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


def test_success_is_0_and_the_end_says_verdict_and_trace(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path
) -> None:
    code, out, err = agent("run", "", *PRACTICE, "--seed", "7", "--script", script(actions(MISS, CLICK)))
    assert (code, err) == (0, "") and env.seeds == [7] and env.surface.closed
    assert out.splitlines()[-3:-1] == [
        "end      success after 2 steps: the task is over: done",
        "verdict  the page's own reward is 1",
    ]
    assert out.splitlines()[-1] == f"trace    {last_run(tmp_path)}"
    run = read_trace(last_run(tmp_path))
    assert run.manifest["seed"] == 7 and run.manifest["settings"]["url"] == "practice:click-test"
    assert run.manifest["policy"]["model"] == "script" and run.manifest["versions"]["numpy"]


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


def test_the_machines_trouble_is_5(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    env.surface.trouble = "the browser is gone"
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5 and "error after 1 step: the browser is gone" in out


def test_a_machine_that_never_came_up_is_5_and_has_a_trace(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def none(settings: Any, guard: Any) -> Any:
        raise SurfaceError("no browser here")

    monkeypatch.setattr(session, "make_env", none)
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5 and "no browser here" in out and read_trace(last_run(tmp_path)).status == "error"


def test_ctrl_c_before_the_run_is_130(agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any) -> None:
    def interrupted(*given: Any, **how: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "run_session", interrupted)
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert (code, err) == (130, "")


def test_without_a_model_it_says_which_there_are_and_how_to_get_one(agent: Agent) -> None:
    code, out, err = agent("run", "buy milk", "--url", "https://example.org")
    assert (code, out) == (2, "") and "Traceback" not in err
    for words in (
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "16.6 GB",
        "Apache-2.0",
        "Qwen Research License",
        "agent models pull Qwen/Qwen2.5-VL-7B-Instruct",
        "agent demo",
    ):
        assert words in err
    assert agent("run", "buy milk")[2] == err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "Missing argument"),
        (["runn"], "Did you mean"),
        (["run", "x", "--modle", "y"], "--model"),
        (["run", "x", "--max-steps", "0"], "--max-steps"),
        (["run", "x", "--max-steps", "many"], "valid integer"),
        (["run", "x", "--model", "embedded"], "give the page to start from: --url"),
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
def test_a_persons_mistake_is_2_and_one_sentence(
    agent: Agent, script: Any, arguments: list[str], sentence: str
) -> None:
    files = {"SCRIPT": lambda: script(actions(CLICK)), "WORDS": lambda: script(["words"])}
    code, out, err = agent(*[files[argument]() if argument in files else argument for argument in arguments])
    assert code == 2 and sentence in err and "Traceback" not in err
    assert out in ("", "loading no such model …\n")


@pytest.mark.parametrize("lines", ["", "3\n", '"words"\n{"verb": "done"}\n', "{\n", '{"verb":\n'])
def test_a_script_that_is_none_is_refused(agent: Agent, tmp_path: Path, lines: str) -> None:
    (tmp_path / "s").write_text(lines)
    code, _, err = agent("run", "", *PRACTICE, "--script", str(tmp_path / "s"))
    assert code == 2 and "JSON string" in err and not (tmp_path / "runs").exists()


def test_a_script_of_words_speaks_the_models_dialect(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    call = {"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [120, 110]}}
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Another text.")
    words = [f"There it is.\n<tool_call>\n{json.dumps(call)}\n</tool_call>"]
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(words), "--prompt", str(prompt))
    assert code == 0 and "click (120, 110)" in out and "There it is." in out


def test_what_nobody_foresaw_is_one_sentence_and_the_traceback_lies_in_the_run(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(action: Any) -> str:
        raise ZeroDivisionError("a bug\nof two lines")

    env.surface.perform = bug  # type: ignore[method-assign]
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 5 and env.surface.closed
    path = re.search(r"the traceback is in (\S+),", err)
    assert path and len(err.splitlines()) == 1 and "ZeroDivisionError: a bug" in err
    assert "in bug" in Path(path[1]).read_text() and Path(path[1]).parent == last_run(tmp_path)
    assert read_trace(last_run(tmp_path)).status == "error"
    monkeypatch.setenv("PIXELHAND_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["agent", "run", "", *PRACTICE, "--script", script(actions(CLICK))])
    with pytest.raises(session.InternalError):
        cli.main()


def test_a_mistake_of_ours_before_the_run_is_a_sentence_too(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def bug(*given: Any) -> Any:
        raise ZeroDivisionError("early")

    monkeypatch.setattr(session, "_load_script", bug)
    code, _, err = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    path = re.search(r"the traceback is in (\S+),", err)
    assert code == 5 and path and "early" in Path(path[1]).read_text()
    assert tmp_path in Path(path[1]).parents


def test_a_seed_for_a_practice_page_is_drawn_from_those_never_trained_on(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path
) -> None:
    agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert env.seeds[0] is not None and env.seeds[0] >= 900_000
    assert read_trace(last_run(tmp_path)).manifest["seed"] == env.seeds[0]


def test_the_guard_of_a_run_has_the_persons_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.config import Settings
    from agent.safety.url_policy import UrlGuard
    from envs.miniwob import env as env_module

    guards: list[UrlGuard] = []
    monkeypatch.setattr(session, "open_surface", lambda settings: None)
    monkeypatch.setattr(env_module, "miniwob_env", lambda task, guard, surface: guards.append(guard))
    session.make_env(Settings(url="practice:click-test"), UrlGuard(hosts=("a.org",)))
    with pytest.raises(ActionDeniedError):
        guards[0].check_url("https://b.org")
    guards[0].check_url("https://a.org")


def test_hosts_that_a_person_allows_reach_the_guard(agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any) -> None:
    guards: list[Any] = []

    def watched(settings: Any, guard: Any) -> FakeEnv:
        guards.append(guard)
        return FakeEnv(guard=guard)

    monkeypatch.setattr(session, "make_env", watched)
    lines = script(actions(CLICK))
    assert agent("run", "", *PRACTICE, "--script", lines)[0] == 0
    assert agent("run", "", *PRACTICE, "--script", lines, "--allow-host", "A.org", "--allow-host", "*.b.org")[0] == 0
    assert [guard.hosts for guard in guards] == [None, ("a.org", "*.b.org")]


def test_ctrl_c_while_the_browser_starts_is_130_and_has_a_trace(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, script: Any, tmp_path: Path
) -> None:
    def starting(settings: Any, guard: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "make_env", starting)
    code, out, _ = agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 130 and "before it began" in out and read_trace(last_run(tmp_path)).status == "stopped"


def test_earlier_runs_are_listed_and_told(agent: Agent, env: FakeEnv, script: Any, tmp_path: Path) -> None:
    assert "no runs in" in agent("runs", "list")[1]
    agent("run", "press \x1b[31mit", *PRACTICE, "--script", script(["nonsense", *[]]))
    agent("run", "", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    code, out, _ = agent("runs", "list")
    first, second = out.splitlines()
    assert code == 0 and "budget" in first and "success" in second and "\x1b" not in out
    code, out, _ = agent("runs", "show")
    assert code == 0 and "did      click (120, 110)" in out and "trace    whole: " in out
    code, out, _ = agent("runs", "show", first.split()[0])
    assert "mistake  " in out and "\x1b" not in out
    path = last_run(tmp_path) / "steps.jsonl"
    path.write_bytes(path.read_bytes().replace(b"click", b"clack", 1))
    assert "damaged" in agent("runs", "list")[1].splitlines()[1]
    code, _, err = agent("runs", "show", "last")
    assert code == 2 and "does not follow" in err


def test_a_run_that_was_killed_is_told_with_what_is_not_known(
    agent: Agent, env: FakeEnv, script: Any, tmp_path: Path
) -> None:
    agent("run", "", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    path = last_run(tmp_path) / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])
    code, out, _ = agent("runs", "show")
    assert code == 0 and "step 2 was begun (click (120, 110)); whether it happened is not known" in out
    assert "broken off" in out and "cut off by a crash" in out


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
    """A card that takes the embedded checkpoint's place."""
    from agent import demo

    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    monkeypatch.setattr(demo, "CARD", path)
    return path


def test_demo_list_has_the_cards_figures_the_best_first(agent: Agent, card: Path) -> None:
    code, out, _ = agent("demo", "--list")
    lines = out.splitlines()
    assert code == 0 and "seeds 900000 to 900049" in lines[0]
    assert "agent eval miniwob --seeds 900000:900050" in lines[0]
    assert [line.split() for line in lines[1:6]] == [
        ["focus-text", "50", "of", "50"],
        ["click-test", "49", "of", "50"],
        ["click-link", "9", "of", "10"],
        ["click-test-2", "19", "of", "50"],
        ["click-dialog", "0", "of", "50"],
    ]
    from envs.miniwob.pages import names

    rest = " ".join(lines[6:])
    assert f"{len(names()) - 5} others untried" in rest
    words = rest.replace(",", "").split()
    assert "click-tab" in words and "book-flight" in words and "click-test" not in words


def test_a_card_that_is_none_is_refused_in_a_sentence(card: Path) -> None:
    from actions import UsageError
    from agent.demo import format_tasks, success_rates

    assert success_rates()["click-link"] == (9, 10)
    for text in ('{"tasks": {"click-test": 3}}', '{"tasks": [1]}', "[]", "{", '{"tasks": {"a": {"success": 1}}}'):
        card.write_text(text)
        with pytest.raises(UsageError, match=r"card\.json cannot be read .*; install the package again"):
            success_rates()
    card.write_text('{"tasks": {"click-test": {"success": 1, "total": 2}}}')
    assert "on seeds it was never trained on (agent eval miniwob):" in format_tasks().splitlines()[0]
    card.unlink()
    assert success_rates() == {} and "has no figures" in format_tasks()


def give(card: Path, task: str, won: int, total: int) -> None:
    """Add a figure to a card."""
    data = json.loads(card.read_text())
    data["tasks"][task] = {"success": won, "total": total}
    card.write_text(json.dumps(data))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(goal, settings) of each run that would have begun."""
    from agent.loop import Episode

    runs: list[tuple[str, Any]] = []

    def begin(goal: str, settings: Any, *given: Any, **how: Any) -> Episode:
        runs.append((goal, settings))
        return Episode("success", 1.0, (), "", "", "verdict")

    monkeypatch.setattr(session, "run_session", begin)
    return runs


def test_without_another_model_a_flight_is_booked_on_the_practice_page(
    agent: Agent, launched: list[Any], card: Path
) -> None:
    give(card, "book-flight", 31, 50)
    code, out, err = agent("run", "book a flight", "--seed", "900003")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()
    for words in (
        "your own screen needs a model that was made for it",
        "`agent models`",
        "`agent models pull Qwen/Qwen2.5-VL-7B-Instruct`",
        "practice:book-flight (right on 31 of 50 unseen ones)",
        "that page's own goal and not for yours",
    ):
        assert words in line
    ((goal, settings),) = launched
    assert (goal, settings.url, settings.model, settings.seed) == ("", "practice:book-flight", "embedded", 900003)


def test_a_plain_goal_is_done_on_a_page_that_the_model_has_managed(
    agent: Agent, launched: list[Any], card: Path
) -> None:
    _, out, _ = agent("run", "Click a link!")
    assert launched[0][1].url == "practice:click-link" and "(right on 9 of 10 unseen ones)" in out
    for goal in ("close the dialog", "log in", "book a flight", "click a link and buy it", "cancel my flight", ""):
        code, out, err = agent("run", goal)
        assert (code, out) == (2, "") and "none was named (--model)" in err
    assert len(launched) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--url", "https://example.org"], "none was named (--model)"),
        (["--on", "browser"], "none was named (--model)"),
        (["--model", "embedded"], "give the page to start from"),
    ],
)
def test_who_chose_a_page_a_model_or_a_surface_gets_no_other(
    agent: Agent, launched: list[Any], arguments: list[str], sentence: str
) -> None:
    code, out, err = agent("run", "close the dialog", *arguments)
    assert (code, out, launched) == (2, "", []) and sentence in err


@pytest.mark.parametrize(
    ("name", "value"), [("MODEL", "embedded"), ("URL", "https://example.org"), ("ON", "elsewhere")]
)
def test_what_stands_in_the_settings_was_chosen_too(
    agent: Agent, launched: list[Any], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"PIXELHAND_{name}", value)
    assert agent("run", "close the dialog")[0] == 2 and launched == []


def test_where_another_model_is_on_the_disk_it_is_for_the_person_to_name_it(
    agent: Agent, launched: list[Any], hub: Callable[..., None], card: Path
) -> None:
    give(card, "book-flight", 31, 50)
    hub("a/ours", revisions=2)
    code, out, err = agent("run", "book a flight")
    assert (code, out, launched) == (2, "", []) and len(err.splitlines()) == 1
    assert "on this disk is a/ours;" in err and "--model a/ours --url https://" in err
    hub("b/ours")
    assert "are a/ours, b/ours" in agent("run", "book a flight")[2]


@pytest.mark.parametrize(("failed", "said"), [([900000, 900002], "one of the 2 of 4 pages"), ([], "")])
def test_a_page_without_a_seed_is_one_that_the_model_did_right(
    agent: Agent, launched: list[Any], card: Path, failed: list[int], said: str
) -> None:
    data = json.loads(card.read_text())
    data["seeds"] = "900000 to 900003"
    data["tasks"]["book-flight"] = {"success": 4 - len(failed), "total": 4, "failed": failed, "broken": []}
    card.write_text(json.dumps(data))
    right = {900000, 900001, 900002, 900003} - set(failed)
    for words in (["run", "book a flight"], ["demo"], ["demo", "book-flight"]):
        code, out, _ = agent(*words)
        assert code == 0 and launched[-1][1].seed in right
        assert ("pages that it did right when it was measured; --seed N is another" in out) == bool(
            said
        ) and said in out
    agent("demo", "--seed", "900002")
    assert launched[-1][1].seed == 900002
    agent("run", "", "--url", "practice:book-flight", "--model", "embedded")
    assert launched[-1][1].seed is None


def test_demo_books_a_flight_once_the_model_has_booked_one(agent: Agent, launched: list[Any], card: Path) -> None:
    agent("demo")
    give(card, "book-flight", 1, 50)
    agent("demo")
    agent("demo", "click-dialog-2")
    assert [(goal, settings.url, settings.model) for goal, settings in launched] == [
        ("", "practice:click-dialog-2", "embedded"),
        ("", "practice:book-flight", "embedded"),
        ("", "practice:click-dialog-2", "embedded"),
    ]


def test_models_lists_what_there_is(agent: Agent) -> None:
    code, out, _ = agent("models")
    assert code == 0 and "embedded" in out and "Qwen/Qwen2.5-VL-72B-Instruct" in out and "146.8 GB" in out


def test_a_download_that_fails_is_one_sentence(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*given: Any, **how: Any) -> Any:
        raise OSError("We could not connect\nto the hub")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 2 and out == "" and "Qwen Research License" in err
    assert "could not be fetched (We could not connect); check the name" in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["not a name", "Qwen/", "../x", ""])
def test_a_name_that_no_hub_has_is_one_sentence(agent: Agent, name: str) -> None:
    code, _, err = agent("models", "pull", name)
    assert code == 2 and "could not be fetched" in err and "Traceback" not in err


def test_another_architecture_is_not_fetched(agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *given, **how: types.SimpleNamespace(siblings=[]))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *given, **how: str(tmp_path / "config.json"))
    code, _, err = agent("models", "pull", "some/llama")
    assert code == 2 and "is not a Qwen2.5-VL" in err


def test_a_model_is_fetched_without_what_is_no_part_of_it(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: list[Any] = []
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    files = [types.SimpleNamespace(rfilename=f"model-{n}.safetensors", size=3_000_000_000) for n in (1, 2)]
    files.append(types.SimpleNamespace(rfilename="pytorch_model.bin", size=9_000_000_000))
    info = types.SimpleNamespace(siblings=files)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *given, **how: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *given, **how: str(tmp_path / "config.json"))

    def fetched(hub_id: str, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 0 and f"ready in {tmp_path}" in out and "6.0 GB of weights" in err
    assert "*.safetensors" in asked and not {"*", "*.bin", "*.py", "*.pt"} & set(asked)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Put a model into the hub's cache."""
    import huggingface_hub

    (tmp_path / "hub").mkdir()
    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(tmp_path / "hub"))

    def put(name: str, kind: str = "qwen2_5_vl", weights: bool = True, revisions: int = 1) -> None:
        for number in range(revisions):
            repo = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
            snapshot = repo / "snapshots" / f"{number}123456789abcdef0123456789abcdef01234567"
            snapshot.mkdir(parents=True)
            (snapshot / "config.json").write_text(json.dumps({"model_type": kind}))
            if weights:
                (snapshot / "model.safetensors").write_bytes(b"weights")
            (repo / "refs").mkdir(exist_ok=True)
            (repo / "refs" / f"main{number}").write_text(snapshot.name)

    return put


def test_models_lists_those_in_the_hubs_cache(agent: Agent, hub: Callable[..., None]) -> None:
    hub("a/ours")
    hub("a/theirs", "llama")
    hub("a/without", weights=False)
    out = agent("models")[1]
    assert "a/ours" in out and "a/theirs" not in out and "a/without" not in out


def test_a_reader_that_goes_away_leaves_no_stack_trace() -> None:
    line = [sys.executable, "-m", "agent", "demo", "--list"]
    process = subprocess.Popen(line, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1 and errors == ""


# other screens, and who is asked

PAGE = ("--url", "https://example.org")


class Terminal:
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def own(env: FakeEnv) -> FakeEnv:
    env.surface.is_user_owned = True
    return env


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Answers typed at a terminal; the prompts as they were."""
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


def test_on_an_own_screen_without_a_terminal_nothing_is_done_and_it_is_3(
    agent: Agent, own: FakeEnv, script: Any, tmp_path: Path
) -> None:
    for arguments in ([], ["--approve", "each"]):
        own.guard = None  # each run has an environment of its own
        code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), *arguments)
        assert (code, own.surface.performed) == (3, [])
    assert "needs a person's approval" in out and read_trace(last_run(tmp_path)).status == "stopped"


def test_on_an_own_screen_a_person_approves_in_the_terminal(
    agent: Agent, own: FakeEnv, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = answering(monkeypatch, "not that one", "y")
    code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(MISS, CLICK)))
    assert (code, len(prompts)) == (0, 2) and own.surface.clicked
    assert "wants    click (5, 5)" in out and "mistake  the person refused this: not that one" in out
    assert f"picture  {last_run(tmp_path) / 'asked' / '0002.png'}" in out
    own.guard = None
    prompts = answering(monkeypatch, "s")
    code, out, _ = agent("run", "press it", *PAGE, "--script", script(actions(MISS, CLICK)))
    assert code == 130 and "a person stopped the run" in out


def test_approve_never_asks_nobody_and_a_settings_file_may_say_so(
    agent: Agent, own: FakeEnv, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), "--approve", "never")[0] == 0
    monkeypatch.setenv("PIXELHAND_APPROVE", "never")
    own.guard = None
    assert agent("run", "press it", *PAGE, "--script", script(actions(CLICK)))[0] == 0
    code, _, err = agent("run", "press it", *PAGE, "--script", script(actions(CLICK)), "--approve", "always")
    assert code == 2 and "'approve' in the command line must be each or never, not 'always'" in err


def test_on_a_practice_page_nobody_is_asked_wherever_it_is(agent: Agent, own: FakeEnv, script: Any) -> None:
    assert agent("run", "", *PRACTICE, "--script", script(actions(CLICK)))[0] == 0
    own.guard = None
    assert agent("run", "", *PRACTICE, "--script", script(actions(CLICK)), "--approve", "each")[0] == 3


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The openings that a desktop surface was asked for, in place of a real one."""
    from actions import plugins
    from envs.live import LiveEnv  # noqa: F401 - loaded before the clock of a test runs

    openings: list[Any] = []
    env = FakeEnv(task=False)

    def open_surface(opening: Any) -> Any:
        openings.append(opening)
        return env.surface

    module = types.SimpleNamespace(open_surface=open_surface)
    monkeypatch.setattr(plugins, "list_plugins", lambda package: ["browser", "desktop", "bare"])
    real = plugins.load_plugin

    def load(package: str, name: str) -> Any:
        if package != "envs.surfaces":
            return real(package, name)
        return {"desktop": module, "bare": types.SimpleNamespace()}[name]

    monkeypatch.setattr(plugins, "load_plugin", load)
    return openings


def test_name_and_where_window_and_program_reach_the_surface(
    agent: Agent, opened: list[Any], script: Any, tmp_path: Path
) -> None:
    arguments = ["--on", "desktop:virtual", "--open", "galculator -x", "--window", "Calc", "--max-steps", "1"]
    code, out, _ = agent("run", "add", *arguments, "--script", script(actions(CLICK)))
    (opening,) = opened
    assert (opening.where, opening.program, opening.window, opening.url) == ("virtual", "galculator -x", "Calc", "")
    assert code == 4 and "script on desktop:virtual, Calc, galculator -x" in out
    assert read_trace(last_run(tmp_path)).manifest["surface"] == "desktop:virtual"


def test_a_screen_that_cannot_show_a_practice_page_says_which_can(agent: Agent, opened: list[Any], script: Any) -> None:
    code, _, err = agent("run", "", "--on", "desktop", *PRACTICE, "--script", script(actions(CLICK)))
    assert code == 2 and "--on desktop:virtual, or --on android:SERIAL" in err
    code, _, err = agent("run", "x", "--on", "bare", "--script", script(actions(CLICK)))
    assert code == 2 and "its module has no open_surface" in err


def test_a_practice_page_runs_on_any_surface_that_can_show_it(
    agent: Agent, opened: list[Any], script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.agent_fakes import ButtonSurface

    from envs.miniwob import pages

    gone: list[str] = []
    page = pages.page("click-test").url

    def evaluate(surface: ButtonSurface, js: str) -> Any:
        if pages.VERDICT_JS in js:
            return {"done": surface.clicked, "reward": 1.0 if surface.clicked else None}
        return "press it" if "startEpisode" in js else True

    monkeypatch.setattr(ButtonSurface, "goto", lambda surface, address: gone.append(address), raising=False)
    monkeypatch.setattr(ButtonSurface, "evaluate", evaluate, raising=False)
    monkeypatch.setattr(ButtonSurface, "url", page, raising=False)
    code, out, _ = agent("run", "", "--on", "desktop:virtual", *PRACTICE, "--script", script(actions(MISS, CLICK)))
    assert code == 0 and gone == ["miniwob:click-test"] and "goal     press it" in out
    assert opened[0].url == "practice:click-test" and "on desktop:virtual, practice:click-test, seed 9" in out


def test_demo_takes_a_screen(agent: Agent, launched: list[Any]) -> None:
    assert agent("demo", "click-dialog-2", "--on", "android:127.0.0.1:5555")[0] == 0
    assert launched[0][1].on == "android:127.0.0.1:5555" and launched[0][1].url == "practice:click-dialog-2"


def test_every_command_of_another_floor_has_its_module() -> None:
    from importlib.util import find_spec

    for module, about in cli.SUBCOMMANDS.values():
        assert find_spec(module) is not None and about.endswith("."), module


def test_a_grounder_without_a_model_is_said_and_not_left_out(agent: Agent) -> None:
    code, _, err = agent("calibrate", "--grounder", "some/model")
    assert code == 2 and "with --model" in err


def test_what_a_screen_cannot_follow_is_said_on_a_practice_page_too(agent: Agent, script: Any) -> None:
    for more in (["--on", "browser:second"], ["--window", "Budget"], ["--open", "mousepad"]):
        code, _, err = agent("run", "", "--url", "practice:click-test", *more, "--script", script(actions(CLICK)))
        assert code == 2 and "does not apply to the browser surface" in err, more


def test_what_a_server_says_in_an_error_does_not_act_on_the_terminal(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*given: Any, **more: Any) -> Any:
        raise UsageError("the server refuses (\x1b]0;owned\x07)\nand more")

    monkeypatch.setattr(session, "load_policy", refuses)
    code, _, err = agent("run", "go", "--url", "https://a.org", "--model", "http://127.0.0.1:1/v1#x")
    assert code == 2 and "owned" in err and "\nand more" in err and "\x1b" not in err
