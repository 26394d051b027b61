"""Starting a browser, and its sandbox."""

from __future__ import annotations

import sys

import pytest

from actions import SurfaceError, UsageError
from envs.chromium.launch import SANDBOX_VARIABLE, use_sandbox
from envs.surfaces.browser import Surface


def test_program_that_is_no_browser_raises(tmp_path):
    with pytest.raises(SurfaceError, match="did not start") as error:
        Surface(executable=sys.executable)
    assert "\n" not in str(error.value)


def test_sandbox_variable_is_validated(monkeypatch):
    monkeypatch.setenv(SANDBOX_VARIABLE, "off")
    assert use_sandbox() is False
    monkeypatch.setenv(SANDBOX_VARIABLE, "perhaps")
    with pytest.raises(UsageError, match="must be on or off"):
        use_sandbox()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="root and its sandbox are a matter of Linux")
def test_root_on_linux_has_no_sandbox(monkeypatch):
    monkeypatch.delenv(SANDBOX_VARIABLE, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert use_sandbox() is False
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert use_sandbox() is True
