"""`agent run` and `agent demo`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from agent.checked_command import CheckedCommand
from agent.cli_options import (
    Device,
    Dtype,
    Grounder,
    Headed,
    Json,
    MaxMinutes,
    MaxSteps,
    MaxTokens,
    Mmproj,
    Model,
    Runs,
    Seed,
    Surface,
    View,
    make_app,
)

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.ui.display import Display

app, demo_app = make_app(), make_app()


@app.command(cls=CheckedCommand)
def run(
    goal: Annotated[str, typer.Argument(help='The task; "" for the own instruction of a practice page.')],
    surface: Surface = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; miniwob:TASK is a practice page.")] = None,
    window: Annotated[
        str | None, typer.Option(help="See and act in the desktop window with this title only.", metavar="TITLE")
    ] = None,
    program: Annotated[
        str | None,
        typer.Option("--program", "--open", help="Program to start on a virtual desktop.", metavar="COMMAND"),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder that programs of a virtual desktop may read and write; repeatable.", metavar="FOLDER"
        ),
    ] = None,
    approve: Annotated[
        Literal["each", "never"] | None,
        typer.Option(
            help="Ask before each action, or never; default: as the policy says (each on your own screen).",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="What the guard allows, asks and denies: read-only, cautious, unattended, sandbox, or a policy file; "
            "default: cautious, or sandbox on practice pages.",
            metavar="NAME|FILE",
        ),
    ] = None,
    hold_writes: Annotated[
        bool | None,
        typer.Option(
            "--hold-writes/--no-hold-writes",
            help="Hold what a page sends to change something (POST, PUT, PATCH, DELETE) until you let it be sent; "
            "default: no.",
        ),
    ] = None,
    model: Model = None,
    mmproj: Mmproj = None,
    grounder: Grounder = None,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    json: Json = False,
    headed: Headed = None,
    device: Device = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="Precision of the weights; default: auto."),
    ] = None,
    grammar: Annotated[
        bool | None, typer.Option(help="Constrain replies to the model's grammar; default: yes.")
    ] = None,
    zoom: Annotated[
        Literal["off", "on", "auto"] | None,
        typer.Option(
            help="Refine points on an enlarged crop: off (default), on, or auto (where uncertain).",
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="Longest context in tokens; 0 (default): as the checkpoint says.")
    ] = None,
    auto_shrink_history: Annotated[
        bool | None,
        typer.Option(
            "--auto-shrink-history/--no-auto-shrink-history",
            "--shrink/--no-shrink",
            help="Use fewer earlier screenshots when memory runs out; default: no.",
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Text file that replaces the system prompt.", metavar="FILE")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host that may be connected to, as HOST, HOST:PORT or *.SUFFIX; repeatable; default: all public ones.",
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            help='What holds after the run, like: text "Order received", url PATTERN, title PATTERN, '
            'element ROLE "LABEL", file PATH, request POST /orders 2xx; repeatable.',
            metavar="EXPECTATION",
        ),
    ] = None,
    second_look: Annotated[
        bool | None,
        typer.Option(
            help="Without --expect, ask the model at the end whether the screens show GOAL as reached; default: yes."
        ),
    ] = None,
    output_schema: Annotated[
        str | None,
        typer.Option(
            help="JSON schema of the answer; the run ends with one that fits it, each value read a second time.",
            metavar="FILE",
        ),
    ] = None,
    runs: Runs = None,
    view: View = False,
    script: Annotated[
        Path | None,
        typer.Option(help="Replay replies from a file, one JSON string per line, without a model.", metavar="FILE"),
    ] = None,
) -> None:
    """Carry out GOAL on a screen, step by step.

    A model sees a screenshot and chooses an action; the action is performed, and the model sees the next screenshot.
    """
    if mmproj:
        from model.checkpoints.gguf_settings import with_mmproj

        model = with_mmproj(model or "", mmproj)
    flags: dict[str, object] = {
        "surface": surface,
        "url": url,
        "window": window,
        "program": program,
        "share": tuple(share) if share else None,
        "approve": approve,
        "policy": policy,
        "hold_writes": hold_writes,
        "model": model,
        "grounder": grounder,
        "max_steps": max_steps,
        "max_minutes": max_minutes,
        "max_tokens": max_tokens,
        "seed": seed,
        "headed": headed,
        "device": device,
        "dtype": dtype,
        "grammar": grammar,
        "zoom": zoom,
        "budget_tokens": budget_tokens,
        "auto_shrink_history": auto_shrink_history,
        "prompt": prompt,
        "allow_hosts": tuple(allow_host) if allow_host else None,
        "expect": tuple(expect) if expect else None,
        "second_look": second_look,
        "output_schema": output_schema,
        "runs": runs,
    }
    _run(goal, flags, json, script, view)


@demo_app.command(cls=CheckedCommand)
def demo(
    task: Annotated[str, typer.Argument(help="A practice task; --list shows them.")] = "",
    surface: Surface = None,
    seed: Seed = None,
    json: Json = False,
    headed: Headed = None,
    max_steps: MaxSteps = None,
    runs: Runs = None,
    view: View = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the practice tasks and exit.")] = False,
    lie: Annotated[
        bool, typer.Option("--lie", help="Show a page that claims to have saved and has not, and how --expect tells.")
    ] = False,
) -> None:
    """Run the embedded model on a practice page.

    The page gives the instruction and judges the result. Nothing is downloaded. Without --seed, the page is one on
    which the model succeeded in its last evaluation.
    """
    from agent.demo import default_task, format_tasks
    from envs.miniwob.pages import ADDRESS_PREFIX

    if show_list:
        print(format_tasks())
        return
    if lie:
        unused = {"TASK": task, "--surface": surface, "--seed": seed, "--max-steps": max_steps}
        _demonstrate_lie([name for name, value in unused.items() if value not in (None, "")], json, headed, runs, view)
    flags: dict[str, object] = {
        "url": ADDRESS_PREFIX + (task or default_task()),
        "model": "embedded",
        "surface": surface,
        "seed": seed,
        "headed": headed,
        "runs": runs,
        "max_steps": max_steps,
    }
    _run("", flags, json, None, view, is_demo=True)


def _run(
    goal: str, flags: dict[str, object], json: bool, script: Path | None, view: bool, is_demo: bool = False
) -> NoReturn:
    """Run a session for `run` and `demo`, and exit with its code."""
    from agent.command_result import capture_stdout, exit_code
    from agent.ui.display import display

    json_out = capture_stdout() if json else None
    with display(json_out, sys.stdout) as output:
        from agent import config
        from agent.interaction import run_interactively
        from agent.preflight import resolve_settings

        settings = config.load(flags)
        if is_demo:
            settings = _pick_demo_seed(settings, output)
        settings = resolve_settings(settings, goal, script)
        episode = run_interactively(goal, settings, output, view=view, script=script)
    raise typer.Exit(exit_code(episode))


def _demonstrate_lie(unused: Sequence[str], json: bool, headed: bool | None, runs: str | None, view: bool) -> NoReturn:
    """Run a script that believes the page of `agent.lying_page`, with expectations that do not."""
    from actions import UsageError
    from agent.lying_page import EXPECTATIONS, GOAL, serve_lying_page

    if unused:
        raise UsageError(f"--lie shows one page in the browser with a fixed script; remove {', '.join(unused)}")
    with serve_lying_page() as page:
        flags: dict[str, object] = {"url": page.url, "expect": EXPECTATIONS, "policy": "sandbox"}
        flags |= {"surface": "browser", "width": 1288, "height": 728, "headed": headed, "runs": runs}
        _run(GOAL, flags, json, page.script, view)


def _pick_demo_seed(settings: Settings, output: Display) -> Settings:
    """Choose a seed on which the embedded model succeeded in its last evaluation, if none was given."""
    from dataclasses import replace
    from random import choice

    from agent.demo import success_rates, successful_seeds
    from envs.miniwob.pages import task_name

    task = task_name(settings.url)
    seeds = successful_seeds(task)
    if settings.seed is not None or not seeds:
        return settings
    seed, total = choice(seeds), success_rates()[task][1]
    if len(seeds) < total:
        output.message(
            f"seed {seed}: one of the {len(seeds)} of {total} pages on which the model succeeded in its last "
            "evaluation; --seed N shows another"
        )
    return replace(settings, seed=seed)
