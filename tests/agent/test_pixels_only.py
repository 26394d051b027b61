"""No trace of the DOM reaches the model: a picture of a page, with nothing else beside it, gets the same actions."""

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
PICTURE = """<!doctype html><title>a picture</title><style>
html, body {{ margin: 0; overflow: hidden }}
img {{ display: block; width: {width}px; height: {height}px; image-rendering: pixelated }}
</style><img src="data:image/png;base64,{data}">"""


@pytest.fixture(scope="module")
def policy() -> Iterator[Policy]:
    policy = load_local_policy("embedded")
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def practised() -> Iterator[Any]:
    """A browser for practice pages."""
    from envs.surfaces.browser import Surface

    with Surface("practice:click-test") as surface:
        yield surface


@pytest.fixture(scope="module")
def frame() -> Iterator[Any]:
    """A browser with the practice pages' viewport and scale, and no practice page in it."""
    from envs.surfaces.browser import Surface

    any_page = pages.page("click-test")
    with Surface(width=any_page.width, height=any_page.height, scale=any_page.scale) as surface:
        yield surface


def picture_page(pixels: np.ndarray[Any, Any], path: Path) -> str:
    """The address of a page with the pixels and nothing else on it."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    page = pages.page("click-test")
    data = base64.b64encode(png.getvalue()).decode()
    path.write_text(PICTURE.format(width=page.width, height=page.height, data=data))
    return path.as_uri()


def step(episode: Episode) -> Any:
    """The only step of an episode."""
    (one,) = episode.steps
    return one


@pytest.mark.parametrize("task", PAGES)
def test_a_picture_of_a_page_gets_the_pages_own_actions(
    task: str, policy: Policy, practised: Any, frame: Any, tmp_path: Path
) -> None:
    from envs.live import LiveEnv
    from envs.miniwob.task import MiniWobTask

    actions = []
    for seed in PAGES[task]:
        env = LiveEnv(practised, task=MiniWobTask(task))
        on_page = step(run("", env, policy, max_steps=1, seed=seed))
        frame.goto(picture_page(on_page.screen.pixels, tmp_path / f"{seed}.html"))
        assert frame.evaluate("document.body.innerText + document.body.children.length") == "1"  # an <img>, no word
        on_picture = step(run(env.goal, LiveEnv(frame), policy, max_steps=1))
        assert np.array_equal(on_picture.screen.pixels, on_page.screen.pixels)
        assert on_picture.reply.prompt == on_page.reply.prompt
        assert on_picture.reply.text == on_page.reply.text
        assert on_picture.action == on_page.action and on_page.action is not None
        actions.append(on_page.action)
    assert len(set(actions)) == len(actions), "the screens are too alike to show anything"


def test_other_pixels_get_another_action(policy: Policy, practised: Any, frame: Any, tmp_path: Path) -> None:
    """The proof above could not fail if the model did not look: it is asked the same of two pictures."""
    from envs.live import LiveEnv
    from envs.miniwob.task import MiniWobTask

    said = []
    for seed in (900_001, 900_002):
        _, info = LiveEnv(practised, task=MiniWobTask("click-test")).reset(seed=seed)
        frame.goto(picture_page(info["screen"].pixels, tmp_path / f"{seed}.html"))
        said.append(step(run("Click the button.", LiveEnv(frame), policy, max_steps=1)).action)
    assert said[0] != said[1] and said[0] is not None
