"""Computer-use agents on your own machine: screens, policies, runs and benchmarks.

    import pixelhand as ph

    policy = ph.load_policy("embedded")
    with ph.open_env("browser", url="miniwob:click-dialog") as env:
        episode = ph.run("", env, policy, max_steps=5, seed=1)

Importing this package loads neither torch nor playwright; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actions import (
        Action,
        Answer,
        Ask,
        Back,
        Click,
        Done,
        Drag,
        Error,
        Home,
        LongPress,
        Move,
        Open,
        Point,
        PressKeys,
        RunStoppedError,
        Screen,
        Scroll,
        Step,
        Surface,
        TypeText,
        UsageError,
        Wait,
    )
    from agent.loop import Episode
    from agent.policies.base import Policy
    from agent.policies.factory import load_policy
    from agent.trace import Trace
    from evals.api import evaluate, score
    from pixelhand import see, testing
    from pixelhand.api import open_env, run

_MODULES = {
    "load_policy": "agent.policies.factory",
    "open_env": "pixelhand.api",
    "run": "pixelhand.api",
    "evaluate": "evals.api",
    "score": "evals.api",
    "Episode": "agent.loop",
    "Policy": "agent.policies.base",
    "Trace": "agent.trace",
    **dict.fromkeys(
        (
            "Action",
            "Answer",
            "Ask",
            "Back",
            "Click",
            "Done",
            "Drag",
            "Error",
            "Home",
            "LongPress",
            "Move",
            "Open",
            "Point",
            "PressKeys",
            "RunStoppedError",
            "Screen",
            "Scroll",
            "Step",
            "Surface",
            "TypeText",
            "UsageError",
            "Wait",
        ),
        "actions",
    ),
}

__all__ = [
    "Action",
    "Answer",
    "Ask",
    "Back",
    "Click",
    "Done",
    "Drag",
    "Episode",
    "Error",
    "Home",
    "LongPress",
    "Move",
    "Open",
    "Point",
    "Policy",
    "PressKeys",
    "RunStoppedError",
    "Screen",
    "Scroll",
    "Step",
    "Surface",
    "Trace",
    "TypeText",
    "UsageError",
    "Wait",
    "evaluate",
    "load_policy",
    "open_env",
    "run",
    "score",
    "see",
    "testing",
]


def __getattr__(name: str) -> object:
    if name in ("see", "testing"):
        return import_module(f"pixelhand.{name}")
    if name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pixelhand' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
