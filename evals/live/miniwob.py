"""MiniWoB++ in a live browser: success is the page's own raw reward of 1.

Protocol: each task once per seed, with the package's own pages and seeding, screenshots and the instruction as text, at
most 30 steps. The page's ten-second timer is stopped: the model's speed is reported beside its score, not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.env import Env
from evals.live.base import LiveBenchmark

MAX_STEPS = 30


def check_task(task: str) -> None:
    """Check that a page exists.

    Raises:
        UsageError: There is no such page.
    """
    from envs.miniwob import pages

    pages.page(task)


def make_env(task: str) -> Env:
    """Return the environment of a page in a browser."""
    from envs.miniwob.env import miniwob_env

    env: Env = miniwob_env(task)
    return env


def default_tasks() -> Sequence[str]:
    """Return the tasks of the embedded model's card."""
    from agent.demo import success_rates

    return list(success_rates())


BENCHMARK = LiveBenchmark("miniwob", check_task, make_env, default_tasks, MAX_STEPS)
