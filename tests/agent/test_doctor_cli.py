"""`agent doctor`: the report, its JSON form and its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from actions import UsageError
from actions.doctor import Finding, Host, run_checks
from agent import doctor_cli


def check_fine(host: Host) -> Iterator[Finding]:
    yield Finding("fine", "ok", "fine")


def check_bug(host: Host) -> Iterator[Finding]:
    yield Finding("first", "ok", "fine")
    raise ZeroDivisionError("a bug")


def check_usage(host: Host) -> Iterator[Finding]:
    raise UsageError("no way")
    yield


def test_failing_check_becomes_finding() -> None:
    findings = run_checks((check_bug, check_usage, check_fine), Host())
    assert [(finding.name, finding.level) for finding in findings] == [
        ("first", "ok"),
        ("bug", "warning"),
        ("usage", "error"),
        ("fine", "ok"),
    ]


@pytest.mark.parametrize(
    ("levels", "code", "verdict"), [(["ok", "warning"], 0, "warning"), (["ok", "error", "warning"], 1, "error")]
)
def test_exit_code_is_1_on_error(monkeypatch: pytest.MonkeyPatch, levels: list[str], code: int, verdict: str) -> None:
    findings = [Finding(f"n{number}", level, "so", "do this") for number, level in enumerate(levels)]  # type: ignore[arg-type]
    monkeypatch.setattr(doctor_cli, "run_checks", lambda act: iter(findings))
    result = CliRunner().invoke(doctor_cli.app, ["--json"])
    assert result.exit_code == code
    report = json.loads(result.output)
    assert report["verdict"] == verdict
    assert [finding["level"] for finding in report["findings"]] == levels
    assert report["findings"][0]["message"] == report["findings"][0]["says"] == "so"
    assert report["findings"][0]["fix"] == report["findings"][0]["mend"] == "do this"
    plain = CliRunner().invoke(doctor_cli.app, [])
    assert plain.exit_code == code
    assert plain.output.count("fix: do this") == len(levels) - 1


def test_both_packages_report() -> None:
    result = CliRunner().invoke(doctor_cli.app, ["--json", "--no-act"])
    names = [finding["name"] for finding in json.loads(result.output)["findings"]]
    assert {"python", "display", "chromium", "adb"} <= set(names)
    assert names[names.index("gpu") :] == ["gpu", "memory", "embedded", "models", "files", "disk"]
