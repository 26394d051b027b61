"""Tests that the model sees pixels only: an image of a page gets the same actions as the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agent.loop import Episode, run
from agent.policies.base import Policy
from agent.policies.factory import load_local_policy
from envs.miniwob import pages

pytestmark = pytest.mark.usefixtures("chromium")
PAGES = {"click-dialog-2": (900_001, 900_002), "click-color": (900_003, 900_004), "focus-text-2": (900_005, 900_006)}
IMAGE_PAGE = """<!doctype html><title>an image</title><style>
html, body {{ margin: 0; overflow: hidden }}
img {{ display: block; width: {width}px; height: {height}px; image-rendering: pixelated }}
</style><img src="data:image/png;base64,{data}">"""


@pytest.fixture(scope="module")
def policy() -> Iterator[Policy]:
    policy = load_local_policy("embedded")
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def practice_surface() -> Iterator[Any]:
    """Open a browser for practice pages."""
    from envs.surfaces.browser import Surface

    with Surface("practice:click-test") as surface:
        yield surface


@pytest.fixture(scope="module")
def image_surface() -> Iterator[Any]:
    """Open a browser with the viewport and scale of practice pages, but without a practice page."""
    from envs.surfaces.browser import Surface

    any_page = pages.page("click-test")
    with Surface(width=any_page.width, height=any_page.height, scale=any_page.scale) as surface:
        yield surface


def image_page(pixels: np.ndarray[Any, Any], path: Path) -> str:
    """Write a page that contains only the image; return its address."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    page = pages.page("click-test")
    data = base64.b64encode(png.getvalue()).decode()
    path.write_text(IMAGE_PAGE.format(width=page.width, height=page.height, data=data))
    return path.as_uri()


def single_step(episode: Episode) -> Any:
    """Return the only step of an episode."""
    (only_step,) = episode.steps
    return only_step


@pytest.mark.parametrize("task", PAGES)
def test_image_of_page_gets_same_action(
    task: str, policy: Policy, practice_surface: Any, image_surface: Any, tmp_path: Path
) -> None:
    from envs.live import LiveEnv
    from envs.miniwob.task import MiniWobTask

    actions = []
    for seed in PAGES[task]:
        env = LiveEnv(practice_surface, task=MiniWobTask(task))
        on_page = single_step(run("", env, policy, max_steps=1, seed=seed))
        image_surface.goto(image_page(on_page.screen.pixels, tmp_path / f"{seed}.html"))
        assert (
            image_surface.evaluate("document.body.innerText + document.body.children.length") == "1"
        )  # an <img> and no text
        on_image = single_step(run(env.goal, LiveEnv(image_surface), policy, max_steps=1))
        assert np.array_equal(on_image.screen.pixels, on_page.screen.pixels)
        assert on_image.reply.prompt == on_page.reply.prompt
        assert on_image.reply.text == on_page.reply.text
        assert on_image.action == on_page.action
        assert on_page.action is not None
        actions.append(on_page.action)
    assert len(set(actions)) == len(actions), "the screens are too similar to prove anything"


def test_different_pixels_get_different_action(
    policy: Policy, practice_surface: Any, image_surface: Any, tmp_path: Path
) -> None:
    """The test above would also pass for a model that ignores the screen."""
    from envs.live import LiveEnv
    from envs.miniwob.task import MiniWobTask

    actions = []
    for seed in (900_001, 900_002):
        _, info = LiveEnv(practice_surface, task=MiniWobTask("click-test")).reset(seed=seed)
        image_surface.goto(image_page(info["screen"].pixels, tmp_path / f"{seed}.html"))
        actions.append(single_step(run("Click the button.", LiveEnv(image_surface), policy, max_steps=1)).action)
    assert actions[0] != actions[1]
    assert actions[0] is not None
