"""`agent doctor`: what this machine has and lacks, each with the line that mends it. Thin; envs/doctor.py looks."""

from __future__ import annotations

import json as json_
from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer(help="Say what this machine lacks, and what mends it.", rich_markup_mode=None, add_completion=False)


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    act: Annotated[
        bool, typer.Option("--act/--no-act", help="Move the pointer and type, in a window of its own.")
    ] = True,
) -> None:
    """Look at python, display, browser, phones, GPU, memory, models and disk. Exit code 1 where something is an error.

    Where a display is there, a small window opens for a moment: the pointer and the typing are tried in it.
    """
    from envs.doctor import Host, run_checks

    findings = []
    for finding in run_checks(Host(act=act)):
        findings.append(finding)
        if not json:
            print(f"{finding.level:8} {finding.name:14} {finding.message}")
            if finding.fix and finding.level != "ok":
                print(f"{'':8} {'':14} mend: {finding.fix}", flush=True)
    worst = next((level for level in ("error", "warning") if any(one.level == level for one in findings)), "ok")
    if json:
        print(json_.dumps({"verdict": worst, "findings": [asdict(one) for one in findings]}))
    else:
        counts = {level: sum(one.level == level for one in findings) for level in ("error", "warning")}
        print(f"{counts['error']} errors, {counts['warning']} warnings")
    if worst == "error":
        raise typer.Exit(1)
