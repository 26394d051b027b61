"""Command line of `agent replay`: repeat a recorded run without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.checked_command import CheckedCommand
from agent.cli_options import Headed, Json, Runs, make_app

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.replay.program import Program

app = make_app()


@app.command(cls=CheckedCommand)
def replay(
    run: Annotated[str, typer.Argument(help="A run (its id, its beginning, a folder, or: last), or a program's file.")],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Value of a parameter of the program; repeatable.", metavar="NAME=VALUE"),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the program to this file instead of replaying it; with --model, write what it became after the "
            "replay.",
            metavar="FILE",
        ),
    ] = None,
    surface: Annotated[
        str | None, typer.Option("--surface", "--on", help="As of `agent run`; default: as recorded.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; default: as recorded.")] = None,
    window: Annotated[
        str | None, typer.Option(help="As of `agent run`; default: as recorded.", metavar="TITLE")
    ] = None,
    program_command: Annotated[
        str | None,
        typer.Option("--program", help="As of `agent run`; default: as recorded.", metavar="COMMAND"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of a practice page; default: as recorded.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model that is asked for a place that is missing; default: none, the replay halts."),
    ] = None,
    approve: Annotated[Literal["each", "never"] | None, typer.Option(help="As of `agent run`.")] = None,
    policy: Annotated[str | None, typer.Option(help="As of `agent run`.", metavar="NAME|FILE")] = None,
    hold_writes: Annotated[
        bool | None, typer.Option("--hold-writes/--no-hold-writes", help="As of `agent run`.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="As of `agent run`; repeatable.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="As of `agent run`, besides what the program expects; repeatable.", metavar="EXPECTATION"),
    ] = None,
    headed: Headed = None,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Repeat a recorded run without a model, with other values if wanted.

    Each target is found again by its role and label, or by its pixels; where it is missing or not unique, or where a
    step does not do what it did when it was recorded, the replay halts with exit code 1 and says why.
    """
    from agent import config
    from agent.command_result import capture_stdout, exit_code
    from agent.replay.program import describe_changes, write_program
    from agent.replay.session import choose_program, load_program, parse_values, run_replay
    from agent.session import runs_root
    from agent.ui.display import TextDisplay, display

    recorded = load_program(run, runs_root(config.load({"runs": runs})))
    chosen_values = parse_values(values or (), recorded)
    if save is not None and model is None:
        write_program(recorded, save)
        print(f"wrote {save}: {len(recorded.steps)} steps; parameters: {_names(recorded)}")
        return
    flags: dict[str, object] = {
        "surface": surface or recorded.surface,
        "url": url if url is not None else recorded.url,
        "width": recorded.page_size[0],
        "height": recorded.page_size[1],
        "window": window if window is not None else recorded.window or None,
        "program": choose_program(run, recorded, program_command),
        "seed": seed if seed is not None else recorded.seed,
        "model": model,
        "approve": approve,
        "policy": policy,
        "hold_writes": hold_writes,
        "allow_hosts": tuple(allow_host) if allow_host else None,
        "expect": tuple(expect or ()),
        "headed": headed,
        "runs": runs,
    }
    json_out = capture_stdout() if json else None
    with display(json_out, sys.stdout) as output:
        settings: Settings = config.load(flags)
        person = output if isinstance(output, TextDisplay) and sys.stdin.isatty() else None
        episode, proposal = run_replay(
            recorded, settings, chosen_values, output, person=person, asks_model=model is not None
        )
        if proposal != recorded:
            output.message("the model found what was missing; this is the change that it proposes:")
            for line in describe_changes(recorded, proposal).splitlines():
                output.message(line)
        if save is not None:
            write_program(proposal, save)
    raise typer.Exit(exit_code(episode))


def _names(program: Program) -> str:
    return ", ".join(f"{item.name} ({item.kind})" for item in program.parameters) or "none"
