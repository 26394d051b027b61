"""Options that several commands take, and the settings of their typer apps."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Dtype = Literal["auto", "float32", "bfloat16", "float16", "fast", "int8", "int4"]
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

Model = Annotated[
    str | None,
    typer.Option(
        help="embedded, a folder, a GGUF file, a Hub id (see `agent models`), or http://HOST:PORT/v1#NAME.",
    ),
]
Mmproj = Annotated[
    str | None,
    typer.Option(help="Vision encoder of a GGUF model; default: the mmproj*.gguf beside it.", metavar="FILE"),
]
Device = Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or mps.")]
Grounder = Annotated[str | None, typer.Option(help="A second model that predicts where the first one points.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option(help="Minutes after which the run ends unfinished, without your own; default: any number."),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Tokens of prompts and replies after which the run ends unfinished; default: any number."),
]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Steps after which the run ends unfinished; default: 30.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Random seed for the practice page and for sampling.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON lines to standard output.")]
Headed = Annotated[bool | None, typer.Option("--headed/--headless", help="Show the browser's window; default: no.")]
Surface = Annotated[
    str | None,
    typer.Option("--surface", "--on", help="browser (default), desktop[:virtual] or android[:SERIAL]."),
]
Runs = Annotated[str | None, typer.Option(help="Folder of the traces.", metavar="DIR")]
View = Annotated[bool, typer.Option("--view", help="Serve a page to watch the run in, approve, steer and take over.")]


def make_app(help_text: str | None = None) -> typer.Typer:
    """Return a typer app for one command or a group of them."""
    return typer.Typer(
        help=help_text,
        rich_markup_mode=None,  # rich's help doubles the import time
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=help_text is not None,
        context_settings=HELP_OPTIONS,
    )
