"""Command line of `agent export`: write a finished run as code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.cli_options import Runs, make_app

app = make_app()


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run: its id, its beginning, a folder, or: last.")],
    to: Annotated[
        Literal["playwright", "pytest", "pyautogui", "adb"],
        typer.Option(help="playwright: a script; pytest: a test; pyautogui: a script for a desktop; adb: for a phone."),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.", metavar="FILE")] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run the code twice before it is written; default: yes.")
    ] = True,
    repeat_approved: Annotated[
        bool,
        typer.Option("--repeat-approved", help="Check the code although the run's actions needed your approval."),
    ] = False,
    runs: Runs = None,
) -> None:
    """Write a run that succeeded as code that needs neither this package nor a model.

    The code is run twice, each time in a fresh process, and must end as the run did; else nothing is written, and the
    exit code is 1. THE CHECK DOES WHAT THE RUN DID AGAIN, without the guard. --no-check leaves it out.
    """
    import sys

    from agent import config
    from agent.export.exporter import export_run
    from agent.session import runs_root
    from agent.trace import find_run, read_trace

    trace = read_trace(find_run(runs_root(config.load({"runs": runs})), run))
    text = export_run(trace, to, checks=check, repeats_approved=repeat_approved)
    if out is None:
        print(text, end="")
        return
    from actions import UsageError

    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the code cannot be written to {out} ({error.strerror}); name another file with --out"
        ) from None
    print(f"wrote {out}: {'passed twice' if check else 'not checked'}", file=sys.stderr)
