"""Traces with made events, for reports and videos: no model and no surface is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actions import Call, Reply, Screen, parse_action
from agent.trace import TraceWriter, new_folder

CLICK: dict[str, Any] = {"verb": "click", "x": 120, "y": 110}


@dataclass(frozen=True)
class MadeStep:
    """One step of a made run.

    Args:
        action: The action as JSON; None for a reply that stands for none.
        thought: The model's reasoning.
        reply: The model's reply.
        error: Why the action was not carried out.
        notice: What the surface reported.
        decision: Keys of the guard's `decision` event; None for no event.
        approval: Keys of the `approval` event; None for no event.
        has_result: False for an action whose result was lost in a crash.
        is_changed: Whether the screen is another one afterwards.
    """

    action: dict[str, Any] | None = None
    thought: str = ""
    reply: str = "a reply"
    error: str = ""
    notice: str = ""
    decision: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None
    has_result: bool = True
    is_changed: bool = True


def make_screen(number: int, width: int = 280, height: int = 364) -> Screen:
    """Return a screen with a button and a bar whose color depends on the number."""
    pixels = np.full((height, width, 3), 235, np.uint8)
    pixels[: height // 18] = (number * 37 % 256, number * 91 % 256, 120)
    pixels[100:130, 100:140] = (40, 60, 220)
    return Screen(pixels)


def make_run(
    root: Path,
    steps: Sequence[MadeStep],
    *,
    goal: str = "press the button",
    status: str = "success",
    message: str = "the task is done",
    manifest: dict[str, Any] | None = None,
    proof: dict[str, Any] | None = None,
    folder: Path | None = None,
    screen: Callable[[int], Screen] = make_screen,
) -> Path:
    """Write a trace and return its folder.

    Args:
        root: The folder of the runs.
        steps: The steps.
        goal: The goal.
        status: How it ended; "" for a run without an end.
        message: Why it ended.
        manifest: More keys of the manifest.
        proof: How far success is proven; None for no proof.
        folder: The run's folder; None for a new one.
        screen: Returns the screenshot with a number, from 0.
    """
    if folder is None:
        folder = new_folder(root)
    content = {"goal": goal, "surface": "fake", "url": "", "seed": 3, "policy": {"model": "script"}, **(manifest or {})}
    writer = TraceWriter(folder, content)
    current = screen(0)
    writer.write("start", goal=goal, seed=3, max_steps=30, screen=current, note="")
    for index, step in enumerate(steps, 1):
        timings_s = {"preprocess": 0.1, "prefill": 0.2, "decode": 0.3}
        writer.write("reply", step=index, screen=current, reply=Reply(step.reply, timings_s=timings_s))
        call = Call("computer_use", {}, step.thought)
        action = parse_action(step.action) if step.action else None
        if action is not None:
            writer.write("act.intent", step=index, call=call, action=action)
        if step.decision is not None:
            plain = {"effect": "allow", "rule": "default", "layer": "preset", "source": "preset sandbox", "reason": ""}
            plain_facts = {"action": action, "screen_owner": "agent", "facts": None}
            writer.write("decision", **{**plain, **plain_facts, **step.decision})
        if step.approval is not None:
            writer.write("approval", action=action, picture="", **{"reason": "", "rule": "default", **step.approval})
        if not step.has_result:
            break
        current = screen(index) if step.is_changed else current
        writer.write(
            "act.result",
            step=index,
            call=call,
            action=action,
            error=step.error,
            reward=0.0,
            seconds=1.2,
            note=step.notice,
            verdict=None,
            screen=current,
            timings_s={"think": 0.7, **timings_s, "act": 0.1, "settle": 0.2},
        )
    if status:
        writer.write(
            "end",
            status=status,
            cause="own word",
            message=message,
            reward=1.0,
            steps=len(steps),
            duration_s=12.5,
            prompt_tokens=10,
            reply_tokens=5,
            screen=current,
            proof=proof,
        )
    writer.close()
    return folder
