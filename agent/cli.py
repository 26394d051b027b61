"""The command `agent`: arguments in, exit codes out. Thin: what it does, a few lines of Python can do.

Only typer is loaded here, for `agent --help` must be quick; each command imports what it needs when it is called.
Exit codes: 0 success, 1 failure, 2 usage, 3 denied, 4 budget spent, 5 environment, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import Settings
    from agent.loop import Episode

SUBCOMMANDS = {  # command: (module that holds its typer app as `app`, help)
    "models": ("model.cli", "List the models that can be used, or fetch one."),
    "eval": ("evals.cli", "Score a model on a benchmark."),
    "score": ("evals.score_cli", "Score a file of predictions, without a model."),
    "bench": ("perf.cli", "Measure how fast models and screens are on this machine."),
    "serve": ("model.serve.cli", "Serve a model to other programs, as OpenAI's API."),
    "mcp": ("agent.mcp.cli", "Give a screen to other agents, as an MCP server."),
    "phone": ("envs.phone_cli", "Start a simulated Android phone."),
    "doctor": ("agent.doctor_cli", "Report what this machine lacks, and how to fix it."),
}
EXIT = {"success": 0, "failure": 1, "budget": 4, "error": 5}
STOPPED_EXIT = {"denied": 3, "interrupted": 130}

app = typer.Typer(
    name="agent",
    help="A computer-use agent for your own machine: it looks at pixels, thinks with a local model, and acts.",
    rich_markup_mode=None,  # rich's help takes as long to load as all the rest
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
runs_app = typer.Typer(help="Read what earlier runs left behind.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(runs_app, name="runs")

Model = Annotated[
    str | None, typer.Option(help="embedded, a folder, a Hub id (see `agent models`), or http://HOST:PORT/v1#NAME.")
]
Grounder = Annotated[str | None, typer.Option(help="A second model, which finds what the first one points at.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Steps after which the run ends unfinished.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the practice page, and of a model that samples.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, nothing else there.")]
Headed = Annotated[bool | None, typer.Option("--headed/--headless", help="Show the browser's window.")]
On = Annotated[str | None, typer.Option(help="The screen: browser, desktop[:virtual], android[:SERIAL].")]
Runs = Annotated[str | None, typer.Option(help="Folder of the traces.", metavar="DIR")]


@app.command()
def run(
    goal: Annotated[str, typer.Argument(help='What to do. "" with a practice: address takes the page\'s own words.')],
    on: On = None,
    url: Annotated[str | None, typer.Option(help="Page to start from; practice:<task> is a practice page.")] = None,
    window: Annotated[str | None, typer.Option(help="See and act in this window only.", metavar="TITLE")] = None,
    program: Annotated[
        str | None, typer.Option("--open", help="What to start on a virtual desktop.", metavar="PROGRAM")
    ] = None,
    approve: Annotated[
        str | None,
        typer.Option(help="each: ask before every action; never. By default each on your own screen.", metavar="WHEN"),
    ] = None,
    model: Model = None,
    grounder: Grounder = None,
    max_steps: MaxSteps = None,
    seed: Seed = None,
    json: Json = False,
    headed: Headed = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16, fast, int8 or int4.")] = None,
    grammar: Annotated[bool | None, typer.Option(help="Hold the model's calls to their form.")] = None,
    zoom: Annotated[
        str | None, typer.Option(help="Look again, closer, before pointing: off, on, or auto (where unsure).")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="Longest context of the model, in tokens; 0: as its checkpoint says.")
    ] = None,
    shrink: Annotated[
        bool | None, typer.Option(help="Where memory runs out, go on with fewer pictures of the past.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="File with a text for the system prompt.", metavar="FILE")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host that the model may open, or *.suffix; may be repeated.")
    ] = None,
    runs: Runs = None,
    script: Annotated[
        Path | None, typer.Option(help="File of replies, a JSON string a line: no model is asked.", metavar="FILE")
    ] = None,
) -> None:
    """Carry out GOAL on a screen, step by step: in a browser, or where --on says.

    A model sees the screen and says one action; it is done; then the model sees what became of it. Without a page and
    a model, where no model but the embedded one is, a goal that it has managed on a practice page ("close the
    dialog") is done there, which is said.
    """
    flags: dict[str, Any] = {
        "on": on,
        "url": url,
        "window": window,
        "program": program,
        "approve": approve,
        "model": model,
        "max_steps": max_steps,
        "seed": seed,
        "headed": headed,
    }
    flags |= {
        "grounder": grounder,
        "dtype": dtype,
        "grammar": grammar,
        "zoom": zoom,
        "budget_tokens": budget_tokens,
        "shrink": shrink,
        "prompt": prompt,
        "runs": runs,
        "allow_hosts": tuple(allow_host) if allow_host else None,
    }
    _run(goal, flags, json, script)


@app.command()
def demo(
    task: Annotated[str, typer.Argument(help="A practice task; --list names them.")] = "",
    on: On = None,
    seed: Seed = None,
    json: Json = False,
    headed: Headed = None,
    max_steps: MaxSteps = None,
    runs: Runs = None,
    show_list: Annotated[bool, typer.Option("--list", help="Name the practice tasks and stop.")] = False,
) -> None:
    """Run the embedded model on a practice page.

    The page gives the instruction and, in the end, the verdict. Nothing is downloaded. Without --seed it is one of the
    pages that the model was measured on and did right.
    """
    if show_list:
        from agent.demo import format_tasks

        print(format_tasks())
        return
    from agent.demo import default_task

    flags: dict[str, Any] = {"url": f"practice:{task or default_task()}", "model": "embedded", "on": on, "seed": seed}
    _run("", flags | {"headed": headed, "runs": runs, "max_steps": max_steps}, json, None, demo=True)


@app.command()
def calibrate(
    on: On = None,
    model: Annotated[str | None, typer.Option(help="Also have a model click the squares and read a colour.")] = None,
    grounder: Grounder = None,
    json: Json = False,
) -> None:
    """Find out in a minute whether clicks land: paint squares, look, move there, compare.

    On a desktop of yours, each monitor is covered for a moment and the pointer moves. Exit code 1 where something is
    more than a pixel off, or where the model missed.
    """
    from contextlib import ExitStack

    from actions import UsageError
    from agent import config
    from agent.calibrate import calibrate, format_table
    from agent.policies.base import Policy
    from agent.session import load_policy

    settings = config.load({"on": on, "model": model, "grounder": grounder})
    if grounder and not settings.model:
        raise UsageError("a grounder finds what a model points at: name that one, too, with --model")
    programs = _capture_stdout() if json else None
    with ExitStack() as stack:

        def load() -> Policy:
            policy = load_policy(settings)
            stack.callback(policy.close)
            return policy

        rows = calibrate(settings, load if settings.model else None)
    if programs is not None:
        programs.write("".join(_json_line(row) for row in rows))
        programs.close()
    else:
        print(format_table(rows))
    raise typer.Exit(0 if all(row.ok for row in rows) else 1)


def _json_line(row: Any) -> str:
    from dataclasses import asdict
    from json import dumps

    return dumps(asdict(row)) + "\n"


@runs_app.command("list")
def list_runs(runs: Runs = None) -> None:
    """Name the runs, the latest last."""
    from agent.ui.run_report import format_runs

    print(format_runs(_root(runs)))


@runs_app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="An id, its beginning, a folder, or: last.")] = "last", runs: Runs = None
) -> None:
    """Tell what happened in one run, and check that its trace is whole."""
    from agent.ui.run_report import format_run

    print(format_run(_root(runs), run))


def _root(runs: str | None) -> Path:
    from agent.config import load
    from agent.session import runs_root

    return runs_root(load({"runs": runs}))


def _run(goal: str, flags: dict[str, Any], json: bool, script: Path | None, demo: bool = False) -> NoReturn:
    """Both `run` and `demo`: settings, display, launch, exit code."""
    from agent.ui.display import TextDisplay, display

    programs = _capture_stdout() if json else None
    with display(programs, sys.stdout) as shown:
        from agent import config
        from agent.session import run_session

        settings = config.load(flags)
        if script is None and flags.get("on") is None and _is_default(settings):
            goal, settings = _on_a_practice_page(goal, settings, shown.say)
        if demo:
            settings = _pick_demo_seed(settings, shown.say)
        settings = _resolve_settings(settings, goal, script)
        person = shown if isinstance(shown, TextDisplay) and sys.stdin.isatty() else None
        ask = person.ask if person else None
        episode = run_session(goal, settings, shown, ask=ask, person=person, script=script)
    raise typer.Exit(exit_code(episode))


def _pick_demo_seed(settings: Settings, say: Callable[[str], None]) -> Settings:
    """Without a seed, one of the practice pages that the embedded model did right when it was measured; says so where
    it did not do all of them."""
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
        say(
            f"seed {seed}: one of the {len(seeds)} of {total} pages that it did right when it was measured; "
            "--seed N is another"
        )
    return replace(settings, seed=seed)


def exit_code(episode: Episode) -> int:
    """The process's exit code for a finished run."""
    return STOPPED_EXIT[episode.cause] if episode.status == "stopped" else EXIT[episode.status]


def _is_default(settings: Settings) -> bool:
    """Whether neither model nor page nor surface was chosen, by a flag or in any file."""
    return not settings.model and not settings.url and settings.on == type(settings).on


def _on_a_practice_page(goal: str, settings: Settings, say: Callable[[str], None]) -> tuple[str, Settings]:
    """For a goal that evidently means a practice page: that page's own goal with the embedded model, and said so.

    Any other goal is given back as it is. UsageError where other models are on this disk: a person chooses.
    """
    from dataclasses import replace

    from actions import UsageError
    from agent.demo import instead, page_for

    task = page_for(goal)
    if not task:
        return goal, settings
    from model.checkpoints.hub import cached, choose_model_message, no_model_message

    here = list(dict.fromkeys(found.hub_id for found in cached()))  # one may lie there in several revisions
    if here:
        raise UsageError(choose_model_message(here))
    say(f"{no_model_message()}; until then {instead(task)}")
    return "", _pick_demo_seed(replace(settings, url=f"practice:{task}", model="embedded"), say)


def _resolve_settings(settings: Settings, goal: str, script: Path | None) -> Settings:
    """Fill in what follows from the rest; UsageError, with what can be done, where something is missing."""
    from dataclasses import replace

    from actions import UsageError
    from agent.session import is_practice, surface_name
    from envs.miniwob.pages import page, task_name

    practice = is_practice(settings.url)
    if practice:
        page(task_name(settings.url))  # UsageError for a task that does not exist
    if not settings.model and practice and script is None:
        settings = replace(settings, model="embedded")
    if not settings.model and script is None:
        from model.checkpoints.hub import get_model_message

        raise UsageError(get_model_message())
    if not settings.url and surface_name(settings) == "browser":
        raise UsageError("give the page to start from: --url https://example.org, or --url practice:click-dialog-2")
    if not goal and not practice:
        raise UsageError("the goal is empty; say what to do, in quotes")
    return settings


def _capture_stdout() -> Any:
    """A stream that alone writes to standard output; whatever else any library prints goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def _add_lazy_command(name: str, module: str, about: str) -> None:
    """A stand-in that loads another floor's commands when it is called, its arguments passed on as they are."""

    @app.command(
        name,
        help=about,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def call(context: typer.Context) -> None:
        command = typer.main.get_command(import_module(module).app)
        code = command.main(list(context.args), prog_name=f"agent {name}", standalone_mode=False)
        raise typer.Exit(code if isinstance(code, int) else 0)


for _name, (_module, _about) in SUBCOMMANDS.items():
    _add_lazy_command(_name, _module, _about)


def main() -> NoReturn:
    """The command's entry: every error ends as one sentence on standard error, and as an exit code."""
    debug = bool(os.environ.get("PIXELHAND_DEBUG"))
    try:
        code = app(prog_name="agent", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; leave without a second error
        code = 1
    except Exception as error:
        if debug:
            raise
        code = _report_error(error)
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def _report_error(error: Exception) -> int:
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own: a flag that does not exist, ...
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        if "--json" in sys.argv and sys.argv[1:2] in (["run"], ["demo"]):  # who reads lines gets the last one always
            print('{"event": "end", "status": "error", "reward": null, "steps": 0, "run": ""}')
        return _print_error(f"{usage}{error.format_message()}", int(error.exit_code))
    from actions import ActionDeniedError, Error, SurfaceError, UsageError
    from agent import trace
    from agent.session import InternalError, write_crash_report
    from agent.ui.formatting import sanitize_lines

    if not isinstance(error, Error):
        try:
            named = os.environ.get("PIXELHAND_RUNS")
            error = write_crash_report(error, trace.new_folder(Path(named) if named else trace.default_root()))
        except (Error, OSError) as second:
            return _print_error(f"something unforeseen went wrong ({type(error).__name__}: {error}), and {second}", 5)
    codes = {UsageError: 2, ActionDeniedError: 3, SurfaceError: 5, InternalError: 5}
    return _print_error(
        sanitize_lines(str(error)), next((code for kind, code in codes.items() if isinstance(error, kind)), 1)
    )
