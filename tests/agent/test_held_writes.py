"""`agent run --hold-writes` as a command, with a browser and a server whose log shows what arrived."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.agent_fakes import HERE
from helpers.eventually import eventually
from helpers.write_site import BUTTON, WriteSite, serve_writes

from agent.trace import EVENTS, list_runs, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
ROOT = HERE.parent.parent
CLICK, DONE = {"verb": "click", "x": 200, "y": 150}, {"verb": "done"}
FORM = (
    "<form method=post action=/order><input name=item value=7><input type=password name=word value=geheimnis>"
    f"<button {BUTTON}>GO</button></form>"
)
LATE_S = 1.5  # in which what was not held would have arrived


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as served:
        served.add("/shop", FORM)
        yield served


def command(folder: Path, site: WriteSite, *replies: dict[str, object]) -> list[str]:
    """Return the command line of a scripted run that holds writes."""
    script = folder / "script.jsonl"
    script.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    options = ("--policy", "sandbox", "--hold-writes", "--script", str(script), "--runs", str(folder / "runs"))
    return [sys.executable, "-m", "agent", "run", "order", "--url", f"{site.origin}/shop", *options]


def run_in_terminal(line: list[str], *answers: str) -> tuple[int, str]:
    """Run a command in a terminal of its own and answer its questions; return its exit code and what it printed."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - replaced by the program
        os.chdir(ROOT)
        os.execve(line[0], line, {**os.environ, "TERM": "dumb"})
    output, left = b"", list(answers)
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the program has ended
            break
        if not data:
            break
        output += data
        if output.endswith(b"send?    ") and left:
            time.sleep(0.5)  # until input that was typed before is discarded
            os.write(terminal, f"{left.pop(0)}\n".encode())
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), output.decode()


def only_run(folder: Path) -> Path:
    (run_id,) = list_runs(folder / "runs")
    return folder / "runs" / run_id


def test_person_sends_form_once(tmp_path: Path, site: WriteSite) -> None:
    code, text = run_in_terminal(command(tmp_path, site, CLICK, DONE), "y")
    assert code == 0, text
    assert "1 request waits to be sent" in text
    assert [(request.path, request.body) for request in site.writes] == [("/order", b"item=7&word=geheimnis")]
    assert "the server answered 200" in text


def test_person_drops_form_at_end(tmp_path: Path, site: WriteSite) -> None:
    code, text = run_in_terminal(command(tmp_path, site, CLICK, DONE), "h", "n")
    assert code == 0, text
    assert "the run is over" in text
    assert site.writes == []
    report = subprocess.run(
        [sys.executable, "-m", "agent", "runs", "show", str(only_run(tmp_path))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"POST {site.origin}/order" in report
    assert "dropped, not sent" in report


def test_unattended_run_drops_form_and_says_so(tmp_path: Path, site: WriteSite) -> None:
    process = subprocess.run(
        command(tmp_path, site, CLICK, DONE),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert process.returncode == 0, process.stderr
    assert "dropped, not sent" in process.stdout
    assert site.writes == []
    trace = read_trace(only_run(tmp_path))
    assert trace.manifest["settings"]["hold_writes"] is True
    assert "Nobody can be asked" in trace.steps()[0].notice


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_run_sends_nothing(tmp_path: Path, site: WriteSite, number: signal.Signals) -> None:
    site.add(
        "/shop",
        FORM + "<script>onclick = () => { fetch('/kept', {method: 'POST', body: 'k', keepalive: true});"
        "navigator.sendBeacon('/beacon', 'b') }</script>",
    )
    line = command(tmp_path, site, CLICK, {"verb": "wait", "seconds": 60})
    process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def is_held() -> bool:
        ids = list_runs(tmp_path / "runs")
        path = tmp_path / "runs" / ids[-1] / EVENTS if ids else tmp_path / "none"
        return process.poll() is not None or (path.is_file() and "writes.answer" in path.read_text())

    eventually(is_held, timeout_s=120)
    assert process.poll() is None
    assert len(site.log) >= 1
    process.send_signal(number)
    process.communicate(timeout=60)
    time.sleep(LATE_S)
    assert site.writes == []
    trace = read_trace(only_run(tmp_path))
    urls = [write["url"] for event in trace.events if event["event"] == "writes.held" for write in event["writes"]]
    assert f"{site.origin}/order" in urls
