"""kill -9 at any moment: the trace is readable, nothing done is without an intent, and resuming repeats nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.desktop_programs import require_programs, require_window_manager
from helpers.killed_runs import run_with_kills, serve_clicks

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.mark.timeout(600)
def test_killed_browser_runs_repeat_no_click(tmp_path: Path) -> None:
    with serve_clicks() as site:
        assert run_with_kills(site, tmp_path, kills=3, seed=4) == 3
        assert site.clicks


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("hundred", [1, 2])
def test_hundred_kills_of_browser_repeat_nothing(tmp_path: Path, hundred: int) -> None:
    kills, attempt = 0, 0
    while kills < 100:
        attempt += 1
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with serve_clicks() as site:
            kills += run_with_kills(site, folder, kills=20, seed=100 * hundred + attempt)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("hundred", [1, 2])
def test_hundred_kills_of_desktop_repeat_nothing(tmp_path: Path, hundred: int) -> None:
    require_programs("Xvfb")
    require_window_manager()
    kills, attempt = 0, 0
    while kills < 100:
        attempt += 1
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with serve_clicks(is_desktop=True) as site:
            kills += run_with_kills(
                site, folder, kills=20, seed=100 * hundred + attempt, surface=("--surface", "desktop:virtual"), top=400
            )
