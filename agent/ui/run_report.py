"""Format recorded runs as text: a list of runs, or one run step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actions import UsageError
from actions.held_writes import HeldWrite
from agent.control import HAS_UNIX_SOCKETS, running_runs
from agent.trace import FRAMES, Trace, find_run, list_runs, read_trace
from agent.ui.formatting import (
    decision_outcome,
    describe_action,
    describe_resumption,
    format_duration,
    format_output,
    format_proof,
    format_timings,
    outcome_label,
    sanitize,
)
from agent.ui.write_formatting import format_write, format_write_outcome

_EXTRA_FIELDS = (("mistake", "error"), ("machine", "note"))


def format_runs(root: Path) -> str:
    """Return one line for each run, the latest last."""
    lines, running = [], _running()
    for run_id in list_runs(root):
        try:
            with _checked_schema(root / run_id):
                run = read_trace(root / run_id)
                status, goal = "running" if run_id in running else sanitize(run.status, 20), sanitize(run.goal, 60)
                summary = f"{status:10}  {_format_reward(run):10}  {run.count:3} steps  {goal}"
        except UsageError as error:
            summary = f"{'damaged':10}  {sanitize(error, 100)}"
        lines.append(f"{sanitize(run_id)}  {summary}")
    return "\n".join(lines) if lines else f"no runs in {root}; `agent demo` makes one"


def _running() -> list[str]:
    """Return the ids of the runs that are running, as far as that is known."""
    try:
        return running_runs() if HAS_UNIX_SOCKETS else []
    except UsageError:
        return []


def format_run(root: Path, name: str) -> str:
    """Return one run from its manifest to its end, and check its trace.

    Raises:
        UsageError: There is no such run, or its trace is damaged.
    """
    folder = find_run(root, name)
    with _checked_schema(folder):
        run = read_trace(folder)
        return "\n".join([*_format_manifest(run), *_format_steps(run), *_format_writes(run), "", *_format_end(run)])


def _format_manifest(run: Trace) -> list[str]:
    manifest, policy = run.manifest, run.manifest["policy"]
    surface, url, seed = (sanitize(manifest[key]) for key in ("surface", "url", "seed"))
    return [
        f"{'run':8} {run.folder}",
        f"{'goal':8} {sanitize(run.goal)}",
        f"{'on':8} {surface}, {url}, seed {seed}",
        f"{'model':8} {sanitize(policy['model'])} ({sanitize(policy['fingerprint'])})",
        *_format_resumption(run),
    ]


def _format_resumption(run: Trace) -> list[str]:
    """Return which run was forked or resumed, and what became of the action that it was interrupted in."""
    resumes, event = run.manifest.get("resumes"), run.first("resume")
    lines = []
    forks = run.manifest.get("forks")
    if forks is not None:
        lines.append(f"{'forks':8} {sanitize(forks['run'])} after step {sanitize(forks['step'])}")
    if resumes is not None:
        lines.append(f"{'resumes':8} {sanitize(resumes['run'])} after {sanitize(resumes['steps'])} steps")
    if event:
        known = {**event, "action": run.action(event)}
        lines.append(f"{'resumed':8} step {sanitize(event['step'])}, {describe_resumption(known)}")
    return lines


def _format_steps(run: Trace) -> list[str]:
    lines = []
    approvals = _approvals_by_action(run)
    previous: object = 0
    for result in run.finished:
        reply = run.reply(result["step"])
        part = result.get("part", 1)
        if part == 1:
            lines += _format_person(run, previous)
            previous = result["step"]
            lines.append("")
            lines.append(f"{'step':8} {sanitize(result['step'])}  [{_format_times(result)}]")
            lines.append(f"{'screen':8} {sanitize(run.folder / FRAMES / reply['screen'])}.png")
            lines.append(f"{'reply':8} {sanitize(reply['reply']['text'], 600)}")
        else:
            lines.append(f"{'part':8} {sanitize(part)} of {sanitize(result['parts'])}  [{_format_times(result)}]")
        action = run.action(result)
        approval = approvals.get((result["step"], part), "")
        label = outcome_label(result["error"], approval) if action is not None else "did"
        lines.append(f"{label:8} {describe_action(action)}")
        lines += [f"{name:8} {sanitize(result[key])}" for name, key in _EXTRA_FIELDS if result[key]]
    return lines + _format_person(run, previous)


def _format_person(run: Trace, step: object) -> list[str]:
    """Return what the person did in the viewer after a step."""
    lines = []
    for event in run.events:
        if event.get("step") != step:
            continue
        if event["event"] in ("steer", "person.end"):
            lines.append(f"{'note':8} {sanitize(event['note'])}")
        elif event["event"] == "person.act":
            error = f" (not done: {sanitize(event['error'])})" if event["error"] else ""
            lines.append(f"{'person':8} {describe_action(run.action(event))}{error}")
    return lines


def _format_writes(run: Trace) -> list[str]:
    """Return each request that was held, its preview, and what became of it."""
    results = {
        result["number"]: result
        for event in run.events
        if event["event"] == "writes.result"
        for result in event["results"]
    }
    lines: list[str] = []
    for event in run.events:
        for facts in event["writes"] if event["event"] == "writes.held" else ():
            write = HeldWrite(**facts)
            result = results.get(write.number)
            outcome = format_write_outcome(result) if result is not None else "not sent: the process died before"
            lines += ["", *format_write(write), f"{'':8} {outcome}"]
    return lines


def _approvals_by_action(run: Trace) -> dict[tuple[int, int], str]:
    """Return the answer to each action, or what the guard decided without one, by (step, part)."""
    answers, proposed = {}, (0, 1)
    for event in run.events:
        if event["event"] == "act.intent":
            proposed = (event["step"], event.get("part", 1))
        elif event["event"] == "decision":
            answers[proposed] = decision_outcome(event)
        elif event["event"] == "approval":
            answers[proposed] = str(event["answer"])
    return answers


def _format_end(run: Trace) -> list[str]:
    lines = []
    if run.pending_action is not None:
        step, action = sanitize(run.pending_action["step"]), describe_action(run.action(run.pending_action))
        lines.append(f"{'broken':8} step {step} was interrupted: {action} may or may not have been carried out")
    end = run.first("end")
    lines.append(f"{'end':8} {sanitize(run.status, 20)}" + (f": {sanitize(end['message'])}" if end else ""))
    lines.append(f"{'reward':8} {_format_reward(run)}")
    lines += format_proof(end.get("proof"))
    lines += format_output(end.get("output"))
    frames = run.check_frames()
    truncated = "; the last line was cut off by a crash" if run.truncated else ""
    lines.append(f"{'trace':8} whole: {len(run.events)} events, {frames} frames{truncated}")
    return lines


@contextmanager
def _checked_schema(folder: Path) -> Iterator[None]:
    """Raise UsageError for a trace whose hash chain is intact but whose events lack what a run's trace holds."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"{folder} lacks what a run's trace holds ({type(error).__name__}: {error}); "
            "`agent runs list` lists the runs"
        ) from None


def _format_times(result: Mapping[str, object]) -> str:
    seconds, timings_s = result["seconds"], result["timings_s"]
    if not isinstance(seconds, int | float) or not isinstance(timings_s, Mapping):
        raise TypeError("seconds is not a number, or timings_s is not an object")
    return f"{format_duration(seconds)}: {format_timings(timings_s)}"


def _format_reward(run: Trace) -> str:
    reward = run.first("end").get("reward")
    return "none" if reward is None else f"{reward:g}"
