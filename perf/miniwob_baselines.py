"""Steps on a MiniWoB++ page in one environment, timed: ours, the package's own, or BrowserGym's. Runs by itself.

`python miniwob_peers.py NAME TASK STEPS` prints {"steps", "seconds", "size", "version"}. It imports nothing of this
project but for NAME "ours", so that an interpreter of its own can run it: BrowserGym pins an old Playwright. A step is
a click on an empty place, and the picture after it; resets are not timed.
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

EMPTY = (150, 196)  # CSS pixels; nothing is there on the pages that this is for
WARM_UP = 3
SEED = 900_000


def timed(steps: int, step: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of so many steps, and what the last one returned."""
    for _ in range(WARM_UP):
        step()
    began = time.perf_counter()
    for _ in range(steps):
        last = step()
    return time.perf_counter() - began, last


def ours(task: str, steps: int, settled: bool) -> dict[str, Any]:
    """settled: a step ends when the screen rests, as for a model; else with the first picture, as the peers' do."""
    from importlib.metadata import version

    from actions import Click
    from envs.miniwob.env import miniwob_env
    from envs.stability import SettleOptions

    env: Any = miniwob_env(task, settle=None if settled else SettleOptions(0.0, 0.0, 0.0, 0.0))
    try:
        env.reset(seed=SEED)
        scale = env.task.page.scale
        action = Click(x=round(EMPTY[0] * scale), y=round(EMPTY[1] * scale))
        seconds, last = timed(steps, lambda: _on(env.step(action)))
        return _told(steps, seconds, last[0].shape, version("pixelhand"))
    finally:
        env.close()


def selenium(task: str, steps: int) -> dict[str, Any]:
    """The package miniwob with its Selenium driver, without its page's clock, which would end the episode."""
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
        action = env.create_action(ActionTypes.CLICK_COORDS, coords=np.array(EMPTY, np.float32))
        seconds, last = timed(steps, lambda: _on(env.step(action)))
        return _told(steps, seconds, last[0]["screenshot"].shape, version("miniwob"))
    finally:
        env.close()


def browsergym(task: str, steps: int, chrome: str) -> dict[str, Any]:
    """browsergym-miniwob as it is by default (slow_mo 100 ms), on the given Chromium, put where Playwright looks."""
    from importlib.metadata import version
    from importlib.util import find_spec

    import gymnasium

    found = find_spec("miniwob")
    pages = Path(next(iter(found.submodule_search_locations or ()))) if found else Path()
    os.environ["MINIWOB_URL"] = (pages / "html" / "miniwob").as_uri() + "/"
    place = Path(tempfile.mkdtemp()) / "chromium-1117" / "chrome-linux"  # what Playwright 1.44 looks for
    place.mkdir(parents=True)
    (place / "chrome").symlink_to(chrome)
    os.environ["PLAYWRIGHT_BROWSERS_PATH"] = str(place.parents[1])
    import browsergym.miniwob  # noqa: F401 - registers its ids

    env: Any = gymnasium.make(f"browsergym/miniwob.{task}")
    try:
        env.reset(seed=SEED)
        x, y = (1.5 * side for side in EMPTY)  # its page is shown half as large again
        seconds, last = timed(steps, lambda: _on(env.step(f"mouse_click({x}, {y})")))
        return _told(steps, seconds, last[0]["screenshot"].shape, version("browsergym-miniwob"))
    finally:
        env.close()


def _on(returned: Any) -> Any:
    """A step's return value; the episode must not be over, for then nothing is done any more."""
    if returned[2] or returned[3]:
        raise RuntimeError(f"the episode ended on an empty click: reward {returned[1]}")
    return returned


def _told(steps: int, seconds: float, size: Any, version: str) -> dict[str, Any]:
    return {"steps": steps, "seconds": seconds, "size": list(size), "version": version}


def main(name: str, task: str, steps: str, chrome: str = "") -> None:
    count = int(steps)
    if name == "browsergym":
        told = browsergym(task, count, chrome)
    elif name == "selenium":
        told = selenium(task, count)
    else:
        told = ours(task, count, name == "ours-settled")
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
