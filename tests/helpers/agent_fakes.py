"""Fake surface and environment without a browser: a screen with one button, a guard and a task.

Tests that kill or interrupt a run start this file as a program: `python agent_fakes.py FOLDER MODE`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actions import CONTROL_ACTIONS, Action, Answer, Done, Reply, Screen, Step, SurfaceError, dispatch
from actions.dispatch import GuardFn

HERE = Path(__file__).parent
BUTTON = (100, 100, 140, 130)  # x0, y0, x1, y1
CLICK = '{"verb": "click", "x": 120, "y": 110, "thought": "the button"}'
MISS = '{"verb": "click", "x": 5, "y": 5}'
DONE = '{"verb": "done"}'


class ButtonSurface:
    """A gray screen with a button; a click on it turns the screen green. Typing paints a stripe."""

    name = "fake"
    is_user_owned = False

    def __init__(self) -> None:
        self.pixels = np.full((364, 280, 3), 200, np.uint8)
        self.clicked = self.closed = False
        self.performed: list[Action] = []
        self.failure = ""  # message of the SurfaceError that the next action raises
        self.delay_s = 0.0  # duration of an action
        x0, y0, x1, y1 = BUTTON
        self.pixels[y0:y1, x0:x1] = (40, 60, 220)

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def verbs(self) -> frozenset[str]:
        return frozenset({"click", "type", "wait", "open"})

    def perform(self, action: Action) -> str:
        if self.failure:
            raise SurfaceError(self.failure)
        time.sleep(self.delay_s)
        self.performed.append(action)
        if action.verb == "click":
            x0, y0, x1, y1 = BUTTON
            if x0 <= action.x < x1 and y0 <= action.y < y1:
                self.clicked = True
                self.pixels[:20] = (0, 200, 0)
        if action.verb == "type":
            self.pixels[20 + len(self.performed) % 300] = len(self.performed) % 250
            return f"typed {len(action.text)} characters"
        return ""

    def close(self) -> None:
        self.closed = True


class FakeEnv:
    """An Env on a ButtonSurface.

    Args:
        task: Whether there is a task, which a click on the button finishes.
        guard: Called before each action.
        reward: The task's reward.
        goal: The environment's goal.
    """

    def __init__(
        self, *, task: bool = True, guard: GuardFn | None = None, reward: float = 1.0, goal: str = "press it"
    ) -> None:
        self.surface, self.task, self.guard, self.reward, self.goal = ButtonSurface(), task, guard, reward, goal
        self.screen: Screen | None = None
        self.seeds: list[int | None] = []

    @property
    def unwrapped(self) -> FakeEnv:
        return self

    def verbs(self) -> frozenset[str]:
        return self.surface.verbs() | CONTROL_ACTIONS

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.surface.pixels[200:210] = (seed or 0) % 200
        return self._observe("")

    def step(self, action: Action) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        notice, is_over = "", isinstance(action, Done | Answer)
        if not is_over:
            assert self.screen is not None
            notice = dispatch(action, self.surface, self.screen, self.guard)
        pixels, info = self._observe(notice)
        is_done = bool(info["verdict"] and info["verdict"]["done"])
        info |= {"timings_s": {"act": 0.01, "settle": 0.02}}
        return pixels, self.reward if is_done else 0.0, is_over or is_done, False, info

    def close(self) -> None:
        self.surface.close()

    def _observe(self, notice: str) -> tuple[Any, dict[str, Any]]:
        self.screen = self.surface.capture()
        is_done = self.surface.clicked
        verdict = {"done": is_done, "reward": self.reward if is_done else None} if self.task else None
        return self.screen.pixels, {"screen": self.screen, "goal": self.goal, "note": notice, "verdict": verdict}


def run_program(folder: Path, mode: str) -> None:
    """Run until the process is killed or interrupted.

    Args:
        folder: The folder of the trace.
        mode: "fast" to be killed; "think" or "act" to be interrupted while deciding or acting; "hang" for an action
            that does not end.
    """
    from agent.loop import run
    from agent.policies.scripted import ScriptPolicy
    from agent.trace import TraceWriter

    env = FakeEnv(task=False)
    env.surface.delay_s = {"fast": 0.0, "think": 0.0, "act": 1.0, "hang": 3600.0}[mode]

    class EndlessScript(ScriptPolicy):
        def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
            if mode == "think" and steps:
                print("thinking", flush=True)
                time.sleep(60)
            self.replies = (*self.replies, json.dumps({"verb": "type", "text": f"step {len(steps)}"}))
            return super().decide(goal, steps, screen, verbs)

    def print_intent(event: Mapping[str, Any]) -> None:
        if event["event"] == "act.intent":
            print("acting", flush=True)

    trace = TraceWriter(folder, {"goal": "type on", "policy": {}, "surface": "fake"})
    episode = run("type on", env, EndlessScript([]), max_steps=100_000, trace=trace, on_event=print_intent)
    print(json.dumps([episode.status, episode.cause, len(episode.steps), env.surface.closed]), flush=True)


def program_arguments(folder: Path, mode: str) -> list[str]:
    """Return the arguments of the interpreter for `run_program` in a process of its own."""
    return [str(HERE / "agent_fakes.py"), str(folder), mode]


def program_environment() -> dict[str, str]:
    """Return the environment of that process."""
    return {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}


def start_program(folder: Path, mode: str) -> subprocess.Popen[str]:
    """Start `run_program` in a process of its own."""
    arguments = [sys.executable, *program_arguments(folder, mode)]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=program_environment()
    )


if __name__ == "__main__":
    run_program(Path(sys.argv[1]), sys.argv[2])
