"""Tests in words: outcomes, properties and reports of the pytest plugin, without a browser or a model."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.page_reader import draw_page

ROOT = Path(__file__).parents[2]
CONFTEST = """
import pytest
from helpers.page_reader import PageReader

PROBABILITIES = {"the total is paid": 0.93, "the total is due": 0.04, "the total is large": 0.55}

class Judge(PageReader):
    def judge(self, question, screens):
        return next((value for statement, value in PROBABILITIES.items() if statement in question), 0.5)

@pytest.fixture(scope="session")
def pixelhand_policy():
    policy = Judge(
        ['{"verb": "done"}', '{"verb": "done", "status": "failure", "message": "no \\\\u001b[31mbutton"}'],
        [{"vendor": "ACME Ltd.", "total": 12.5}] * 3, {"ACME": 0, "12.5": 1}, {0: "ACME Ltd.", 1: 12.5},
    )
    return lambda: policy
"""


@pytest.fixture
def run_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that runs tests against an image of an invoice, and returns result and JUnit file."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    draw_page(["ACME Ltd.", "12.50"]).save(str(pytester.path / "page.png"))
    pytester.makeconftest(CONFTEST)

    def run(source: str, *flags: str) -> tuple[pytest.RunResult, ElementTree.Element]:
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess(
            "-p",
            "pixelhand.pytest_plugin",
            "--pixelhand-surface",
            f"image:{pytester.path / 'page.png'}",
            "--junitxml=junit.xml",
            *flags,
        )
        return result, ElementTree.parse(pytester.path / "junit.xml").getroot()

    return run


def properties(junit: ElementTree.Element) -> dict[str, str]:
    return {item.attrib["name"]: item.attrib["value"] for item in junit.iter("property")}


def test_true_statement_passes_with_probability(run_tests: object) -> None:
    result, junit = run_tests('def test_paid(screen):\n    screen.expect("the total  is paid")')  # type: ignore[operator]
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert properties(junit) == {"pixelhand_probability": "0.9300"}


def test_false_statement_fails(run_tests: object) -> None:
    source = 'def test_due(screen):\n    screen.expect("the total is due", timeout_s=0)'
    result, junit = run_tests(source)  # type: ignore[operator]
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the total is due*probability of 0.04*"])
    assert properties(junit) == {"pixelhand_probability": "0.0400"}


def test_doubtful_statement_is_unsure(run_tests: object) -> None:
    source = 'def test_large(screen):\n    screen.expect("the total is large", timeout_s=0)'
    result, junit = run_tests(source)  # type: ignore[operator]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"unsure": 1}
    result.stdout.fnmatch_lines(["*UNSURE*", "UNSURE *::test_large*probability of 0.55"])
    assert properties(junit)["pixelhand_probability"] == "0.5500"
    assert "0.55" in properties(junit)["pixelhand_unsure"]
    assert len(list(junit.iter("failure"))) == 1


def test_expectation_that_screen_does_not_tell_is_unsure(run_tests: object) -> None:
    source = "def test_text(screen):\n    screen.expect('text \"Saved\"', timeout_s=0)"
    result, junit = run_tests(source)  # type: ignore[operator]
    assert result.parseoutcomes() == {"unsure": 1}
    assert properties(junit)["pixelhand_probability"] == "unknown"


def test_failed_act_has_report_of_run(run_tests: object) -> None:
    source = """
def test_press(screen):
    screen.act("look")
    screen.act("press Save")
"""
    result, junit = run_tests(source)  # type: ignore[operator]
    result.assert_outcomes(failed=1)
    reports = [Path(item.attrib["value"]) for item in junit.iter("property") if "report" in item.attrib["name"]]
    assert [path.name for path in reports] == ["report.html"] * 2
    assert all(path.is_file() for path in reports)
    assert str(reports[1]) in result.stdout.str()
    assert "press Save" in reports[1].read_text(encoding="utf-8")


def test_extract_returns_instance(run_tests: object) -> None:
    source = """
from pydantic import BaseModel

class Invoice(BaseModel):
    vendor: str
    total: float

class Wrong(BaseModel):
    vendor: str
    total: str

def test_total(screen):
    assert screen.extract(Invoice).total == 12.5

def test_wrong(screen):
    screen.extract(Wrong)
"""
    result, _ = run_tests(source)  # type: ignore[operator]
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FailedExpectationError: extract(Wrong)*"])


def test_mistake_in_expectation_is_an_error(run_tests: object) -> None:
    source = "def test_mistake(screen):\n    screen.expect('element button', timeout_s=0)"
    result, _ = run_tests(source)  # type: ignore[operator]
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*UsageError: the expectation 'element button'*"])


def test_model_is_asked_for_where_none_is_named(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    draw_page(["12.50"]).save(str(pytester.path / "page.png"))
    pytester.makepyfile('def test_paid(screen):\n    screen.expect("the total is paid")')
    surface = f"image:{pytester.path / 'page.png'}"
    result = pytester.runpytest_inprocess("-p", "pixelhand.pytest_plugin", "--pixelhand-surface", surface)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--pixelhand-model*"])


def test_browser_test_needs_an_address(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("def test_text(screen):\n    screen.expect('text \"Saved\"')")
    result = pytester.runpytest_inprocess("-p", "pixelhand.pytest_plugin")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--pixelhand-url*"])


def test_entry_point_loads_nothing_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = project["entry-points"]["pytest11"]["pixelhand"]
    code = f"import {module}, sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(process.stdout.split())
    assert "pixelhand" in modules
    assert not modules & {"torch", "transformers", "playwright", "numpy", "pydantic", "gymnasium", "cv2"}
