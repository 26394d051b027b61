"""Command line of `agent see`: read images with a model."""

from __future__ import annotations

import typer

from agent.see import parse_cli

app = typer.Typer(help="Read images with a model, without acting.", rich_markup_mode=None, add_completion=False)


@app.callback()
def see() -> None:
    """Read images with a model, without acting."""


app.command("parse")(parse_cli.parse)
