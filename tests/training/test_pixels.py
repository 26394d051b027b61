"""The pixels that the model was trained on are the pixels that the agent shows it, before and after each action."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actions import Wait
from envs.miniwob import pages
from envs.miniwob.env import miniwob_env
from training.dataset import read
from training.miniwob_renderer import MiniWobRenderer, render
from training.oracles import ORACLES
from training.packing import decode

LATE = Wait(seconds=0.45)  # when the lists that a page opens by itself are open
QUICK = ("click-dialog", "click-checkboxes", "enter-text")


def slow_but(quick: tuple[str, ...]) -> list[Any]:
    return [*quick, *(pytest.param(task, marks=pytest.mark.slow) for task in ORACLES if task not in quick)]


@pytest.mark.parametrize("task", slow_but(QUICK))
def test_each_screen_on_the_way_is_what_the_browser_surface_shows(task: str, browser: Any) -> None:
    studio, env = MiniWobRenderer(task, browser), miniwob_env(task)
    waits = task in ("use-autocomplete", "book-flight")
    try:
        for seed in range(1 if task in QUICK else 5):
            goal = studio.start(seed)
            pixels, info = env.reset(seed=seed)
            assert info["goal"] == goal
            for step in range(20):
                width, height = pages.page(task).screen_size
                assert pixels.shape == (height, width, 3)
                assert np.array_equal(pixels, decode(studio.picture())), (seed, step)
                answer = studio.questions(step)[0]["answer"]
                action = studio.action(answer)
                studio.do(answer)
                pixels, _, done, _, _ = env.step(action)
                assert done == studio.verdict()["done"]
                if done:
                    break
                if waits:
                    studio.late()
                    pixels = env.step(LATE)[0]
    finally:
        studio.close()
        env.close()


def test_an_episode_is_drawn_once_and_always_the_same(tmp_path: Path, browser: Any) -> None:
    drawn = render("enter-text", 0, 2, tmp_path / "one", browser)
    assert drawn > 2
    assert render("enter-text", 0, 2, tmp_path / "one", browser) == 0  # what is there is not drawn again
    assert render("enter-text", 0, 3, tmp_path / "one", browser) > 0
    render("enter-text", 0, 2, tmp_path / "two", browser)
    first = [one for one in read(tmp_path / "one") if one.seed < 2]
    assert first == list(read(tmp_path / "two"))
    for number, sample in enumerate(one for one in first if one.seed == 1):
        assert (sample.state, sample.source) == (number, "enter-text")
        assert sample.own is sample.questions[0]
        words = "".join(character for character, *_ in sample.characters)
        assert words.startswith(sample.goal.replace(" ", "")) and "Submit" in words


def test_seeds_for_measuring_are_never_drawn(tmp_path: Path, browser: Any) -> None:
    with pytest.raises(ValueError, match="held out"):
        render("click-test", pages.EVAL_SEED_START - 1, pages.EVAL_SEED_START + 1, tmp_path, browser)
    assert not list(tmp_path.iterdir())
