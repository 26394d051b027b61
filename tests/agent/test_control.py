"""The control socket of a run, and `agent stop`."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.command import Agent

from actions import UsageError
from agent import control
from agent.control import ControlServer, find_running, request, running_runs, runtime_folder, serve_control
from agent.trace import TraceWriter, new_folder

pytestmark = pytest.mark.skipif(not control.HAS_UNIX_SOCKETS, reason="the platform has no Unix sockets")

Serve = Callable[[str], threading.Event]


@pytest.fixture(autouse=True)
def _runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("r")
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a run, and returns the event that a stop sets."""
    servers: list[ControlServer] = []

    def start(run_id: str) -> threading.Event:
        stopped = threading.Event()
        server = ControlServer(run_id, lambda: {"run": run_id, "steps": 3}, stopped.set)
        server.__enter__()
        servers.append(server)
        return stopped

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_status_is_answered(serve: Serve) -> None:
    serve("20260101-a")
    assert request("20260101-a", "status") == {"run": "20260101-a", "steps": 3}


def test_list_tells_running_runs(agent: Agent, serve: Serve, tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "runs")
    TraceWriter(folder, {"goal": "go"}).close()
    assert "broken off" in agent("runs", "list")[1]
    serve(folder.name)
    assert "running" in agent("runs", "list")[1]


def test_stop_reaches_named_run_only(agent: Agent, serve: Serve) -> None:
    first, second = serve("20260101-a"), serve("20260102-b")
    code, out, _ = agent("stop", "20260102")
    assert code == 0
    assert "20260102-b" in out
    assert second.is_set()
    assert not first.is_set()


def test_stop_all_reaches_every_run(agent: Agent, serve: Serve) -> None:
    events = [serve("20260101-a"), serve("20260102-b")]
    assert agent("stop", "--all")[0] == 0
    assert all(event.is_set() for event in events)


def test_status_flag_stops_nothing(agent: Agent, serve: Serve) -> None:
    event = serve("20260101-a")
    code, out, _ = agent("stop", "last", "--status")
    assert code == 0
    assert json.loads(out)["steps"] == 3
    assert not event.is_set()


@pytest.mark.parametrize("word", ["approve", "y", "stop now", ""])
def test_other_requests_are_refused(serve: Serve, word: str) -> None:
    event = serve("20260101-a")
    assert "error" in request("20260101-a", word)
    assert not event.is_set()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((), "--all"), (("last", "--all"), "not both"), (("20269",), "no running run"), (("2026",), "2 runs")],
)
def test_wrong_names_are_usage_errors(agent: Agent, serve: Serve, arguments: tuple[str, ...], word: str) -> None:
    serve("20260101-a")
    serve("20260102-b")
    code, _, err = agent("stop", *arguments)
    assert code == 2
    assert word in err


def test_socket_and_folder_are_private(serve: Serve) -> None:
    serve("20260101-a")
    path = runtime_folder() / "20260101-a.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_stale_socket_is_removed() -> None:
    path = runtime_folder() / "20260101-a.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    assert running_runs() == []
    assert not path.exists()


def test_socket_is_removed_at_end() -> None:
    warnings: list[str] = []
    with serve_control("20260101-a", dict, lambda: None, warnings.append):
        assert find_running("last") == "20260101-a"
    assert not (runtime_folder() / "20260101-a.sock").exists()
    assert not warnings


def test_foreign_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "pixelhand"
    folder.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="only you can use"):
        runtime_folder()
    warnings: list[str] = []
    with serve_control("20260101-a", dict, lambda: None, warnings.append):
        pass
    assert len(warnings) == 1


def test_long_runtime_folder_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert len(os.fsencode(runtime_folder())) < control.MAX_PATH_BYTES


def test_silent_client_does_not_block_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "TIMEOUT_S", 30.0)
    serve("20260101-a")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(runtime_folder() / "20260101-a.sock"))
        assert request("20260101-a", "status")["steps"] == 3
