"""`agent bench replay` on a desktop and a phone: one order on changed pages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.desktop_programs import require_programs, require_window_manager
from typer.testing import CliRunner

from actions import UsageError
from perf.cli import app
from perf.replay_changes import CHANGES, RISKS, SurfaceName, score_changes


@pytest.fixture(params=["desktop:virtual", "phone"])
def surface_name(request: pytest.FixtureRequest, chrome: str) -> SurfaceName:
    if request.param == "phone":
        if shutil.which("adb") is None:
            pytest.skip("adb is missing: scripts/android.sh installs it")
        return "phone"
    require_programs("Xvfb")
    require_window_manager()
    return "desktop:virtual"


@pytest.mark.browser
@pytest.mark.slow
def test_changed_pages_are_never_ordered_wrongly(surface_name: SurfaceName, tmp_path: Path) -> None:
    scores = {score.task: score for score in score_changes(surface_name, (), 1, tmp_path)}
    assert set(scores) == {*CHANGES, *RISKS}
    assert [name for name, score in scores.items() if score.wrong] == []
    assert scores["same"].done == 1
    if surface_name == "phone":
        assert [name for name in CHANGES if not scores[name].done] == []


def test_unknown_change_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dark thme"):
        score_changes("phone", ["dark thme"], 1, tmp_path)


def test_model_compares_practice_pages_only() -> None:
    result = CliRunner().invoke(app, ["replay", "--surface", "phone", "--model", "embedded"])
    assert "remove --model" in str(result.exception)
