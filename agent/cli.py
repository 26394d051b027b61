"""The `agent` command: parses arguments, calls the library, and maps results to exit codes.

Only typer is imported at the top, to keep `agent --help` fast; each command imports what it needs when it is called.
Exit codes: 0 success, 1 failure, 2 usage error, 3 denied, 4 step budget used up, 5 environment error, 130 interrupted,
143 SIGTERM, 129 SIGHUP.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from agent.checked_command import CheckedCommand, CommandLineError
from agent.safety.signals import CTRL_C, interrupted_exit_code, raise_on_termination

if TYPE_CHECKING:
    from agent.calibrate import CalibrationResult
    from agent.config import Settings
    from agent.ui.display import Display

SUBCOMMANDS = {  # command: (module with its typer app as `app`, help)
    "runs": ("agent.runs_cli", "Show earlier runs, write reports and videos of them, and resume or fork one."),
    "view": ("agent.viewer.cli", "Show a run in a browser tab."),
    "record": ("agent.record_cli", "Record what you do on a screen, to replay or export it."),
    "replay": ("agent.replay.cli", "Repeat a recorded run without a model."),
    "export": ("agent.export.cli", "Write a run as code of Playwright, pytest, pyautogui or adb."),
    "stop": ("agent.stop_cli", "Stop a run that another terminal or program started."),
    "models": ("model.cli", "List the supported models, or download one."),
    "eval": ("evals.cli", "Evaluate a model on a benchmark."),
    "score": ("evals.score_cli", "Score a file of predictions, without a model."),
    "bench": ("perf.cli", "Benchmark models and surfaces on this machine, from a source checkout."),
    "serve": ("model.serve.cli", "Serve a model with an OpenAI-compatible API."),
    "policy": ("agent.policy_cli", "Check safety policies, and explain what they decide."),
    "secrets": ("agent.secrets_cli", "Store passwords and one-time codes that a model may have typed."),
    "mcp": ("agent.mcp.cli", "Give other agents a screen, as an MCP server."),
    "install": ("agent.install_cli", "Enter the MCP server in the settings of a host, such as Claude Code or Cursor."),
    "phone": ("envs.phone_cli", "Start a simulated Android phone."),
    "doctor": ("agent.doctor_cli", "Check what this machine supports, and how to fix what is missing."),
}
Dtype = Literal["auto", "float32", "bfloat16", "float16", "fast", "int8", "int4"]
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="agent",
    help="A computer-use agent for your own machine: it sees screenshots, decides with a local model, and acts.",
    rich_markup_mode=None,  # rich's help doubles the import time
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
config_app = typer.Typer(help="Show the settings.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(config_app, name="config")

Model = Annotated[
    str | None, typer.Option(help="embedded, a folder, a Hub id (see `agent models`), or http://HOST:PORT/v1#NAME.")
]
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


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"pixelhand {version('pixelhand')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Parse the options of `agent` itself."""


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
    grounder: Grounder = None,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    json: Json = False,
    headed: Headed = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or mps.")] = None,
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


@app.command(cls=CheckedCommand)
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


@app.command(cls=CheckedCommand)
def calibrate(
    surface: Surface = None,
    model: Annotated[str | None, typer.Option(help="Also have a model click the markers and name a color.")] = None,
    grounder: Grounder = None,
    json: Json = False,
) -> None:
    """Check in a minute that clicks arrive where they are aimed.

    On your own desktop, each monitor is covered for a moment and the pointer moves. The exit code is 1 when something
    is off by more than a pixel, or when the model missed.
    """
    from contextlib import ExitStack

    from actions import UsageError
    from agent import config
    from agent.calibrate import calibrate, format_table
    from agent.command_result import capture_stdout
    from agent.policies.base import Policy
    from agent.preflight import model_problems, target_problems
    from agent.session import policy_from_settings, surface_name

    settings = config.load({"surface": surface, "model": model, "grounder": grounder})
    problems = model_problems(settings)
    if surface_name(settings) == "desktop":
        problems += target_problems(settings)
    if problems:
        raise UsageError("\n".join(problems))
    json_out = capture_stdout() if json else None
    with ExitStack() as stack:

        def load() -> Policy:
            policy = policy_from_settings(settings)
            stack.callback(policy.close)
            return policy

        results = calibrate(settings, load if settings.model else None)
    if json_out is not None:
        json_out.write("".join(_json_line(result) for result in results))
        json_out.close()
    else:
        print(format_table(results))
    raise typer.Exit(0 if all(result.ok for result in results) else 1)


def _json_line(result: CalibrationResult) -> str:
    from dataclasses import asdict
    from json import dumps

    return dumps(asdict(result)) + "\n"


@config_app.command("show")
def show_config(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show every setting and where its value comes from.

    In order of increasing precedence: defaults, the user's config.toml, pixelhand.toml in this folder, PIXELHAND_*
    environment variables, and the flags of a command.
    """
    from agent import config

    loaded = config.load_with_origins({})
    print(config.to_json(loaded) if json else config.format_settings(loaded))


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


def _add_lazy_command(name: str, module: str, summary: str) -> None:
    """Add a command whose module is imported when it is called; its arguments are passed on unparsed."""

    @app.command(
        name,
        help=summary,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def call(context: typer.Context) -> None:
        try:
            command = typer.main.get_command(import_module(module).app)
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            from actions import UsageError

            raise UsageError(
                f"agent {name} is part of the source checkout: it is not installed with the pixelhand package; "
                "run it from a clone of the repository"
            ) from None
        arguments = ["--help" if argument == "-h" else argument for argument in context.args]
        code = command.main(arguments, prog_name=f"agent {name}", standalone_mode=False)
        raise typer.Exit(code if isinstance(code, int) else 0)


for _name, (_module, _summary) in SUBCOMMANDS.items():
    _add_lazy_command(_name, _module, _summary)


def main() -> NoReturn:
    """Run the command; print any error as one message on standard error, and exit with its code."""
    is_debug = bool(os.environ.get("PIXELHAND_DEBUG"))
    try:
        with raise_on_termination():
            code = app(prog_name="agent", standalone_mode=False)
        if code == CTRL_C.exit_code:  # what the parser makes of each KeyboardInterrupt
            code = interrupted_exit_code()
    except (KeyboardInterrupt, typer.Abort):
        code = interrupted_exit_code()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails too
        code = 1
    except Exception as error:
        if is_debug:
            raise
        code = _report_error(error)
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _report_error(error: Exception) -> int:
    """Print an error and return its exit code."""
    if isinstance(error, CommandLineError):
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        message = error.format_message().replace("Value error, ", "")
        if "--json" in sys.argv and sys.argv[1:2] in (
            ["run"],
            ["demo"],
            ["record"],
            ["replay"],
        ):  # the last line is always the end event
            from json import dumps

            end = {"event": "end", "status": "error", "reward": None, "steps": 0, "run": "", "cause": "usage"}
            print(dumps({**end, "message": message}))
        return _print_error(f"{usage}{message}", int(error.exit_code))
    from actions import ActionDeniedError, Error, SurfaceError, UsageError
    from agent import trace
    from agent.crash_report import InternalError, write_crash_report
    from agent.ui.formatting import sanitize_lines

    if not isinstance(error, Error):
        try:
            root = os.environ.get("PIXELHAND_RUNS")
            error = write_crash_report(error, trace.new_folder(Path(root) if root else trace.default_root()))
        except (Error, OSError) as second:
            return _print_error(f"internal error ({type(error).__name__}: {error}), and no crash report: {second}", 5)
    codes = {UsageError: 2, ActionDeniedError: 3, SurfaceError: 5, InternalError: 5}
    code = next((code for error_type, code in codes.items() if isinstance(error, error_type)), 1)
    return _print_error(sanitize_lines(str(error)), code)
