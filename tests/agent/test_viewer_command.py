"""`agent run --view` and `agent view` as commands, with a real browser for the run and another for the page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import HERE
from helpers.eventually import eventually
from helpers.viewer_page import open_page, violations
from helpers.write_site import WriteSite, serve_writes

from agent.trace import list_runs, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
ROOT = HERE.parent.parent
HOSTILE_TITLE = "<script>document.title='hacked'</script>"
BUTTON = '<button style="position:fixed;left:100px;top:100px;width:200px;height:100px"'
PAGE = f"<title>{HOSTILE_TITLE}</title>{BUTTON} onclick=\"document.body.append(' done ')\">{HOSTILE_TITLE}</button>"
PAGE = PAGE.replace(f">{HOSTILE_TITLE}</button>", ">&lt;script&gt;Delete</button>")
CLICK, DONE = {"verb": "click", "x": 200, "y": 150}, {"verb": "done"}


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as served:
        served.add("/page", PAGE)
        yield served


class Command:
    """The `agent` command in a process of its own, with its viewer."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._errors = (folder / "errors.txt").open("w+")
        line = [sys.executable, "-u", "-m", "agent", *arguments]
        self.process = subprocess.Popen(
            line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self.url = ""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if text.startswith("view "):
                self.url = text.split()[1]
                break
        assert self.url, (folder / "errors.txt").read_text()

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].partition("/")[0])

    def wait(self) -> int:
        self.process.communicate(timeout=120)
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    commands: list[Command] = []

    def begin(*arguments: str) -> Command:
        commands.append(Command(tmp_path, *arguments, "--runs", str(tmp_path / "runs")))
        return commands[-1]

    yield begin
    for command in commands:
        if command.process.poll() is None:
            command.process.kill()
            command.process.communicate()


def script(tmp_path: Path, *replies: dict[str, object]) -> tuple[str, str]:
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return "--script", str(path)


def last_trace(tmp_path: Path) -> Any:
    return read_trace(tmp_path / "runs" / list_runs(tmp_path / "runs")[-1])


def test_effect_is_approved_in_page(start: Any, site: WriteSite, tmp_path: Path) -> None:
    command = start("run", "press it", "--url", f"{site.origin}/page", "--view", *script(tmp_path, CLICK, DONE))
    with open_page(command.url) as page:
        page.wait_for_selector("#question:not([hidden])")
        assert "Delete" in page.inner_text("#question-text")
        page.wait_for_timeout(600)
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
        assert page.title() == "Pixelhand viewer"
        assert violations(page) == 0
    assert command.wait() == 0
    answers = [event["answer"] for event in last_trace(tmp_path).events if event["event"] == "approval"]
    assert answers == ["approved"]


def test_stop_while_person_is_asked(start: Any, site: WriteSite, tmp_path: Path) -> None:
    command = start("run", "press it", "--url", f"{site.origin}/page", "--view", *script(tmp_path, CLICK, DONE))
    with open_page(command.url) as page:
        page.wait_for_selector("#question:not([hidden])")
        page.click("#stop")
        page.wait_for_selector("#phase[data-phase=stopped]")
    assert command.wait() == 130
    assert last_trace(tmp_path).first("end")["cause"] == "interrupted"


def test_person_signs_in_and_hands_back(start: Any, site: WriteSite, tmp_path: Path) -> None:
    field = '<input style="position:fixed;left:100px;top:100px;width:200px;height:100px"'
    site.add("/sign-in", f"{field} type=password>")
    site.add("/name", f"{field} aria-label=Name>")
    waits = [{"verb": "wait", "seconds": 0.5}] * 3
    for path, text in (("/sign-in", "•••"), ("/name", "geheim")):
        arguments = ("run", "sign in", "--url", f"{site.origin}{path}", "--view")
        command = start(*arguments, *script(tmp_path, *waits, DONE))
        with open_page(command.url) as page:
            page.click("#take-over")
            page.wait_for_selector("#frame.taken")
            box = page.locator("#screen").bounding_box()
            page.mouse.click(box["x"] + box["width"] * 200 / 1288, box["y"] + box["height"] * 150 / 728)
            page.locator("#entries li.person", has_text="click (").wait_for()
            page.fill("#typed", "geheim")
            page.click("#keyboard button[type=submit]")
            page.locator("#entries li.person", has_text="type").wait_for()
            page.click("#hand-back")
            page.wait_for_selector("#phase[data-phase=success]")
        assert command.wait() == 0
        trace = last_trace(tmp_path)
        acts = [event for event in trace.events if event["event"] == "person.act"]
        assert [act["error"] for act in acts] == ["", ""]
        assert acts[1]["action"]["text"] == text
        is_written = b"geheim" in (trace.folder / "steps.jsonl").read_bytes()
        assert is_written == (text == "geheim")


def test_browser_of_run_cannot_open_viewer(start: Any, site: WriteSite, tmp_path: Path) -> None:
    hosts = ["127.0.0.1", "localhost", "[::1]", "2130706433"]
    first = {"verb": "wait", "seconds": 1}
    rules = ("--allow-host", "127.0.0.1:*", "--allow-host", "localhost:*", "--allow-host", "[::1]:*")
    options = ("--policy", "sandbox", "--view", *rules)
    site.add("/frame", "<p>waiting</p>")
    command = start("run", "look", "--url", f"{site.origin}/frame", *options, *script(tmp_path, *[first] * 4, DONE))
    attack = (
        f"<script>const ways = {hosts}.map(host => fetch(`http://${{host}}:{command.port}/`, {{mode: 'no-cors'}}));"
        "Promise.allSettled(ways).then(all => fetch('/report/' + all.map(way => way.status).join('-'),"
        "{method: 'POST'}))</script>"
    )
    site.add("/attack", attack)
    with open_page(command.url) as page:
        page.click("#take-over")
        page.wait_for_selector("#frame.taken")
        page.evaluate(
            "async (url) => { await fetch('/commands', {method: 'POST', headers: {Authorization: 'Bearer ' + "
            "sessionStorage.getItem('token')}, body: JSON.stringify({name: 'act', action: {verb: 'open', "
            "target: url}})}) }",
            f"{site.origin}/attack",
        )
        reports = eventually(lambda: [write.path for write in site.writes if write.path.startswith("/report/")])
        page.click("#hand-back")
        page.wait_for_selector("#phase[data-phase=success]")
    assert reports == ["/report/" + "-".join(["rejected"] * len(hosts))]
    assert command.wait() == 0
    assert "rule 'blocked port'" in (last_trace(tmp_path).folder / "steps.jsonl").read_text()


def test_finished_run_is_served(start: Any, site: WriteSite, tmp_path: Path) -> None:
    line = ["run", "press it", "--url", f"{site.origin}/page", "--policy", "sandbox", "--runs", str(tmp_path / "runs")]
    subprocess.run(
        [sys.executable, "-m", "agent", *line, *script(tmp_path, CLICK, DONE)], cwd=ROOT, check=True, timeout=120
    )
    command = start("view", "last")
    with open_page(command.url, width=390, height=800) as page:
        page.wait_for_selector("#phase[data-phase=success]")
        page.click("#entries li:nth-child(1) button")
        page.wait_for_selector("#marks circle")
        assert page.locator("#controls").is_hidden()
