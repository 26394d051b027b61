"""Fixtures of the agent's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of whoever runs it, or writes into their data folder."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("PIXELHAND_MODEL", "PIXELHAND_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIXELHAND_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def chromium() -> None:
    """For modules of which every test needs a browser."""
    from actions import UsageError
    from envs.chromium.executable import find_chrome

    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")


@pytest.fixture
def quick_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is asked again at once, and without the key of whoever runs the tests."""
    from agent.policies.remote import client

    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv(client.KEY, raising=False)
