"""Markers by what a test file needs, so that `make test-fast` can leave it out."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("pixelhand", deadline=None)  # a busy machine takes its time
settings.load_profile("pixelhand")

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: one thread each, subprocesses included
    os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
FILES = {  # marker: patterns of files below tests/
    "browser": (
        "agent/report/test_report_browser.py",
        "agent/replay/test_replay_browser.py",
        "agent/test_big_screens.py",
        "agent/test_crash_safety.py",
        "agent/test_held_writes.py",
        "agent/test_mcp_browser.py",
        "agent/test_network_refusals.py",
        "agent/test_pixels_only.py",
        "agent/test_real_browser.py",
        "agent/test_secrets_browser.py",
        "agent/test_viewer_browser.py",
        "agent/test_viewer_command.py",
        "envs/surfaces/test_browser*",
        "envs/test_display_filter.py",
        "envs/test_live.py",
        "envs/test_miniwob_task.py",
        "envs/test_surface_check.py",
        "evals/test_live_workers.py",
        "evals/test_miniwob*",
        "perf/test_guard_surfaces.py",
        "pixelhand/test_api.py",
        "pixelhand/test_pytest_plugin_browser.py",
        "training/*",
    ),
    "desktop": (
        "agent/test_calibrate.py",
        "agent/test_long_run_memory.py",
        "envs/desktop/*",
        "envs/surfaces/test_desktop*",
        "envs/test_display_filter.py",
        "perf/test_surfaces.py",
    ),
    "android": ("envs/android/*",),
    "model": (
        "agent/extraction/test_run_output.py",
        "agent/test_pair.py",
        "agent/test_remote_same.py",
        "evals/test_eval_remote.py",
        "model/engine/*",
        "model/serve/*",
        "model/test_chat_model.py",
        "model/test_embedded.py",
        "model/test_loading*",
        "model/test_opencua_checkpoint.py",
        "model/test_parity*",
        "perf/test_engine.py",
        "pixelhand/test_pytest_plugin_browser.py",
        "training/*",
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fast."""
    parser.addoption(
        "--fast", action="store_true", help="leave out the files that have a marker, without importing them"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files that have a marker if --fast is given."""
    if config.getoption("--fast") and collection_path.is_relative_to(HERE) and markers_of(collection_path):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers of `FILES`."""
    for item in items:
        for marker in markers_of(item.path):
            item.add_marker(marker)


def markers_of(path: Path) -> list[str]:
    """Return the markers of a test file."""
    name = path.relative_to(HERE).as_posix()
    return [marker for marker, patterns in FILES.items() if any(fnmatch(name, pattern) for pattern in patterns)]
