"""`agent mcp`: a screen for other agents, over standard input and output. Thin; agent/mcp.py knows how."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(help="Give a screen to other agents (MCP).", rich_markup_mode=None, add_completion=False)


@app.command()
def mcp(
    on: Annotated[str | None, typer.Option(help="The screen: browser, desktop[:virtual], android[:SERIAL].")] = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; practice:<task> is a practice page.")] = None,
    window: Annotated[str | None, typer.Option(help="See and act in this window only.", metavar="TITLE")] = None,
    program: Annotated[str | None, typer.Option("--open", help="What to start there.", metavar="PROGRAM")] = None,
    model: Annotated[
        str | None, typer.Option(help="Who carries out run_task: embedded, a folder, a Hub id, or http://HOST/v1#NAME.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Steps after which a task ends unfinished.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the practice page; default 0.")] = None,
    headed: Annotated[bool | None, typer.Option("--headed/--headless", help="Show the browser's window.")] = None,
    approve: Annotated[
        str | None, typer.Option(help="each or never. Nobody can be asked here: each refuses.", metavar="WHEN")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host that may be opened, or *.suffix; may be repeated.")
    ] = None,
    runs: Annotated[str | None, typer.Option(help="Folder of the traces.", metavar="DIR")] = None,
) -> None:
    """Serve tools to an MCP client over standard input and output: screenshot, act, run_task, status, stop.

    The screen is opened when the client first needs it, and every act passes the guard and is written down.
    """
    from importlib.util import find_spec

    from actions import UsageError

    if find_spec("mcp") is None:
        raise UsageError("`agent mcp` needs the package mcp: pip install 'pixelhand[mcp]'")
    from dataclasses import replace

    from agent import config
    from agent.mcp.server import serve
    from agent.session import is_practice

    flags: dict[str, Any] = {"surface": on, "url": url, "window": window, "program": program, "model": model}
    flags |= {"max_steps": max_steps, "seed": seed, "headed": headed, "approve": approve, "runs": runs}
    settings = config.load(flags | {"allow_hosts": tuple(allow_host) if allow_host else None})
    if not settings.url and settings.surface == "browser":
        raise UsageError("give the page to start from: --url https://example.org, or --url practice:click-dialog-2")
    if not settings.model and is_practice(settings.url):
        settings = replace(settings, model="embedded")
    serve(settings)
