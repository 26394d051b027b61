"""The frames of the renderer equal those of the browser surface, before and after each action."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actions import UsageError, Wait
from envs.miniwob import pages
from envs.miniwob.env import miniwob_env
from training.dataset import read_samples
from training.miniwob_renderer import MiniWobRenderer, render_task
from training.oracles import ORACLES
from training.packing import decode_png

TIMER_WAIT = Wait(seconds=0.45)  # until the timers that open lists have run
QUICK = ("click-dialog", "click-checkboxes", "enter-text")


def tasks_with_slow_marks(quick: tuple[str, ...]) -> list[Any]:
    """Return all tasks; those that are not quick are marked as slow."""
    return [*quick, *(pytest.param(task, marks=pytest.mark.slow) for task in ORACLES if task not in quick)]


@pytest.mark.parametrize("task", tasks_with_slow_marks(QUICK))
def test_frames_equal_those_of_browser_surface(task: str, browser: Any) -> None:
    renderer, env = MiniWobRenderer(task, browser), miniwob_env(task)
    has_timers = task in ("use-autocomplete", "book-flight")
    try:
        for seed in range(1 if task in QUICK else 5):
            goal = renderer.start(seed)
            pixels, info = env.reset(seed=seed)
            assert info["goal"] == goal
            for step in range(20):
                width, height = pages.page(task).screen_size
                assert pixels.shape == (height, width, 3)
                assert np.array_equal(pixels, decode_png(renderer.screenshot())), (seed, step)
                answer = renderer.questions(step)[0]["answer"]
                action = renderer.action(answer)
                renderer.perform(answer)
                pixels, _, done, _, _ = env.step(action)
                assert done == renderer.task_status()["done"]
                if done:
                    break
                if has_timers:
                    renderer.run_timers()
                    pixels = env.step(TIMER_WAIT)[0]
    finally:
        renderer.close()
        env.close()


def test_episode_is_rendered_once_and_reproducible(tmp_path: Path, browser: Any) -> None:
    assert render_task("enter-text", 0, 2, tmp_path / "one", browser) > 2
    assert render_task("enter-text", 0, 2, tmp_path / "one", browser) == 0, "stored seeds are skipped"
    assert render_task("enter-text", 0, 3, tmp_path / "one", browser) > 0
    render_task("enter-text", 0, 2, tmp_path / "two", browser)
    samples = [sample for sample in read_samples(tmp_path / "one") if sample.seed < 2]
    assert samples == list(read_samples(tmp_path / "two"))
    for number, sample in enumerate(sample for sample in samples if sample.seed == 1):
        assert (sample.state, sample.source) == (number, "enter-text")
        assert sample.own_question is sample.questions[0]
        text = "".join(character for character, *_ in sample.characters)
        assert text.startswith(sample.goal.replace(" ", ""))
        assert "Submit" in text


def test_evaluation_seeds_are_never_rendered(tmp_path: Path, browser: Any) -> None:
    with pytest.raises(UsageError, match="held out"):
        render_task("click-test", pages.EVAL_SEED_START - 1, pages.EVAL_SEED_START + 1, tmp_path, browser)
    assert not list(tmp_path.iterdir())
