"""`agent calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.checked_command import CheckedCommand
from agent.cli_options import Grounder, Json, Surface, make_app

if TYPE_CHECKING:
    from agent.calibrate import CalibrationResult

app = make_app()


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
