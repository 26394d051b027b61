"""The benchmark of start-up: fresh interpreters in alternation, the first round dropped."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from actions import Error
from perf import startup
from perf.startup import MEASUREMENTS, format_startup, measure_startup, run_interpreter


def test_rows_are_medians_without_first_round() -> None:
    codes = []

    def run(code: str, prints_figure: bool) -> float:
        codes.append(code)
        return [900.0, 3.0, 1.0, 2.0][(len(codes) - 1) // len(MEASUREMENTS)]

    timings = measure_startup(3, run)
    assert codes == [code for code, _, _ in MEASUREMENTS.values()] * 4
    assert [timing.what for timing in timings] == ["python", "import pixelhand", "agent --help"]
    assert {(timing.median_ms, timing.best_ms) for timing in timings} == {(2.0, 1.0)}
    assert [timing.limit_ms for timing in timings] == [None, 60.0, 150.0]
    assert len(format_startup(timings).splitlines()) == 4


def test_failing_interpreter_is_an_error() -> None:
    with pytest.raises(Error, match="ended with 1: ValueError: broken"):
        run_interpreter("raise ValueError('broken')", False)


def test_printed_figure_is_returned() -> None:
    assert run_interpreter("print(1.5)", True) == 1.5


def test_command_prints_json_per_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "measure_startup", lambda rounds: measure_startup(rounds, lambda code, prints: 4.0))
    app = typer.Typer()
    app.command()(startup.startup)
    result = CliRunner().invoke(app, ["--rounds", "2", "--json"])
    assert result.exit_code == 0
    assert [json.loads(line)["median_ms"] for line in result.stdout.splitlines()] == [4.0, 4.0, 4.0]


@pytest.mark.parametrize("name", ["import pixelhand", "agent --help"])
def test_measured_code_runs(name: str) -> None:
    code, prints_figure, _ = MEASUREMENTS[name]
    assert run_interpreter(code, prints_figure) > 0
