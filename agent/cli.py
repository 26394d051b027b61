"""The `agent` command: finds the subcommand, and maps results to exit codes.

Only typer is imported at the top, to keep `agent --help` fast; each command imports what it needs when it is called.
Exit codes: 0 success, 1 failure, 2 usage error, 3 denied, 4 step budget used up, 5 environment error, 130 interrupted,
143 SIGTERM, 129 SIGHUP.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from agent.checked_command import CommandLineError
from agent.safety.signals import CTRL_C, interrupted_exit_code, raise_on_termination

SUBCOMMANDS = {  # command: (module and name of its typer app, summary)
    "run": ("agent.run_cli:app", "Carry out GOAL on a screen, step by step."),
    "demo": ("agent.run_cli:demo_app", "Run the embedded model on a practice page."),
    "calibrate": ("agent.calibrate_cli:app", "Check in a minute that clicks arrive where they are aimed."),
    "runs": ("agent.runs_cli:app", "Show earlier runs, write reports and videos of them, and resume or fork one."),
    "view": ("agent.viewer.cli:app", "Show a run in a browser tab."),
    "replay": ("agent.replay.cli:app", "Repeat a recorded run without a model."),
    "export": ("agent.export.cli:app", "Write a run as code of Playwright, pytest, pyautogui or adb."),
    "see": ("agent.see.cli:app", "Read images with a model, without acting."),
    "record": ("agent.record_cli:app", "Record what you do on a screen, to replay or export it."),
    "stop": ("agent.stop_cli:app", "Stop a run that another terminal or program started."),
    "models": ("model.cli:app", "List the supported models, or download one."),
    "eval": ("evals.cli:app", "Evaluate a model on a benchmark."),
    "score": ("evals.score_cli:app", "Score a file of predictions, without a model."),
    "bench": ("perf.cli:app", "Benchmark models and surfaces on this machine, from a source checkout."),
    "serve": ("model.serve.cli:app", "Serve a model with an OpenAI-compatible API."),
    "policy": ("agent.policy_cli:app", "Check safety policies, and explain what they decide."),
    "secrets": ("agent.secrets_cli:app", "Store passwords and one-time codes that a model may have typed."),
    "mcp": ("agent.mcp.cli:app", "Give other agents a screen, as an MCP server."),
    "install": (
        "agent.install_cli:app",
        "Enter the MCP server in the settings of a host, such as Claude Code or Cursor.",
    ),
    "phone": ("envs.phone_cli:app", "Start a simulated Android phone."),
    "doctor": ("agent.doctor_cli:app", "Check what this machine supports, and how to fix what is missing."),
    "config": ("agent.config_cli:app", "Show the settings."),
}


class LazyGroup(TyperGroup):
    """The subcommands, each imported when it is called; the help prints their summaries."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # those of typer
        self.commands = {name: TyperCommand(name, help=summary) for name, (_, summary) in SUBCOMMANDS.items()}

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        """Return a subcommand, None if there is none of this name.

        Raises:
            UsageError: It is not part of the installed package.
        """
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, app_name = SUBCOMMANDS[cmd_name][0].partition(":")
        checkout = Path(__file__).resolve().parent.parent
        if (checkout / module.partition(".")[0]).is_dir() and str(checkout) not in sys.path:
            sys.path.append(str(checkout))  # an editable install does not have the packages that are not shipped
        try:
            command = typer.main.get_command(getattr(import_module(module), app_name))
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            from actions import UsageError

            raise UsageError(
                f"agent {cmd_name} is part of the source checkout: it is not installed with the pixelhand package; "
                "run it from a clone of the repository"
            ) from None
        command.name = cmd_name
        return command  # type: ignore[return-value]

    def format_commands(self, ctx: typer.Context, formatter: object) -> None:  # type: ignore[override]
        """Write the names and summaries."""
        TyperGroup(name="agent", commands=self.commands).format_commands(ctx, formatter)  # type: ignore[arg-type]


app = typer.Typer(
    name="agent",
    cls=LazyGroup,
    help="A computer-use agent for your own machine: it sees screenshots, decides with a local model, and acts.",
    rich_markup_mode=None,  # rich's help doubles the import time
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
            ["replay"],
            ["record"],
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
