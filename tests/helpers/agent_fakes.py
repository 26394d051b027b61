"""An environment without a browser: a screen with one button, a guard, and a verdict, as envs/live.py describes them.

Also run as a program by the tests that kill or interrupt a run: `python agent_fakes.py FOLDER MODE`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from actions import CONTROL_ACTIONS, Answer, Done, Screen, SurfaceError, dispatch

HERE = Path(__file__).parent
BUTTON = (100, 100, 140, 130)  # x0, y0, x1, y1
CLICK = '{"verb": "click", "x": 120, "y": 110, "thought": "the button"}'
MISS = '{"verb": "click", "x": 5, "y": 5}'
DONE = '{"verb": "done"}'


class ButtonSurface:
    """A grey screen with a button; a click on it turns the screen green. Typing paints a stripe."""

    name = "fake"
    is_user_owned = False

    def __init__(self) -> None:
        self.pixels = np.full((364, 280, 3), 200, np.uint8)
        self.clicked = self.closed = False
        self.performed: list[Any] = []
        self.trouble: str = ""  # raised by the next act
        self.delay_s = 0.0
        x0, y0, x1, y1 = BUTTON
        self.pixels[y0:y1, x0:x1] = (40, 60, 220)

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def verbs(self) -> frozenset[str]:
        return frozenset({"click", "type", "wait", "open"})

    def perform(self, action: Any) -> str:
        if self.trouble:
            raise SurfaceError(self.trouble)
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
    """LiveEnv's contract on a ButtonSurface. task: the page has a verdict (reward on the click)."""

    def __init__(self, *, task: bool = True, guard: Any = None, reward: float = 1.0, goal: str = "press it") -> None:
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
        return self._look("")

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        note, over = "", False
        if isinstance(action, Done | Answer):
            over = True
        else:
            assert self.screen is not None
            note = dispatch(action, self.surface, self.screen, self.guard)
        pixels, info = self._look(note)
        won = bool(info["verdict"] and info["verdict"]["done"])
        return (
            pixels,
            self.reward if won else 0.0,
            over or won,
            False,
            info | {"timings_s": {"act": 0.01, "settle": 0.02}},
        )

    def close(self) -> None:
        self.surface.close()

    def _look(self, note: str) -> tuple[Any, dict[str, Any]]:
        self.screen = self.surface.capture()
        done = self.surface.clicked
        verdict = {"done": done, "reward": self.reward if done else None} if self.task else None
        return self.screen.pixels, {"screen": self.screen, "goal": self.goal, "note": note, "verdict": verdict}


def program(folder: Path, mode: str) -> None:
    """A run that goes on until something from outside ends it. mode: fast (kill it), think or act (interrupt it)."""
    from agent.loop import run
    from agent.policies.scripted import ScriptPolicy
    from agent.trace import TraceWriter

    env = FakeEnv(task=False)
    env.surface.delay_s = {"fast": 0.0, "think": 0.0, "act": 1.0}[mode]

    class Typist(ScriptPolicy):
        def decide(self, goal: Any, steps: Any, screen: Any, verbs: Any) -> Any:
            if mode == "think" and steps:
                print("thinking", flush=True)
                time.sleep(60)
            self.replies = (*self.replies, json.dumps({"verb": "type", "text": f"step {len(steps)}"}))
            return super().decide(goal, steps, screen, verbs)

    def told(event: Any) -> None:
        if event["event"] == "act.intent":
            print("acting", flush=True)

    trace = TraceWriter(folder, {"goal": "type on", "policy": {}, "surface": "fake"})
    episode = run("type on", env, Typist([]), max_steps=100_000, trace=trace, on_event=told)
    print(json.dumps([episode.status, episode.cause, len(episode.steps), env.surface.closed]), flush=True)


if __name__ == "__main__":
    program(Path(sys.argv[1]), sys.argv[2])
