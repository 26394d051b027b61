"""The pixels that the model was trained on are the pixels that the agent shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actions import UsageError
from envs import practice
from envs.chromium.find import find_chrome
from model.training.batches import decode
from model.training.render import read, render

FLAGS = ["--no-sandbox", *practice.BROWSER_FLAGS]


ALL = ("click-test", "click-test-2", "click-dialog-2", "click-tab", "click-widget", "click-color", "focus-text-2")


@pytest.mark.parametrize(
    "task", ["click-dialog", "focus-text", *(pytest.param(task, marks=pytest.mark.slow) for task in ALL)]
)
def test_rendered_screens_are_what_the_browser_surface_shows(task: str, tmp_path: Path) -> None:
    try:
        chrome = str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from playwright.sync_api import sync_playwright

    from envs.live import practice_env

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chrome, args=FLAGS)
        assert render(task, 0, 4, tmp_path, browser) == 4
        assert render(task, 0, 5, tmp_path, browser) == 1  # what is there is not drawn again
        browser.close()
    env = practice_env(task)
    try:
        for sample in read(tmp_path):
            pixels, info = env.reset(seed=sample.seed)
            assert info["goal"] == sample.goal
            assert np.array_equal(pixels, decode(sample.png))
            width, height = practice.page(task).screen_size
            assert pixels.shape == (height, width, 3)
    finally:
        env.close()


@pytest.mark.parametrize("task", ["click-test-2", "click-widget"])
def test_the_oracles_own_answers_win(task: str, tmp_path: Path) -> None:
    try:
        chrome = str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from playwright.sync_api import sync_playwright

    from actions import Click
    from envs.live import practice_env

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chrome, args=FLAGS)
        render(task, 0, 6, tmp_path, browser)
        browser.close()
    env = practice_env(task)
    try:
        for sample in read(tmp_path):
            env.reset(seed=sample.seed)
            right = next(one for one in sample.questions if one.goal == sample.goal)
            _, reward, terminated, _, _ = env.step(Click(x=right.x, y=right.y))
            assert (reward, terminated) == (1.0, True), (sample.seed, sample.goal)
    finally:
        env.close()
