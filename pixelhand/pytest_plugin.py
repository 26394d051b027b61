"""pytest plugin: the fixture `screen`, for tests in words. Importing it imports neither torch nor a browser."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from agent.policies.base import Policy
    from pixelhand.screen_tests import ScreenUnderTest

UNSURE = "pixelhand_unsure"  # user property of a test that ended unsure: the reason
PROBABILITY, REPORT = "pixelhand_probability", "pixelhand_report"
MAX_REASON_CHARS = 1000
_screen_key = pytest.StashKey["ScreenUnderTest"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixture `screen`."""
    group = parser.getgroup("pixelhand", "tests in words")
    group.addoption("--pixelhand-surface", default="browser", metavar="NAME", help="surface of the fixture screen")
    group.addoption("--pixelhand-url", default="", metavar="URL", help="base of the addresses of screen.open")
    group.addoption(
        "--pixelhand-model", default="", metavar="MODEL", help="model for act, extract and expectations in words"
    )
    group.addoption(
        "--pixelhand-policy", default="", metavar="NAME|FILE", help="safety policy of act; default: cautious"
    )


@pytest.fixture(scope="session")
def pixelhand_policy(request: pytest.FixtureRequest) -> Iterator[Callable[[], Policy]]:
    """Return a function that returns the model of --pixelhand-model, loaded once; override it for another policy."""
    policies: list[Policy] = []

    def load() -> Policy:
        from actions import UsageError
        from agent.policies.factory import load_policy

        name = request.config.getoption("--pixelhand-model")
        if not name:
            raise UsageError("this step needs a model; name one with --pixelhand-model")
        if not policies:
            policies.append(load_policy(name))
        return policies[0]

    yield load
    for policy in policies:
        policy.close()


@pytest.fixture
def screen(
    request: pytest.FixtureRequest,
    pixelhand_policy: Callable[[], Policy],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ScreenUnderTest]:
    """Return a screen with `open`, `act`, `expect`, `wait_for` and `extract`; it is closed after the test."""
    from pixelhand.screen_tests import ScreenTestOptions, ScreenUnderTest

    option = request.config.getoption
    options = ScreenTestOptions(
        option("--pixelhand-surface"),
        option("--pixelhand-url"),
        option("--pixelhand-policy"),
        tmp_path_factory.mktemp("pixelhand-runs"),
    )
    tested = ScreenUnderTest(options, pixelhand_policy)
    request.node.stash[_screen_key] = tested
    yield tested
    tested.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the probability, and for a test that did not pass the reports of its runs, as properties."""
    report = yield
    tested = item.stash.get(_screen_key, None)
    if tested is None or report.when != "call":
        return report
    from pixelhand.screen_tests import UnsureError

    properties: list[tuple[str, object]] = []
    if tested.judgments:
        probabilities = [judgment.probability for _, judgment in tested.judgments]
        known = [probability for probability in probabilities if probability is not None]
        properties.append((PROBABILITY, f"{min(known):.4f}" if len(known) == len(probabilities) else "unknown"))
    if report.failed:
        if call.excinfo is not None and call.excinfo.errisinstance(UnsureError):
            properties.append((UNSURE, _one_line(str(call.excinfo.value))))
        paths = tested.write_reports()
        properties += [(REPORT, str(path)) for path in paths]
        if paths:
            report.sections.append(("pixelhand report", "\n".join(map(str, paths))))
    report.user_properties = [*report.user_properties, *properties]
    item.user_properties += properties  # for the report of the teardown, from which the JUnit file takes them
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count a test that ended unsure on its own; it fails the session like any test that did not pass."""
    return ("unsure", "?", "UNSURE") if _unsure_reason(report) else None


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """List the tests that ended unsure, with their reasons and reports."""
    reports = terminalreporter.getreports("unsure")
    if not reports:
        return
    terminalreporter.section("UNSURE")
    for report in reports:
        terminalreporter.write_line(f"UNSURE {report.nodeid} - {_unsure_reason(report)}")
        for name, value in report.user_properties:
            if name == REPORT:
                terminalreporter.write_line(f"  report: {value}")


def _unsure_reason(report: pytest.TestReport) -> str:
    properties = getattr(report, "user_properties", ())
    return next((str(value) for name, value in properties if name == UNSURE and report.when == "call"), "")


def _one_line(text: str) -> str:
    """Return a text of a page or model for a terminal: on one line, without control characters."""
    from agent.ui.formatting import sanitize

    return sanitize(text, MAX_REASON_CHARS)
