"""Tests of `agent run` in a real Chromium, with a script in place of a model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import HERE

from actions import Answer
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.trace import TraceWriter, list_runs, new_folder, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
ROOT = HERE.parent.parent
END_KEYS = {"event", "status", "reward", "steps", "run", "cause", "proof", "message", "duration_s", "prompt_tokens"}
END_KEYS |= {"reply_tokens", "screenshot"}
CLICK_TEST_SEED = 900001
BUTTON = {"verb": "click", "x": 140, "y": 160}  # of click-test with that seed


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that builds the command line of a scripted run."""

    def line(replies: Sequence[Any], *arguments: str) -> list[str]:
        script = tmp_path / "script.jsonl"
        script.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
        return [
            sys.executable,
            "-m",
            "agent",
            "run",
            *arguments,
            "--script",
            str(script),
            "--runs",
            str(tmp_path / "runs"),
        ]

    return line


def only_run(tmp_path: Path) -> Path:
    (run_id,) = list_runs(tmp_path / "runs")
    return tmp_path / "runs" / run_id


def test_json_output_has_events_only(command: Any, tmp_path: Path) -> None:
    call = {"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [BUTTON["x"], BUTTON["y"]]}}
    replies = ["no call at all", f"<tool_call>{json.dumps(call)}</tool_call>"]
    line = command(replies, "", "--url", "practice:click-test", "--seed", str(CLICK_TEST_SEED), "--json")
    process = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=90)
    events = [json.loads(text) for text in process.stdout.splitlines()]
    assert process.returncode == 0, process.stderr
    assert [event["event"] for event in events] == ["start", "step", "step", "end"]
    assert events[0]["goal"] == "Click the button."
    assert events[0]["seed"] == CLICK_TEST_SEED
    folder = str(only_run(tmp_path))
    end = events[-1]
    assert set(end) == END_KEYS
    assert {key: end[key] for key in ("status", "reward", "steps", "run")} == {
        "status": "success",
        "reward": 1.0,
        "steps": 2,
        "run": folder,
    }
    assert Path(end["screenshot"]).is_file()
    assert all(Path(event["screenshot"]).is_file() for event in events[1:3])
    record = read_trace(Path(folder))
    assert record.check_frames() == 2
    assert (record.steps()[0].screen.width, record.steps()[0].screen.height) == (280, 364)
    show_command = [sys.executable, "-m", "agent", "runs", "show", folder]
    assert "trace    whole" in subprocess.run(show_command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_approve_each_without_user_clicks_nothing(command: Any, tmp_path: Path) -> None:
    line = command([BUTTON], "", "--url", "practice:click-test", "--seed", str(CLICK_TEST_SEED), "--json")
    process = subprocess.run(
        [*line, "--approve", "each"], cwd=ROOT, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
    )
    end = json.loads(process.stdout.splitlines()[-1])
    assert process.returncode == 3, process.stderr
    assert (end["status"], end["reward"]) == ("stopped", None)
    record = read_trace(only_run(tmp_path))
    assert record.first("approval")["answer"] == "nobody"
    assert "--approve never" in record.finished[0]["error"]


def test_json_usage_error_ends_with_end_event(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "agent", "run", "x", "--json"]
    process = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert "agent models pull" in process.stderr
    end = json.loads(process.stdout)
    assert (end["event"], end["status"], end["cause"], end["run"]) == ("end", "error", "usage", "")
    assert "agent models pull" in end["message"]


@pytest.mark.skipif(os.name != "posix", reason="process groups exist on POSIX only")
def test_interrupt_closes_browser_and_keeps_trace(command: Any, tmp_path: Path) -> None:
    """The signal goes to the whole process group, as from a terminal, so the browser's driver receives it too."""
    import psutil

    line = command([BUTTON | {"x": 5}, {"verb": "wait", "seconds": 60}], "wait", "--url", "about:blank", "--json")
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "step":
        pass
    time.sleep(0.5)  # until the wait has started
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2, f"the process ended with {process.poll()}"  # the driver and the browser
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    end = json.loads(out.splitlines()[-1])
    assert set(end) == END_KEYS - {"proof"}
    assert (end["status"], end["steps"]) == ("stopped", 1)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    record = read_trace(only_run(tmp_path))
    assert record.status == "stopped"
    assert not record.truncated
    assert len(record.finished) == 1


# failures, in one process

PAGE = """<!doctype html><style>
* {{ position: absolute }}
button {{ left: 20px; top: 20px; width: 200px; height: 60px }}
p {{ top: 150px }}
</style><button onclick="{onclick}">Go</button><p id=p></p>"""
PRESS = '{"verb": "click", "x": 100, "y": 50}'
ANSWER = '{"verb": "answer", "text": "seen"}'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from envs.surfaces.browser import Surface

    with Surface(width=400, height=300, timeout_s=2.0) as surface:
        yield surface


@pytest.fixture
def make_env(browser: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Return a function that opens a page with one button, which runs the given JavaScript."""
    from envs.live import LiveEnv

    def start(onclick: str) -> Any:
        (tmp_path / "page.html").write_text(PAGE.format(onclick=onclick))
        browser.goto((tmp_path / "page.html").as_uri())
        return LiveEnv(browser)

    return start


def run_traced(env: Any, folder: Path, *replies: str) -> Episode:
    writer = TraceWriter(folder, {"goal": "go", "policy": {}})
    episode = run("go", env, ScriptPolicy(replies), max_steps=len(replies), trace=writer)
    writer.close()
    return episode


def is_complete(folder: Path, episode: Episode) -> bool:
    record = read_trace(folder)
    return record.status == episode.status and not record.truncated and len(record.steps()) == len(episode.steps)


def test_confirm_dialog_is_reported_and_not_accepted(make_env: Any, tmp_path: Path) -> None:
    env, folder = make_env("p.textContent = confirm('Buy it?') ? 'bought' : 'not bought'"), new_folder(tmp_path)
    episode = run_traced(env, folder, PRESS, '{"verb": "press", "keys": ["escape"]}', ANSWER)
    assert episode.status == "success"
    assert isinstance(episode.steps[-1].action, Answer)
    assert "Buy it?" in episode.steps[0].notice
    assert is_complete(folder, episode)
    assert env.surface.evaluate("p.textContent") == "not bought"


def test_popup_is_followed(make_env: Any, tmp_path: Path) -> None:
    env, folder = make_env("window.open('about:blank')"), new_folder(tmp_path)
    episode = run_traced(env, folder, PRESS, ANSWER)
    assert episode.status == "success"
    assert "tab" in episode.steps[0].notice
    assert is_complete(folder, episode)
    assert episode.steps[0].screen.digest != episode.steps[1].screen.digest


def test_hanging_page_does_not_hang_run(make_env: Any, tmp_path: Path) -> None:
    env, folder = make_env("for (;;);"), new_folder(tmp_path)
    episode = run_traced(env, folder, PRESS, ANSWER)
    assert episode.status == "success"
    assert "stopped responding" in episode.steps[0].notice
    assert is_complete(folder, episode)


def test_crashed_page_is_reopened(make_env: Any, tmp_path: Path) -> None:
    env, folder = make_env("p.textContent = 'clicked'"), new_folder(tmp_path)

    class RendererKiller(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            if len(steps) == 1:
                import psutil

                for child in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.Error):  # a process that ended meanwhile
                        if "--type=renderer" in " ".join(child.cmdline()):
                            child.kill()
                time.sleep(0.5)
            return super().decide(goal, steps, screen, verbs)

    writer = TraceWriter(folder, {"goal": "go", "policy": {}})
    episode = run("go", env, RendererKiller([PRESS, PRESS, PRESS, ANSWER]), max_steps=4, trace=writer)
    writer.close()
    assert episode.status == "success"
    assert is_complete(folder, episode)
    assert "crashed and was opened again" in episode.steps[1].notice
    assert "was not done" in episode.steps[1].notice


def test_closed_browser_ends_run_as_error(tmp_path: Path) -> None:
    from envs.live import LiveEnv
    from envs.surfaces.browser import Surface

    folder = new_folder(tmp_path)
    with Surface(width=400, height=300) as surface:
        env = LiveEnv(surface)
        surface._thread.call(surface._session.browser.close(), 5, "closing the browser")
        writer = TraceWriter(folder, {"goal": "go", "policy": {}})
        episode = run("go", env, ScriptPolicy([PRESS, PRESS]), max_steps=2, trace=writer)
        writer.close()
    assert (episode.status, episode.cause) == ("error", "machine")
    assert is_complete(folder, episode)
