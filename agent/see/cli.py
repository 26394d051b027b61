"""Command line of `agent see`; each command is in a module of its own, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import typer

MORE_COMMANDS = (  # name, module with its typer app as `app`
    ("video", "agent.see.video_cli"),
)
app = typer.Typer(
    help="Find events in videos, as JSON.", rich_markup_mode=None, no_args_is_help=True, add_completion=False
)


@app.callback()
def see() -> None:
    """Find events in videos, as JSON."""


def _add_lazy_command(name: str, module: str) -> None:
    """Add a command whose module is imported when it is called; its arguments are passed on unparsed."""

    @app.command(
        name,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def call(context: typer.Context) -> None:
        command = typer.main.get_command(import_module(module).app)
        arguments = ["--help" if argument == "-h" else argument for argument in context.args]
        code = command.main(arguments, prog_name=f"agent see {name}", standalone_mode=False)
        raise typer.Exit(code if isinstance(code, int) else 0)


for _name, _module in MORE_COMMANDS:
    _add_lazy_command(_name, _module)
