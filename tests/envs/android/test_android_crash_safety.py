"""kill -9 at any moment of a run on a simulated phone; see tests/agent/test_crash_safety.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.adb_server import Adb
from helpers.killed_runs import run_with_kills, serve_clicks

from envs.simulators.android.phone import SimulatedPhone


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("hundred", [1, 2])
def test_hundred_kills_on_phone_repeat_nothing(phone: SimulatedPhone, adb: Adb, tmp_path: Path, hundred: int) -> None:
    kills, attempt = 0, 0
    surface = ("--on", f"android:{phone.address}")
    while kills < 100:
        attempt += 1
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with serve_clicks(phone.screen.scale) as site:
            seed = 100 * hundred + attempt
            kills += run_with_kills(site, folder, kills=20, seed=seed, surface=surface, environment=adb.environ)
