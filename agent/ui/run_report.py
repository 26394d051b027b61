"""Runs told to a person: a list of them, or the story of one. Knows traces; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actions import UsageError
from agent.trace import FRAMES, RunRecord, find_run, list_runs, read_trace
from agent.ui.formatting import describe_action, format_duration, format_timings, sanitize


def format_runs(root: Path) -> str:
    """A line for each run, the latest last."""
    lines = []
    for run_id in list_runs(root):
        try:
            with _checked_schema(root / run_id):
                run = read_trace(root / run_id)
                told = (
                    f"{sanitize(run.status, 20):10}  {_reward(run):10}  {run.count:3} steps  {sanitize(run.goal, 60)}"
                )
        except UsageError as error:
            told = f"{'damaged':10}  {sanitize(error, 100)}"
        lines.append(f"{sanitize(run_id)}  {told}")
    return "\n".join(lines) if lines else f"no runs in {root}; `agent demo` makes one"


def format_run(root: Path, name: str) -> str:
    """One run, from its manifest to its end; UsageError when its trace is damaged."""
    folder = find_run(root, name)
    with _checked_schema(folder):
        return _story(folder)


def _story(folder: Path) -> str:
    run = read_trace(folder)
    told = run.manifest["policy"]
    lines = [
        f"{'run':8} {run.folder}",
        f"{'goal':8} {sanitize(run.goal)}",
        f"{'on':8} {sanitize(run.manifest['surface'])}, {sanitize(run.manifest['url'])}, seed {sanitize(run.manifest['seed'])}",
        f"{'model':8} {sanitize(told['model'])} ({sanitize(told['fingerprint'])})",
    ]
    for result in run.finished:
        said = run.reply(result["step"])
        if result.get("part", 1) == 1:
            lines.append("")
            lines.append(f"{'step':8} {sanitize(result['step'])}  [{_times(result)}]")
            lines.append(f"{'saw':8} {sanitize(run.folder / FRAMES / said['screen'])}.png")
            lines.append(f"{'said':8} {sanitize(said['reply']['text'], 600)}")
        else:
            lines.append(f"{'part':8} {sanitize(result['part'])} of {sanitize(result['parts'])}  [{_times(result)}]")
        lines.append(f"{'did':8} {describe_action(run.action(result))}")
        lines += [f"{label:8} {sanitize(result[key])}" for label, key in _EXTRA_FIELDS if result[key]]
    lines.append("")
    if run.pending_action is not None:
        action = describe_action(run.action(run.pending_action))
        lines.append(
            f"{'broken':8} step {sanitize(run.pending_action['step'])} was begun ({action}); whether it happened is not known"
        )
    end = run.first("end")
    lines.append(f"{'end':8} {sanitize(run.status, 20)}" + (f": {sanitize(end['message'])}" if end else ""))
    lines.append(f"{'reward':8} {_reward(run)}")
    frames = run.check_frames()
    torn = "; its last line was cut off by a crash" if run.truncated else ""
    lines.append(f"{'trace':8} whole: {len(run.events)} events follow from one another, {frames} frames{torn}")
    return "\n".join(lines)


@contextmanager
def _checked_schema(folder: Path) -> Iterator[None]:
    """A chain may be whole and hold something else: the trace of another program, or one made by hand."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"{folder} lacks what a run's trace holds ({type(error).__name__}: {error}); "
            "`agent runs list` names the runs"
        ) from None


_EXTRA_FIELDS = (("mistake", "error"), ("machine", "note"))


def _times(result: Mapping[str, Any]) -> str:
    return f"{format_duration(result['seconds'])}: {format_timings(result['timings_s'])}"


def _reward(run: RunRecord) -> str:
    reward = run.first("end").get("reward")
    return "none" if reward is None else f"{reward:g}"
