"""Command line of `agent stop`: end running runs after the action in progress."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def stop(
    run: Annotated[str, typer.Argument(help="A running run: its id, its beginning, its folder, or: last.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Stop all runs of this user.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Print what they do, and do not stop them.")] = False,
) -> None:
    """Stop a run that another terminal or program started, after the action in progress.

    Its trace gets an end, its screen is closed, and `agent runs resume` can go on with it. A second time, it stops at
    once.
    """
    import json

    from actions import UsageError
    from agent.control import find_running, request, running_runs
    from agent.ui.formatting import sanitize

    if bool(run) == every and not (status and not run):
        raise UsageError(
            "name the run to stop (`agent runs list` lists them), or give --all"
            if not run
            else "name a run or give --all, not both"
        )
    names = [find_running(run)] if run else running_runs()
    for name in names:
        answer = request(name, "status" if status else "stop")
        print(sanitize(json.dumps(answer)) if status else f"{name} stops after its current action")
    if not names:
        print("no run is running")
