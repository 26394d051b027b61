"""Runs in processes of their own that are killed, and a page that reports every click to a server."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agent.trace import EVENTS, Trace, list_runs
from helpers.eventually import eventually

PAGE = b"""<!doctype html><meta name="viewport" content="width=device-width"><body style="margin:0;height:100vh">
<p id="count">0</p><script>
onclick = event => {
  count.textContent = Number(count.textContent) + 1
  const x = location.search ? event.screenX : event.clientX  // a desktop's window has borders
  fetch(`/click?x=${Math.round(x)}`, {method: 'POST', keepalive: true})
}
</script>"""
FIRST_X, STEP_X = 18, 6  # multiples of 1.5, the scale of the simulated phone: no column is rounded
ACTIONS = 60  # of one script
MAX_DELAY_S = 3.0  # between the first event of a run and its kill
EFFECT_S = 2.0  # what a killed browser still sends arrives within this time


@dataclass
class ClickSite:
    """A page, and the columns of the clicks on it.

    Args:
        url: The page's address.
        clicks: The columns, in the order of their arrival.
    """

    url: str = ""
    clicks: list[int] = field(default_factory=list)


@contextmanager
def serve_clicks(scale: float = 1.0, *, is_desktop: bool = False) -> Iterator[ClickSite]:
    """Serve the page within the block.

    Args:
        scale: Pixels of the screen per CSS pixel.
        is_desktop: Whether the columns are those of the screen, in which the page is a part.
    """
    site = ClickSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(PAGE)

        def do_POST(self) -> None:
            site.clicks.append(round(int(parse_qs(urlsplit(self.path).query)["x"][0]) * scale))
            self._send(b"")

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}/{'?screen' if is_desktop else ''}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def write_clicks(path: Path, count: int, top: int = 200) -> list[int]:
    """Write a script of clicks, each in a column of its own; return the columns."""
    columns = [FIRST_X + STEP_X * index for index in range(count)]
    actions = [{"verb": "click", "x": x, "y": top} for x in columns]
    path.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return columns


def start_agent(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def kill_after_start(process: subprocess.Popen[str], root: Path, count: int, delay_s: float) -> bool:
    """Kill a run some time after its first event; return whether it was still running.

    Args:
        process: Its process.
        root: The folder of the runs.
        count: The number of runs with it.
        delay_s: Time between its first event and the kill.
    """

    def has_started() -> bool:
        ids = list_runs(root)
        path = root / ids[-1] / EVENTS if ids else root
        return process.poll() is not None or (len(ids) == count and path.is_file() and path.stat().st_size > 0)

    eventually(has_started, timeout_s=120)
    time.sleep(delay_s)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    return was_running


@dataclass(frozen=True)
class ClickRecord:
    """What the traces of a run and of those that resumed it say about clicks.

    Args:
        intended: Columns of clicks that have an intent.
        done: Columns of clicks that have a result without an error.
        unknown: Columns of clicks that a resumed run told the model about as uncertain.
        questions: The answers in `resume` events.
    """

    intended: frozenset[int]
    done: frozenset[int]
    unknown: frozenset[int]
    questions: Sequence[str]


def read_clicks(root: Path) -> ClickRecord:
    """Read all traces in a folder, which must be whole."""
    intended, done, unknown, questions = set(), set(), set(), []
    for run_id in list_runs(root):
        if not (root / run_id / EVENTS).is_file():
            continue
        trace = Trace.open(root / run_id)
        trace.check_frames()
        for event in trace.events:
            if event["event"] == "act.intent":
                intended.add(event["action"]["x"])
            elif event["event"] == "act.result" and not event["error"]:
                done.add(event["action"]["x"])
            elif event["event"] == "resume":
                unknown.add(event["action"]["x"])
                questions.append(event["answer"])
    return ClickRecord(frozenset(intended), frozenset(done), frozenset(unknown), questions)


def run_with_kills(
    site: ClickSite,
    folder: Path,
    *,
    kills: int,
    seed: int,
    surface: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    top: int = 200,
) -> int:
    """Kill a run and each run that resumes it; check what was done, and return the number of kills.

    Args:
        site: The page that is clicked on.
        folder: Where the script and the traces are written.
        kills: The number of processes that are started.
        seed: Seed of the moments.
        surface: The flags that name the surface.
        environment: The environment of the processes.
        top: The row of the clicks.
    """
    script, root, rng, killed = folder / "script.jsonl", folder / "runs", random.Random(seed), 0
    columns = write_clicks(script, ACTIONS, top)
    options = ("--script", str(script), "--runs", str(root), "--max-steps", str(ACTIONS))
    begin = ("run", "click", "--url", site.url, "--policy", "sandbox", *surface)
    resume = ("runs", "resume", "last")
    for count in range(1, kills + 1):
        process = start_agent(*(begin if count == 1 else resume), *options, environment=environment)
        if not kill_after_start(process, root, count, rng.uniform(0.0, MAX_DELAY_S)):
            break
        killed += 1
    time.sleep(EFFECT_S)
    record = read_clicks(root)
    assert max(Counter(site.clicks).values(), default=0) <= 1, "a click was repeated"
    assert set(site.clicks) <= record.intended, "a click has no intent"
    assert record.done <= set(site.clicks), "a click that has a result was lost"
    assert set(record.questions) <= {"nobody"}
    started = sorted(record.intended)
    assert started == columns[: len(started)], "a step was left out"
    return killed
