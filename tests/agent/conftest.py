"""Fixtures of the agent tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import FakeEnv
from helpers.command import Agent


@pytest.fixture(autouse=True)
def _isolated_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the developer's own settings and data folders."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("PIXELHAND_MODEL", "PIXELHAND_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIXELHAND_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def chromium() -> None:
    """Skip the module when no browser is installed."""
    from actions import UsageError
    from envs.chromium.executable import find_chrome

    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests at once, without the developer's own API key."""
    from agent.policies.remote import client

    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv(client.KEY, raising=False)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Agent:
    """Call the command in this process: (exit code, standard output, standard error)."""

    from agent import cli

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> FakeEnv:
    """Replace the environment of a session by a fake one."""
    from agent import session

    fake = FakeEnv()
    monkeypatch.setattr(session, "make_env", lambda settings, guard: fake)
    return fake


@pytest.fixture
def script(tmp_path: Path) -> Callable[[Sequence[Any]], str]:
    """Return a function that writes a script and returns its path."""

    def write(replies: Sequence[Any]) -> str:
        path = tmp_path / "script.jsonl"
        path.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Replace run_session; return the (goal, settings) of each call."""
    from agent import session
    from agent.loop import Episode

    runs: list[tuple[str, Any]] = []

    def begin(goal: str, settings: Any, *args: Any, **kwargs: Any) -> Episode:
        runs.append((goal, settings))
        return Episode("success", 1.0, (), "", "", "verdict")

    monkeypatch.setattr(session, "run_session", begin)
    return runs


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
