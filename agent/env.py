"""Env: the environment protocol of the loop, a subset of gymnasium.Env that envs.live.LiveEnv implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from actions import Action, Screen, Surface
from actions.dispatch import GuardFn

Info = Mapping[str, Any]  # screen: Screen, goal: str, note: str, verdict: {"done", "reward"} | None, timings_s


class BaseEnv(Protocol):
    """The environment beneath all wrappers."""

    @property
    def surface(self) -> Surface:
        """The screen that the environment captures and acts on."""
        ...

    screen: Screen | None  # the screenshot of the last observation
    guard: GuardFn | None  # called before each action; raises ActionDeniedError to refuse it

    def verbs(self) -> frozenset[str]:
        """Return the actions that `step` accepts."""
        ...


class Env(Protocol):
    """An environment with a screen: `reset` and `step` as in gymnasium, the screenshot in `info["screen"]`."""

    @property
    def unwrapped(self) -> object:
        """The environment beneath all wrappers, a BaseEnv (gymnasium declares its own base class)."""
        ...

    def reset(self, *, seed: int | None = None) -> tuple[object, Info]:
        """Start an episode; return the observation and info."""
        ...

    def step(self, action: Action) -> tuple[object, float, bool, bool, Info]:
        """Perform an action; return observation, reward, terminated, truncated and info."""
        ...

    def close(self) -> None:
        """Release the screen. Safe to call twice."""
        ...
