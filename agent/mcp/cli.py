"""Command line of `agent mcp`: serve a screen to other agents over standard input and output."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Serve a screen to other agents (MCP).", rich_markup_mode=None, add_completion=False)


@app.command()
def mcp(
    on: Annotated[
        str | None,
        typer.Option(
            "--surface", "--on", help="browser, desktop[:virtual] or android[:SERIAL].", show_default="browser"
        ),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; miniwob:TASK is a practice page.")] = None,
    window: Annotated[str | None, typer.Option(help="Show this window only, and act in it.", metavar="TITLE")] = None,
    program: Annotated[
        str | None,
        typer.Option("--program", "--open", help="Program to start on a virtual desktop.", metavar="PROGRAM"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of run_task and the see_ tools: embedded, a folder, a Hub id, or http://HOST/v1#NAME."
        ),
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Maximum number of steps of a task.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed of the practice page.", show_default="0")] = None,
    headed: Annotated[bool | None, typer.Option("--headed/--headless", help="Show the browser window.")] = None,
    approve: Annotated[
        str | None,
        typer.Option(
            help="each or never. There is no terminal to ask at, so each refuses every action.",
            metavar="WHEN",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="read-only, cautious, unattended, sandbox, or a policy file; default: cautious, or sandbox on "
            "practice pages.",
            metavar="NAME|FILE",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host that may be connected to, as HOST, HOST:PORT or *.SUFFIX; repeatable; default: all public ones.",
        ),
    ] = None,
    runs: Annotated[str | None, typer.Option(help="Folder for the traces.", metavar="DIR")] = None,
) -> None:
    """Serve the tools of one screen to an MCP client over standard input and output.

    They are screenshot, act, see_ground, see_count, see_elements, see_read, run_task, status and stop. The screen
    is opened on first use. Every action passes the guard and is recorded in a trace.
    """
    from importlib.util import find_spec

    from actions import UsageError

    if find_spec("mcp") is None:
        raise UsageError("`agent mcp` needs the package mcp; install it with: pip install 'pixelhand[mcp]'")
    from dataclasses import replace

    from agent import config
    from agent.mcp.server import serve
    from agent.preflight import model_problems, target_problems
    from agent.session import is_practice

    flags: dict[str, object] = {"surface": on, "url": url, "window": window, "program": program, "model": model}
    flags |= {
        "max_steps": max_steps,
        "seed": seed,
        "headed": headed,
        "approve": approve,
        "policy": policy,
        "runs": runs,
    }
    settings = config.load(flags | {"allow_hosts": tuple(allow_host) if allow_host else None})
    if not settings.model and is_practice(settings.url):
        settings = replace(settings, model="embedded")
    if problems := target_problems(settings) + model_problems(settings):
        raise UsageError("\n".join(problems))
    serve(settings)
