"""`agent doctor`: report what this machine lacks, and how to fix it."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from actions.doctor import Finding

app = typer.Typer(
    help="Report what this machine lacks, and how to fix it.", rich_markup_mode=None, add_completion=False
)


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    act: Annotated[
        bool, typer.Option("--act/--no-act", help="Try the pointer and typing in a window of the test's own.")
    ] = True,
) -> None:
    """Check Python, display, browser, phones, disk, GPU, memory and models. The exit code is 1 if there is an error.

    On a display, a small window opens for a moment: the pointer and typing are tried in it.
    """
    findings = []
    for finding in run_checks(act):
        findings.append(finding)
        if not json:
            print(f"{finding.level:8} {finding.name:14} {finding.message}")
            if finding.fix and finding.level != "ok":
                print(f"{'':8} {'':14} fix: {finding.fix}", flush=True)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning")}
    verdict = next((level for level, count in counts.items() if count), "ok")
    if json:
        # "says" and "mend" are the former names of "message" and "fix".
        entries = [{**asdict(finding), "says": finding.message, "mend": finding.fix} for finding in findings]
        print(json_.dumps({"verdict": verdict, "findings": entries}))
    else:
        print(f"{counts['error']} errors, {counts['warning']} warnings")
    if verdict == "error":
        raise typer.Exit(1)


def run_checks(act: bool) -> Iterator[Finding]:
    """Yield the findings about screens and devices, then those about models."""
    import envs.doctor
    import model.doctor

    yield from envs.doctor.run_checks(envs.doctor.DeviceHost(act=act))
    yield from model.doctor.run_checks()
