"""Secrets stand in nothing that a run sends to its viewer or answers over its control socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from helpers.agent_fakes import HERE
from helpers.secret_runs import leaks
from helpers.write_site import serve_writes

from actions import UsageError
from agent.control import request, running_runs

pytestmark = pytest.mark.usefixtures("chromium")
ROOT = HERE.parent.parent
PASSWORD, USER = 'p&ss "wörd"/+7?', "ann.example"
STYLE = "position:fixed;left:20px;width:300px;height:40px;font-size:20px"
LOGIN = (
    "<!doctype html><meta charset=utf-8>"
    f"<input name=user autocomplete=username placeholder=User style='{STYLE};top:20px'>"
    f"<input name=pw type=password style='{STYLE};top:80px'>"
)
ACTIONS = (
    {"verb": "click", "x": 100, "y": 40},
    {"verb": "type", "text": "{{USER}}"},
    {"verb": "click", "x": 100, "y": 100},
    {"verb": "type", "text": "{{SHOP}}"},
    {"verb": "type", "text": f"say {PASSWORD}"},  # a model that learned it elsewhere
    {"verb": "wait", "seconds": 1},
    {"verb": "done", "message": "signed in"},
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run that types two secrets, with a viewer."""
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    command = [sys.executable, "-u", "-m", "agent"]
    for name, value, *options in (("SHOP", PASSWORD), ("USER", USER, "--kind", "text")):
        arguments = [*command, "secrets", "set", name, "--for", "127.0.0.1", *options]
        subprocess.run(arguments, cwd=ROOT, env=environment, input=f"{value}\n", text=True, check=True)
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(action) + "\n" for action in ACTIONS))
    files = ("--script", str(script), "--runs", str(tmp_path / "runs"))
    with serve_writes() as site:
        site.add("/login", LOGIN)
        process = subprocess.Popen(
            [*command, "run", "sign in", "--url", f"{site.origin}/login", "--view", "--policy", "sandbox", *files],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        yield process
        process.kill()
        process.communicate()


def read_events(view_url: str, received: list[bytes]) -> None:
    """Collect the stream of a viewer."""
    base, _, token = view_url.partition("#")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", f"{base}events", headers=headers, timeout=60) as response:
        assert response.status_code == 200
        with suppress(httpx.RemoteProtocolError):  # the run's process has ended
            for part in response.iter_bytes():
                received.append(part)


def read_statuses(received: list[bytes], is_over: threading.Event) -> None:
    """Ask each running run for its status until the end."""
    while not is_over.wait(0.05):
        for run_id in running_runs():
            with suppress(UsageError):  # it has ended
                received.append(json.dumps(request(run_id, "status"), ensure_ascii=False).encode())


def test_secrets_stand_in_no_socket(run: subprocess.Popen[str], tmp_path: Path) -> None:
    assert run.stdout is not None
    lines: list[str] = []
    for line in run.stdout:
        lines.append(line)
        if line.startswith("view "):
            break
    streamed: list[bytes] = []
    statuses: list[bytes] = []
    is_over = threading.Event()
    readers = [
        threading.Thread(target=read_events, args=(lines[-1].split()[1], streamed)),
        threading.Thread(target=read_statuses, args=(statuses, is_over)),
    ]
    for reader in readers:
        reader.start()
    lines += list(run.stdout)
    readers[0].join(30)
    is_over.set()
    readers[1].join(30)
    assert run.wait() == 0, "".join(lines)
    assert b"{{SHOP}}" in b"".join(streamed)
    assert any(b"sign in" in status for status in statuses)
    collected = tmp_path / "collected"
    collected.mkdir()
    (collected / "stream").write_bytes(b"".join(streamed))
    (collected / "statuses").write_bytes(b"\n".join(statuses))
    assert leaks(collected, "".join(lines), PASSWORD, USER) == []
    assert leaks(tmp_path / "runs", "", PASSWORD, USER) == []
