"""`agent config`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli_options import make_app

app = make_app("Show the settings.")


@app.callback()
def options() -> None:
    """Make `show` a subcommand."""


@app.command("show")
def show_config(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show every setting and where its value comes from.

    In order of increasing precedence: defaults, the user's config.toml, pixelhand.toml in this folder, PIXELHAND_*
    environment variables, and the flags of a command.
    """
    from agent import config

    loaded = config.load_with_origins({})
    print(config.to_json(loaded) if json else config.format_settings(loaded))
