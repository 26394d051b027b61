"""Parity with the package miniwob and its Selenium driver: the same rewards for the same actions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from helpers.miniwob_oracles import ORACLES, script

from actions import Click, TypeText, UsageError
from envs.chromium.executable import find_chrome
from envs.miniwob.env import miniwob_env

SEEDS = (900_001, 900_002)
FOR_EVER_MS = 2**31 - 1


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the Chromium and the ChromeDriver that the package needs, or skip."""
    path = os.environ.get("MINIWOB_CHROMEDRIVER") or shutil.which("chromedriver")
    if not path:
        pytest.skip("ChromeDriver is missing: apt-get install chromium-driver, or name it in MINIWOB_CHROMEDRIVER")
    try:
        chrome = find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    monkeypatch.setenv("MINIWOB_CHROMEDRIVER", path)
    monkeypatch.setenv("MINIWOB_CHROME_BINARY", str(chrome))


Results = list[tuple[str, list[Any], float | None]]  # goal, actions, raw reward or None while running


def run_pixelhand(task: str) -> Results:
    """Run the oracle's actions, and all but the first of them, in this project's environment."""
    env: Any = miniwob_env(task)
    scale, results = env.task.page.scale, Results()
    try:
        for seed in SEEDS:
            for first in (0, 1):
                _, info = env.reset(seed=seed)
                actions = env.surface.evaluate(f"(() => {{ {script(task)} }})()")[first:] or [[2, 200]]
                for item in actions:
                    if isinstance(item, str):
                        action: Any = TypeText(text=item)
                    else:
                        action = Click(x=round(item[0] * scale), y=round(item[1] * scale))
                    is_over = env.step(action)[2]
                    if is_over:
                        break
                results.append((info["goal"], actions, env._info("")["verdict"]["reward"]))
    finally:
        env.close()
    return results


def run_miniwob(task: str, run_pixelhand: Results) -> Iterator[tuple[str, float | None]]:
    """Yield the results of the same actions in the package's environment, without the page's timer."""
    import miniwob
    from miniwob.action import ActionTypes

    gymnasium.register_envs(miniwob)
    env: Any = gymnasium.make(f"miniwob/{task}-v1").unwrapped
    try:
        env.instance.driver.execute_script(f"core.EPISODE_MAX_TIME = {FOR_EVER_MS};")
        for n, (_, actions, _) in enumerate(run_pixelhand):
            observation, info = env.reset(seed=SEEDS[n // 2])
            is_over = False
            for item in actions:
                if isinstance(item, str):
                    action = env.create_action(ActionTypes.TYPE_TEXT, text=item)
                else:
                    action = env.create_action(ActionTypes.CLICK_COORDS, coords=np.array(item, np.float32))
                _, _, is_over, _, info = env.step(action)
                if is_over:
                    break
            yield observation["utterance"], float(info["raw_reward"]) if is_over else None
    finally:
        env.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", sorted(ORACLES))
def test_same_actions_earn_same_raw_reward(task: str, driver: None) -> None:
    """Twenty tasks with two seeds: all of the oracle's actions, and all but the first, which mostly fails."""
    expected = run_pixelhand(task)
    assert [reward for _, _, reward in expected[::2]] == [1.0, 1.0], "the oracle does not solve it"
    actual = list(run_miniwob(task, expected))
    assert [(goal, reward) for goal, _, reward in expected] == actual
