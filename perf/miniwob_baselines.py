"""Time steps on a MiniWoB++ page in one environment: this project's, miniwob's or BrowserGym's.

`python miniwob_baselines.py NAME TASK STEPS` prints {"steps", "seconds", "size", "version"}. It imports nothing of this
project except for the names "ours" and "ours-settled", so that another interpreter can run it: BrowserGym pins an old
Playwright. A step is a click on an empty place and the screenshot after it; resets are not timed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EMPTY_POINT = (150, 196)  # CSS pixels; no page that is measured has an element there
WARMUP_STEPS = 3
SEED = 900_000


def time_steps(steps: int, step: Callable[[], Any]) -> tuple[float, Any]:
    """Return (seconds of the steps, what the last one returned)."""
    for _ in range(WARMUP_STEPS):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        last = step()
    return time.perf_counter() - start, last


def measure_pixelhand(task: str, steps: int, settled: bool) -> dict[str, Any]:
    """Measure this project's environment.

    Args:
        task: The page.
        steps: Number of steps.
        settled: Whether a step ends when the screen is stable, as in a run, or with the first screenshot.
    """
    from importlib.metadata import version

    from actions import Click
    from envs.miniwob.env import miniwob_env
    from envs.stability import SettleOptions

    env: Any = miniwob_env(task, settle=None if settled else SettleOptions(0.0, 0.0, 0.0, 0.0))
    try:
        env.reset(seed=SEED)
        scale = env.task.page.scale
        action = Click(x=round(EMPTY_POINT[0] * scale), y=round(EMPTY_POINT[1] * scale))
        seconds, last = time_steps(steps, lambda: _check_running(env.step(action)))
        return _measurement(steps, seconds, last[0].shape, version("pixelhand"))
    finally:
        env.close()


def measure_selenium(task: str, steps: int) -> dict[str, Any]:
    """Measure the package miniwob with its Selenium driver, without the page's timer, which would end the episode."""
    from importlib.metadata import version

    import gymnasium
    import miniwob
    import numpy as np
    from miniwob.action import ActionTypes

    gymnasium.register_envs(miniwob)
    env: Any = gymnasium.make(f"miniwob/{task}-v1").unwrapped
    try:
        env.instance.driver.execute_script("core.EPISODE_MAX_TIME = 2147483647;")
        env.reset(seed=SEED)
        action = env.create_action(ActionTypes.CLICK_COORDS, coords=np.array(EMPTY_POINT, np.float32))
        seconds, last = time_steps(steps, lambda: _check_running(env.step(action)))
        return _measurement(steps, seconds, last[0]["screenshot"].shape, version("miniwob"))
    finally:
        env.close()


def measure_browsergym(task: str, steps: int, chrome: str) -> dict[str, Any]:
    """Measure browsergym-miniwob with its defaults (slow_mo 100 ms) on the given Chromium."""
    from importlib.metadata import version
    from importlib.util import find_spec

    import gymnasium

    package = find_spec("miniwob")
    folder = Path(next(iter(package.submodule_search_locations or ()))) if package else Path()
    os.environ["MINIWOB_URL"] = (folder / "html" / "miniwob").as_uri() + "/"
    browser_folder = Path(tempfile.mkdtemp()) / "chromium-1117" / "chrome-linux"  # where Playwright 1.44 looks
    browser_folder.mkdir(parents=True)
    (browser_folder / "chrome").symlink_to(chrome)
    os.environ["PLAYWRIGHT_BROWSERS_PATH"] = str(browser_folder.parents[1])
    import browsergym.miniwob  # noqa: F401 - registers its ids

    env: Any = gymnasium.make(f"browsergym/miniwob.{task}")
    try:
        env.reset(seed=SEED)
        x, y = (1.5 * side for side in EMPTY_POINT)  # the page is scaled by 1.5
        seconds, last = time_steps(steps, lambda: _check_running(env.step(f"mouse_click({x}, {y})")))
        return _measurement(steps, seconds, last[0]["screenshot"].shape, version("browsergym-miniwob"))
    finally:
        env.close()


def _check_running(result: Any) -> Any:
    """Return a step's result; raise RuntimeError when it ended the episode, since further steps would do nothing."""
    if result[2] or result[3]:
        raise RuntimeError(f"the episode ended on a click on an empty place, with reward {result[1]}")
    return result


def _measurement(steps: int, seconds: float, size: Any, version: str) -> dict[str, Any]:
    return {"steps": steps, "seconds": seconds, "size": list(size), "version": version}


def main(name: str, task: str, steps: str, chrome: str = "") -> None:
    """Measure one environment and print the result."""
    count = int(steps)
    if name == "browsergym":
        measurement = measure_browsergym(task, count, chrome)
    elif name == "selenium":
        measurement = measure_selenium(task, count)
    else:
        measurement = measure_pixelhand(task, count, name == "ours-settled")
    print(json.dumps(measurement))


if __name__ == "__main__":
    main(*sys.argv[1:])
