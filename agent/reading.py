"""Runs told to a person: a list of them, or the story of one. Knows traces; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
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
            run = read(root / run_id)
        except UsageError as error:
            lines.append(f"{run_id}  {'damaged':10}  {plain(error, 100)}")
            continue
        count = run.count
        goal = plain(run.goal, 60)
        lines.append(f"{run_id}  {run.status:10}  {_reward(run):10}  {count:3} steps  {goal}")
    return "\n".join(lines) if lines else f"no runs in {root}; `agent demo` makes one"


def story(root: Path, name: str) -> str:
    """One run, from its manifest to its end; UsageError when its trace is damaged."""
    run = read(find(root, name))
    told = run.manifest["policy"]
    lines = [
        f"{'run':8} {run.folder}",
        f"{'goal':8} {plain(run.goal)}",
        f"{'on':8} {plain(run.manifest['surface'])}, {plain(run.manifest['url'])}, seed {run.manifest['seed']}",
        f"{'model':8} {plain(told['model'])} ({plain(told['fingerprint'])})",
    ]
    for result in run.finished:
        said = run.reply(result["step"])
        if result.get("part", 1) == 1:
            lines.append("")
            lines.append(f"{'step':8} {result['step']}  [{_times(result)}]")
            lines.append(f"{'saw':8} {run.folder / FRAMES / said['screen']}.png")
            lines.append(f"{'said':8} {plain(said['reply']['text'], 600)}")
        else:
            lines.append(f"{'part':8} {result['part']} of {result['parts']}  [{_times(result)}]")
        lines.append(f"{'did':8} {describe(run.action(result))}")
        lines += [f"{label:8} {plain(result[key])}" for label, key in _ASIDES if result[key]]
    lines.append("")
    if run.unfinished is not None:
        action = describe(run.action(run.unfinished))
        lines.append(
            f"{'broken':8} step {run.unfinished['step']} was begun ({action}); whether it happened is not known"
        )
    end = run.first("end")
    lines.append(f"{'end':8} {run.status}" + (f": {plain(end['message'])}" if end else ""))
    lines.append(f"{'reward':8} {_reward(run)}")
    frames = run.check_frames()
    torn = "; its last line was cut off by a crash" if run.torn else ""
    lines.append(f"{'trace':8} whole: {len(run.events)} events follow from one another, {frames} frames{torn}")
    return "\n".join(lines)


_ASIDES = (("mistake", "error"), ("machine", "note"))


def _times(result: Mapping[str, Any]) -> str:
    return f"{seconds(result['seconds'])}: {breakdown(result['timings_s'])}"


def _reward(run: Run) -> str:
    reward = run.first("end").get("reward")
    return "none" if reward is None else f"{reward:g}"
