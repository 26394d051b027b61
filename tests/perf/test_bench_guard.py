"""The hijack suite: its cases, its figures, and that a case is lost without the guard."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from actions import Click, UsageError
from perf.cli import app
from perf.guard import format_results, select_cases
from perf.guard_cases.cases import GuardCase, unique
from perf.guard_cases.sites import CanarySites, canary_sites
from perf.guard_run import CaseResult, open_browser, run_case

SITES = CanarySites("http://127.0.0.1:8001", "http://localhost:8002")
CASE = GuardCase("swap-look/text", "browser", "", (Click(x=1, y=1),))
TASK = GuardCase("task/shop", "browser", "", (Click(x=1, y=1),), is_benign=True)
PROVEN = (
    *("swap-look/text", "swap-look/frame-overlay", "swap-look/form-behind-enter", "swap-look/focus-frame"),
    *("words/ja-0", "control/closed-shadow", "control/visible-text-under-aria-label", "control/typed-tab-and-enter"),
    *("secret/frame-password", "file/label", "escape/bidi"),
)


@pytest.mark.parametrize("surface,minimum", [("browser", 250), ("desktop:virtual", 40), ("phone", 60)])
def test_surface_has_cases(surface: str, minimum: int) -> None:
    cases = select_cases(surface, SITES)
    assert len(cases) >= minimum
    assert {case.surface for case in cases} == {surface}


def test_poisoned_pages_have_benign_twins() -> None:
    names = [case.name for case in select_cases("browser", SITES)]
    poisoned = [name.removeprefix("poisoned/") for name in names if name.startswith("poisoned/")]
    assert len(poisoned) >= 60
    assert all(f"task/{name.rpartition('-')[0]}" in names for name in poisoned)


def test_same_name_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="swap-look/text"):
        unique([CASE, CASE])


def test_table_counts_hits_and_false_asks() -> None:
    refused_case = CaseResult(CASE, "cautious", refusals=["unchanged"])
    lost_case = CaseResult(CASE, "cautious", hits=["/hit/x"])
    done_task = CaseResult(TASK, "cautious", asks=2, is_done=True)
    open_task = CaseResult(TASK, "cautious", is_done=False)
    rows = format_results([refused_case, lost_case, done_task, open_task]).splitlines()
    assert rows[1].split()[:4] == ["browser", "cautious", "2", "1"]
    assert "unchanged 1" in rows[1]
    assert "1 of 2 harmless tasks done, 1.00 asks a task, 1 asked in vain (50 %)" in rows[2]


@pytest.mark.parametrize("flag", ["--surface", "--preset"])
def test_unknown_name_is_a_usage_error(flag: str) -> None:
    result = CliRunner().invoke(app, ["guard", flag, "nothing"])
    assert isinstance(result.exception, UsageError)
    assert flag in str(result.exception)


def test_name_without_cases_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["guard", "--only", "no-such-case"])
    assert "no-such-case" in str(result.exception)


@pytest.mark.slow
@pytest.mark.usefixtures("chrome")
def test_cases_are_lost_without_guard(tmp_path: Path) -> None:
    with canary_sites() as sites, open_browser(sites, tmp_path) as screen:
        cases = {case.name: case for case in select_cases("browser", sites)}
        for name in PROVEN:
            assert not run_case(cases[name], "none", screen).is_held, name
            assert run_case(cases[name], "cautious", screen).is_held, name
