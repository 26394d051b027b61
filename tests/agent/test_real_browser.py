"""The whole journey in real Chromium, without a model: what the command says, and what trouble does to a run."""

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
LAST = {"event", "status", "reward", "steps", "run"}
CLICK_TEST_SEED = 900001
BUTTON = {"verb": "click", "x": 140, "y": 160}  # of click-test with that seed


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a run of a script."""

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


def test_json_is_alone_on_standard_output_and_ends_with_the_end(command: Any, tmp_path: Path) -> None:
    words = {"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [BUTTON["x"], BUTTON["y"]]}}
    replies = ["no call at all", f"<tool_call>{json.dumps(words)}</tool_call>"]
    line = command(replies, "", "--url", "practice:click-test", "--seed", str(CLICK_TEST_SEED), "--json")
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=90)
    events = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [event["event"] for event in events] == ["start", "step", "step", "end"]
    assert events[0]["goal"] == "Click the button." and events[0]["seed"] == CLICK_TEST_SEED
    folder = str(only_run(tmp_path))
    assert events[-1] == {"event": "end", "status": "success", "reward": 1.0, "steps": 2, "run": folder}
    back = read_trace(Path(folder))
    assert back.check_frames() == 2 and (back.steps()[0].screen.width, back.steps()[0].screen.height) == (280, 364)
    again = [sys.executable, "-m", "agent", "runs", "show", folder]
    assert "trace    whole" in subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_where_each_action_is_to_be_approved_and_nobody_is_there_nothing_is_clicked(
    command: Any, tmp_path: Path
) -> None:
    line = command([BUTTON], "", "--url", "practice:click-test", "--seed", str(CLICK_TEST_SEED), "--json")
    done = subprocess.run(
        [*line, "--approve", "each"], cwd=ROOT, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
    )
    end = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 3 and (end["status"], end["reward"]) == ("stopped", None), done.stderr
    back = read_trace(only_run(tmp_path))
    assert back.first("approval")["answer"] == "nobody" and "--approve never" in back.finished[0]["error"]


def test_json_ends_with_the_end_also_when_the_person_is_wrong(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "agent", "run", "x", "--json"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "agent models pull" in done.stderr
    assert json.loads(done.stdout) == {"event": "end", "status": "error", "reward": None, "steps": 0, "run": ""}


def test_without_a_model_json_stays_alone_and_the_practice_page_gives_the_goal(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "agent", "run", "close the dialog", "--json", "--max-steps", "1", "--seed", "900001"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    events = [json.loads(text) for text in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["start", "step", "end"], done.stderr
    assert "Close the dialog" in events[0]["goal"] and events[-1]["status"] in ("budget", "failure", "success")
    notes = [text for text in done.stderr.splitlines() if "your own screen needs a model" in text]
    assert len(notes) == 1 and "agent models pull" in notes[0] and "practice:click-dialog" in notes[0]
    manifest = read_trace(Path(events[-1]["run"])).manifest
    assert (manifest["settings"]["model"], manifest["url"]) == ("embedded", "practice:click-dialog")


@pytest.mark.skipif(os.name != "posix", reason="signals to a process group are POSIX's")
def test_ctrl_c_closes_the_browser_keeps_the_trace_and_is_130(command: Any, tmp_path: Path) -> None:
    """To the whole process group, as a terminal sends it: the browser's driver gets it too."""
    import psutil

    line = command([BUTTON | {"x": 5}, {"verb": "wait", "seconds": 60}], "", "--url", "practice:click-test", "--json")
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "step":
        pass
    time.sleep(0.5)  # it waits now
    children, until = [], time.monotonic() + 10
    while len(children) < 2 and time.monotonic() < until:
        children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2, f"it has ended with {process.poll()}"
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 15
    assert process.returncode == 130 and "Traceback" not in errors
    end = json.loads(out.splitlines()[-1])
    assert set(end) == LAST and (end["status"], end["steps"]) == ("stopped", 1)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    back = read_trace(only_run(tmp_path))
    assert back.status == "stopped" and not back.truncated and len(back.finished) == 1


# Trouble, in one process: the run goes on or ends with the right status, and the trace is whole.

PAGE = """<!doctype html><style>
* {{ position: absolute }}
button {{ left: 20px; top: 20px; width: 200px; height: 60px }}
p {{ top: 150px }}
</style><button onclick="{act}">Go</button><p id=p></p>"""
GO = '{"verb": "click", "x": 100, "y": 50}'
READ = '{"verb": "answer", "text": "seen"}'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from envs.surfaces.browser import Surface

    with Surface(width=400, height=300, timeout_s=2.0) as surface:
        yield surface


@pytest.fixture
def live(browser: Any, tmp_path: Path) -> Callable[[str], Any]:
    """An environment at a page with one button, which does what is given."""
    from envs.live import LiveEnv

    def start(act: str) -> Any:
        (tmp_path / "page.html").write_text(PAGE.format(act=act))
        browser.goto((tmp_path / "page.html").as_uri())
        return LiveEnv(browser)

    return start


def traced(env: Any, folder: Path, *replies: str) -> Episode:
    writer = TraceWriter(folder, {"goal": "go", "policy": {}})
    episode = run("go", env, ScriptPolicy(replies), max_steps=len(replies), trace=writer)
    writer.close()
    return episode


def whole(folder: Path, episode: Episode) -> bool:
    back = read_trace(folder)
    return back.status == episode.status and not back.truncated and len(back.steps()) == len(episode.steps)


def test_confirm_is_shown_and_never_accepted_by_itself(live: Any, tmp_path: Path) -> None:
    env, folder = live("p.textContent = confirm('Buy it?') ? 'bought' : 'not bought'"), new_folder(tmp_path)
    episode = traced(env, folder, GO, '{"verb": "press", "keys": ["escape"]}', READ)
    assert episode.status == "success" and isinstance(episode.steps[-1].action, Answer)
    assert "Buy it?" in episode.steps[0].notice and whole(folder, episode)
    assert env.surface.evaluate("p.textContent") == "not bought"


def test_a_popup_is_followed(live: Any, tmp_path: Path) -> None:
    env, folder = live("window.open('about:blank')"), new_folder(tmp_path)
    episode = traced(env, folder, GO, READ)
    assert episode.status == "success" and "tab" in episode.steps[0].notice and whole(folder, episode)
    assert episode.steps[0].screen.digest != episode.steps[1].screen.digest


def test_a_page_that_hangs_does_not_hang_the_run(live: Any, tmp_path: Path) -> None:
    env, folder = live("for (;;);"), new_folder(tmp_path)
    began = time.monotonic()
    episode = traced(env, folder, GO, READ)
    assert time.monotonic() - began < 30
    assert episode.status == "success" and "stopped responding" in episode.steps[0].notice and whole(folder, episode)


def test_a_page_that_crashes_is_opened_again_and_the_run_goes_on(live: Any, tmp_path: Path) -> None:
    env, folder = live("p.textContent = 'clicked'"), new_folder(tmp_path)

    class Saboteur(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            if len(steps) == 1:
                import psutil

                for child in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.Error):  # one that ends by itself meanwhile
                        if "--type=renderer" in " ".join(child.cmdline()):
                            child.kill()
                time.sleep(0.5)
            return super().decide(goal, steps, screen, verbs)

    writer = TraceWriter(folder, {"goal": "go", "policy": {}})
    episode = run("go", env, Saboteur([GO, GO, GO, READ]), max_steps=4, trace=writer)
    writer.close()
    assert episode.status == "success" and whole(folder, episode)
    assert "crashed and was opened again" in episode.steps[1].notice and "was not done" in episode.steps[1].notice


def test_a_browser_that_dies_is_an_error(tmp_path: Path) -> None:
    from envs.live import LiveEnv
    from envs.surfaces.browser import Surface

    folder = new_folder(tmp_path)
    with Surface(width=400, height=300) as surface:
        env = LiveEnv(surface)
        surface._thread.call(surface._browser.close(), 5, "ending it from outside")
        writer = TraceWriter(folder, {"goal": "go", "policy": {}})
        episode = run("go", env, ScriptPolicy([GO, GO]), max_steps=2, trace=writer)
        writer.close()
    assert (episode.status, episode.cause) == ("error", "machine") and whole(folder, episode)
