"""miniwob_env: a MiniWoB++ task as a gymnasium environment."""

from __future__ import annotations

from gymnasium.envs.registration import EnvSpec

import envs
from actions import Surface
from actions.dispatch import GuardFn
from envs.live import LiveEnv
from envs.miniwob import pages
from envs.miniwob.task import MiniWobTask, check_supports_pages
from envs.stability import SettleOptions


def miniwob_env(
    task: str,
    headed: bool = False,
    guard: GuardFn | None = None,
    settle: SettleOptions | None = None,
    render_mode: str | None = None,
    surface: Surface | None = None,
) -> LiveEnv:
    """Return an environment with the goal and raw reward of a MiniWoB++ task.

    Args:
        task: Name of the task, for instance "click-dialog-2".
        headed: Show the browser's window.
        guard: Called before each action; raises ActionDeniedError to refuse it.
        settle: When a screen counts as stable.
        render_mode: None or "rgb_array".
        surface: A surface that supports pages, closed with the environment; None opens a browser of 280x364 pixels.

    Raises:
        UsageError: There is no such task, or the surface does not support pages; the surface is then left open.
        SurfaceError: The browser does not start.
    """
    if surface is not None:
        check_supports_pages(surface)
        return LiveEnv(surface, task=MiniWobTask(task), guard=guard, settle=settle, render_mode=render_mode)
    from envs.surfaces.browser import Surface as Browser

    browser = Browser(pages.ADDRESS_PREFIX + task, headed=headed)
    try:
        env = LiveEnv(browser, task=MiniWobTask(task), guard=guard, settle=settle, render_mode=render_mode)
        env.spec = EnvSpec(
            envs.MINIWOB_ID,
            entry_point=envs.MINIWOB_ENTRY_POINT,
            nondeterministic=True,
            kwargs={"task": task, "headed": headed},
        )
        return env
    except BaseException:
        browser.close()
        raise
