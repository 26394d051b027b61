"""Command line of `agent runs`: list, show and report earlier runs, and go on with one or fork it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.cli_options import Json, Runs, make_app

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.policies.base import Policy
    from agent.resume import Resumption
    from agent.safety.policy import SafetyPolicy
    from agent.trace import Trace

app = make_app("Show earlier runs, write reports and videos of them, and resume or fork one.")
RUN_HELP = "An id, its beginning, a folder, or: last."


@app.command("list")
def list_runs(runs: Runs = None) -> None:
    """List the runs, oldest first."""
    from agent.ui.run_report import format_runs

    print(format_runs(_runs_root(runs)))


@app.command("show")
def show_run(run: Annotated[str, typer.Argument(help=RUN_HELP)] = "last", runs: Runs = None) -> None:
    """Show the steps of a run, and check its trace."""
    from agent.ui.run_report import format_run

    print(format_run(_runs_root(runs), run))


@app.command("report")
def report(
    run: Annotated[list[str] | None, typer.Argument(help=f"{RUN_HELP} Several are allowed; default: last.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write. Default: report.html in the run's folder, or beside the runs.",
            metavar="FILE",
        ),
    ] = None,
    runs: Runs = None,
) -> None:
    """Write runs as one HTML file that needs no network: each step with its screenshots, decision and timings.

    It opens at the first step that was not done. A run that broke off is shown as far as its trace goes.
    """
    from agent.report.run_page import write_run_report
    from agent.trace import find_run

    root = _runs_root(runs)
    folders = list(dict.fromkeys(find_run(root, name).resolve() for name in run or ["last"]))
    print(write_run_report(folders, output or (folders[0] if len(folders) == 1 else root) / "report.html"))


@app.command("video")
def video(
    run: Annotated[str, typer.Argument(help=RUN_HELP)] = "last",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .mp4, .webm or .gif. Default: video.mp4 in the run's folder.",
            metavar="FILE",
        ),
    ] = None,
    runs: Runs = None,
) -> None:
    """Write a run as a video: each action in words, its target enlarged, and how the run ended."""
    from agent.report.video import write_run_video
    from agent.trace import find_run

    folder = find_run(_runs_root(runs), run)
    print(write_run_video(folder, output or folder / "video.mp4"))


@app.command("corrections")
def corrections(
    to: Annotated[
        Path, typer.Option(help="Folder of the cases; gets annotations/ and images/, or more of them.", metavar="DIR")
    ],
    run: Annotated[list[str] | None, typer.Argument(help=f"{RUN_HELP} Several are allowed; default: last.")] = None,
    runs: Runs = None,
) -> None:
    """Collect what you moved to another place in the viewer as cases of grounding, for `agent eval screenspot-pro`.

    A case is a screenshot, what was pointed at in words, and the box of the element that you moved the action to, or a
    square of 29 pixels where the elements are unknown. The exit code is 1 if the runs have no correction.
    """
    from collections import Counter

    from agent.corrections import Correction, read_corrections, write_cases
    from agent.trace import find_run, read_trace

    root = _runs_root(runs)
    cases: list[Correction] = []
    left_out: Counter[str] = Counter()
    folders = list(dict.fromkeys(find_run(root, name).resolve() for name in run or ["last"]))
    for folder in folders:
        more, reasons = read_corrections(read_trace(folder))
        cases += more
        left_out += reasons
    for reason, count in left_out.items():
        print(f"left out: {count} edits {reason}", file=sys.stderr)
    if not cases:
        print(f"no corrections in {len(folders)} runs", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{write_cases(cases, to)}: {len(cases)} corrections of {len(folders)} runs")


@app.command("resume")
def resume(
    run: Annotated[str, typer.Argument(help=RUN_HELP)] = "last",
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in all, with those of the earlier run; default: as before.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Minutes in all, with those of the earlier run; default: as before.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in all, with those of the earlier run; default: as before.")
    ] = None,
    approve: Annotated[
        Literal["each", "never"] | None, typer.Option(help="As of `agent run`; default: as before.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="As of `agent run`; needed where the policy has changed meanwhile.", metavar="NAME|FILE"),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="The file of replies, if the run replayed one.", metavar="FILE")
    ] = None,
    json: Json = False,
    view: Annotated[bool, typer.Option("--view", help="As of `agent run`.")] = False,
    runs: Runs = None,
) -> None:
    """Go on with a run that was interrupted, from its trace.

    Goal, settings, model and earlier steps are those of the trace; steps, minutes and the other limits go on counting.
    An action that may or may not have been carried out is asked about and, without a terminal, not repeated.
    """
    from agent.command_result import capture_stdout, exit_code
    from agent.ui.display import display

    json_out = capture_stdout() if json else None
    with display(json_out, sys.stdout) as output:
        from agent.interaction import run_interactively
        from agent.preflight import resolve_settings
        from agent.resume import load_resumption
        from agent.session import safety_policy
        from agent.trace import find_run

        root = _runs_root(runs)
        resumption = load_resumption(find_run(root, run))
        budget = {"max_steps": max_steps, "max_minutes": max_minutes, "max_tokens": max_tokens}
        overrides: dict[str, object] = {**budget, "approve": approve, "policy": policy}
        chosen = {name: value for name, value in overrides.items() if value is not None}
        settings = _settings(resumption.trace, chosen, root)
        _check(resumption, settings, script)
        settings = resolve_settings(settings, resumption.trace.goal, script)
        _check_policy(resumption, safety_policy(settings), is_named=policy is not None or approve is not None)
        output.message(f"{'resumes':8} {resumption.trace.folder.name} after {resumption.step_count} steps")
        goal = resumption.trace.goal
        episode = run_interactively(goal, settings, output, view=view, script=script, resumption=resumption)
    raise typer.Exit(exit_code(episode))


@app.command("fork")
def fork(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    at: Annotated[int, typer.Option(min=1, help="Number of its first steps that are performed again.")],
    goal: Annotated[str | None, typer.Option(help="Another task; default: as before, with its expectations.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `agent run`; default: as before.")] = None,
    prompt: Annotated[str | None, typer.Option(help="As of `agent run`; default: as before.", metavar="FILE")] = None,
    script: Annotated[
        Path | None,
        typer.Option(help="Replay replies from a file after these steps, without a model.", metavar="FILE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on where the screen is not the recorded one.")] = False,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in all, with the repeated ones; default: as before.")
    ] = None,
    approve: Annotated[
        Literal["each", "never"] | None, typer.Option(help="As of `agent run`; default: as before.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="As of `agent run`; default: as before.", metavar="NAME|FILE")
    ] = None,
    json: Json = False,
    view: Annotated[bool, typer.Option("--view", help="As of `agent run`.")] = False,
    runs: Runs = None,
) -> None:
    """Begin a new run with the first steps of an earlier one, and go on from there with a model.

    The actions are performed again on a fresh screen, under the guard, and are the history that the model sees. Where
    the screen is not the recorded one, the fork halts with exit code 1.
    """
    from agent.command_result import capture_stdout, exit_code
    from agent.ui.display import display

    json_out = capture_stdout() if json else None
    with display(json_out, sys.stdout) as output:
        from agent.fork import ForkPolicy, load_fork_point
        from agent.interaction import run_interactively
        from agent.policies.scripted import load_script
        from agent.preflight import resolve_settings
        from agent.session import is_practice, policy_from_settings
        from agent.trace import find_run, read_trace

        root = _runs_root(runs)
        trace = read_trace(find_run(root, run))
        point = load_fork_point(trace, at)
        start = trace.first("start")
        overrides = {"max_steps": max_steps, "approve": approve, "policy": policy, "model": model, "prompt": prompt}
        chosen: dict[str, object] = {name: value for name, value in overrides.items() if value is not None}
        chosen |= {"seed": start["seed"]} | ({"expect": ()} if goal is not None else {})
        settings = _settings(trace, chosen, root)
        task = goal if goal is not None else "" if is_practice(settings.url) else str(start["goal"])
        settings = resolve_settings(settings, task, script)
        _check_fork_steps(at, settings)
        output.message(f"{'forks':8} {trace.folder.name}: the first {at} steps are performed again")
        if script is not None:
            base: Policy = load_script(script, settings.prompt)
        else:
            output.message(f"loading {settings.model} …")
            base = policy_from_settings(settings, on_text=output.on_text, on_status=output.message)
        forked = ForkPolicy(point, base, is_forced=force, on_message=output.message)
        origin = {"forks": point.as_manifest()}
        episode = run_interactively(task, settings, output, view=view, script=None, policy=forked, origin=origin)
    raise typer.Exit(exit_code(episode))


def _check_fork_steps(count: int, settings: Settings) -> None:
    """Raise UsageError where no step is left for the model."""
    from actions import UsageError

    if count >= settings.max_steps:
        raise UsageError(
            f"the fork repeats {count} of {settings.max_steps} steps, so none is left; allow more with --max-steps N, "
            "which counts them all"
        )


def _settings(trace: Trace, overrides: dict[str, object], root: Path) -> Settings:
    """Return the settings of a run, with those of the command line; the new trace goes beside the others.

    Telemetry is that of the user's present settings: a trace may come from somebody else.
    """
    from pydantic import ValidationError

    from actions import UsageError
    from agent import config
    from agent.config import Settings

    recorded = dict(trace.manifest["settings"])
    present = config.load({})
    recorded |= {"telemetry": present.telemetry, "telemetry_content": present.telemetry_content}
    try:
        return Settings(**{**recorded, **overrides, "runs": str(root)})
    except (TypeError, ValidationError) as error:
        raise UsageError(
            f"the settings of {trace.folder} are not those of this version, so it cannot go on: {error}"
        ) from None


def _check(resumption: Resumption, settings: Settings, script: Path | None) -> None:
    """Raise UsageError where the run cannot be resumed with these settings."""
    from actions import UsageError
    from agent.control import HAS_UNIX_SOCKETS, running_runs
    from agent.policies.scripted import load_script
    from agent.resume import find_successor
    from agent.session import is_practice, surface_name
    from agent.termination import StopLimits, check_budget

    trace, name = resumption.trace, resumption.trace.folder.name
    recorded = trace.manifest["policy"]
    if HAS_UNIX_SOCKETS and name in running_runs():
        raise UsageError(f"the run {name} is still running; end it first: agent stop {name}")
    if successor := find_successor(trace):
        raise UsageError(f"the run {name} was resumed already; resume the later one: agent runs resume {successor}")
    if is_practice(settings.url):
        raise UsageError(
            f"the run {name} was on a practice page, whose state is lost; start it anew: "
            f"agent run '' --url {settings.url} --seed {settings.seed}"
        )
    if surface_name(settings) == "browser" and not settings.url:
        raise UsageError(f"the run {name} names no start page, so its screen cannot be opened again")
    if recorded.get("model") == "replay":
        raise UsageError(f"the run {name} was a replay, which needs no earlier steps; start it anew with agent replay")
    if (recorded.get("model") == "script") != (script is not None):
        raise UsageError(
            f"the run {name} replayed a script; name the same one with --script FILE"
            if script is None
            else f"the run {name} used the model {recorded.get('model')}, not a script; remove --script"
        )
    if script is not None:
        policy = load_script(script, settings.prompt)
        if policy.metadata["fingerprint"] != recorded.get("fingerprint"):
            raise UsageError(f"{script} is not the script that the run {name} replayed; name that one with --script")
        if resumption.step_count >= len(policy.replies):
            raise UsageError(f"the run {name} replayed all {len(policy.replies)} replies of {script}; nothing is left")
    if resumption.step_count >= settings.max_steps:
        raise UsageError(
            f"the run {name} has used {resumption.step_count} of {settings.max_steps} steps; "
            "allow more with --max-steps N, which counts them all"
        )
    limits = StopLimits(minutes=settings.max_minutes, tokens=settings.max_tokens)
    if (ending := check_budget(resumption.history, limits)) and ending.status == "budget":
        raise UsageError(
            f"the run {name} is {ending.message}; "
            "allow more with --max-minutes N or --max-tokens N, which count them all"
        )


def _check_policy(resumption: Resumption, safety: SafetyPolicy, *, is_named: bool) -> None:
    """Say that the guard's policy is another one; raise UsageError where it may allow more and was not named."""
    from actions import UsageError

    before = resumption.trace.manifest.get("safety_policy")
    earlier = before if isinstance(before, dict) else {}
    if earlier.get("sha256") == safety.sha256:
        return
    hashes = f"sha256 {str(earlier.get('sha256', 'unknown'))[:12]} before, {safety.sha256[:12]} now"
    if not is_named and not safety.includes(earlier):
        raise UsageError(
            f"the policy has changed since the run began ({hashes}) and may allow more; "
            "name the policy to go on with by --policy NAME|FILE"
        )
    print(f"the policy has changed since the run began ({hashes}); the present one holds", file=sys.stderr)


def _runs_root(runs: str | None) -> Path:
    from agent import config
    from agent.session import runs_root

    return runs_root(config.load({"runs": runs}))
