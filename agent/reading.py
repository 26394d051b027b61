"""Runs told to a person: a list of them, or the story of one. Knows traces; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actions import UsageError
from agent.trace import FRAMES, Run, find, ids_in, read
from agent.words import breakdown, describe, plain, seconds


def table(root: Path) -> str:
    """A line for each run, the latest last."""
    lines = []
    for run_id in ids_in(root):
        try:
            with _written_by_us(root / run_id):
                run = read(root / run_id)
                told = f"{plain(run.status, 20):10}  {_reward(run):10}  {run.count:3} steps  {plain(run.goal, 60)}"
        except UsageError as error:
            told = f"{'damaged':10}  {plain(error, 100)}"
        lines.append(f"{plain(run_id)}  {told}")
    return "\n".join(lines) if lines else f"no runs in {root}; `agent demo` makes one"


def story(root: Path, name: str) -> str:
    """One run, from its manifest to its end; UsageError when its trace is damaged."""
    folder = find(root, name)
    with _written_by_us(folder):
        return _story(folder)


def _story(folder: Path) -> str:
    run = read(folder)
    told = run.manifest["policy"]
    lines = [
        f"{'run':8} {run.folder}",
        f"{'goal':8} {plain(run.goal)}",
        f"{'on':8} {plain(run.manifest['surface'])}, {plain(run.manifest['url'])}, seed {plain(run.manifest['seed'])}",
        f"{'model':8} {plain(told['model'])} ({plain(told['fingerprint'])})",
    ]
    for result in run.finished:
        said = run.reply(result["step"])
        if result.get("part", 1) == 1:
            lines.append("")
            lines.append(f"{'step':8} {plain(result['step'])}  [{_times(result)}]")
            lines.append(f"{'saw':8} {plain(run.folder / FRAMES / said['screen'])}.png")
            lines.append(f"{'said':8} {plain(said['reply']['text'], 600)}")
        else:
            lines.append(f"{'part':8} {plain(result['part'])} of {plain(result['parts'])}  [{_times(result)}]")
        lines.append(f"{'did':8} {describe(run.action(result))}")
        lines += [f"{label:8} {plain(result[key])}" for label, key in _ASIDES if result[key]]
    lines.append("")
    if run.unfinished is not None:
        action = describe(run.action(run.unfinished))
        lines.append(
            f"{'broken':8} step {plain(run.unfinished['step'])} was begun ({action}); whether it happened is not known"
        )
    end = run.first("end")
    lines.append(f"{'end':8} {plain(run.status, 20)}" + (f": {plain(end['message'])}" if end else ""))
    lines.append(f"{'reward':8} {_reward(run)}")
    frames = run.check_frames()
    torn = "; its last line was cut off by a crash" if run.torn else ""
    lines.append(f"{'trace':8} whole: {len(run.events)} events follow from one another, {frames} frames{torn}")
    return "\n".join(lines)


@contextmanager
def _written_by_us(folder: Path) -> Iterator[None]:
    """A chain may be whole and hold something else: the trace of another program, or one made by hand."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"{folder} lacks what a run's trace holds ({type(error).__name__}: {error}); "
            "`agent runs list` names the runs"
        ) from None


_ASIDES = (("mistake", "error"), ("machine", "note"))


def _times(result: Mapping[str, Any]) -> str:
    return f"{seconds(result['seconds'])}: {breakdown(result['timings_s'])}"


def _reward(run: Run) -> str:
    reward = run.first("end").get("reward")
    return "none" if reward is None else f"{reward:g}"
