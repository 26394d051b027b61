"""Command line of `agent record`: record what a person does on a surface."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agent.checked_command import CheckedCommand
from agent.cli_options import Json, Runs, make_app

app = make_app()


@app.command(cls=CheckedCommand)
def record(
    goal: Annotated[str, typer.Argument(help="What you show; its words become parameters of the replay.")] = "",
    surface: Annotated[
        str | None,
        typer.Option("--surface", "--on", help="browser (default), desktop:virtual or android[:SERIAL]."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; miniwob:TASK is a practice page.")] = None,
    program: Annotated[str | None, typer.Option("--program", help="As of `agent run`.", metavar="COMMAND")] = None,
    policy: Annotated[str | None, typer.Option(help="As of `agent run`.", metavar="NAME|FILE")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="As of `agent run`; repeatable.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="As of `agent run`; repeatable. Replays check it too.", metavar="EXPECTATION"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of a practice page.")] = None,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Record what you do on a screen, without a model, to replay or export it.

    You act in the viewer, whose address is printed. `Hand back` ends the recording; `Stop`, Ctrl-C and `agent stop` end
    it too, with the exit codes of a stopped run.
    """
    from agent import config
    from agent.command_result import capture_stdout, exit_code
    from agent.demonstration import record_demonstration
    from agent.ui.display import display

    flags: dict[str, object] = {
        "surface": surface,
        "url": url,
        "program": program,
        "policy": policy,
        "allow_hosts": tuple(allow_host) if allow_host else None,
        "expect": tuple(expect) if expect else None,
        "seed": seed,
        "runs": runs,
    }
    json_out = capture_stdout() if json else None
    with display(json_out, sys.stdout) as output:
        episode = record_demonstration(goal, config.load(flags), output)
    raise typer.Exit(exit_code(episode))
