"""Fixtures of the agent tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _isolated_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the developer's own settings and data folders."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE"):
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
