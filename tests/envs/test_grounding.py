"""Recorded screenshots as environments, and the image surface."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from actions import Action, Click, Done, InvalidActionError, SurfaceError, TypeText, UsageError
from envs.factory import open_surface
from envs.grounding import GroundingEnv
from envs.options import SurfaceOptions
from envs.recorded import RecordedStep
from envs.surface_check import check_surface
from envs.surfaces import image


@pytest.fixture
def frames(tmp_path: Path) -> list[RecordedStep]:
    """Return three screenshots of different sizes and colors; the facts of each are the point to click."""
    steps = []
    for n, (width, height) in enumerate(((30, 20), (16, 40), (30, 20))):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", (width, height), (50 * n, 100, 200)).save(path)
        steps.append(RecordedStep(f"shot-{n}", path, f"press {n}", (3 * n, 5)))
    return steps


def hit(frame: RecordedStep, action: Action) -> float:
    return float(isinstance(action, Click) and (action.x, action.y) == frame.facts)


def test_seed_chooses_screenshot_and_click_ends_episode(frames: list[RecordedStep]) -> None:
    env = GroundingEnv(frames, hit)
    for seed in (1, 4):
        pixels, info = env.reset(seed=seed)
        assert (info["id"], info["goal"], info["seed"]) == ("shot-1", "press 1", seed)
        assert (info["screen"].width, info["screen"].height) == (16, 40)
        assert pixels.shape == (40, 30, 3)
        assert pixels[:40, :16].tolist() == info["screen"].pixels.tolist()
        assert not pixels[:, 16:].any()  # the canvas beside the image
    _, reward, terminated, truncated, info = env.step(Click(x=3, y=5))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"] == {"done": True, "reward": 1.0}
    assert info["judged"] == {"id": "shot-1", "reward": 1.0}
    with pytest.raises(UsageError, match="call reset"):
        env.step(Click(x=3, y=5))


def test_other_verb_is_rejected(frames: list[RecordedStep]) -> None:
    env = GroundingEnv(frames, hit)
    env.reset(seed=1)
    with pytest.raises(InvalidActionError, match="'type' is not available here; use one of click"):
        env.step(TypeText(text="x"))
    assert env.verbs() == {"click", "answer", "ask", "done"}


def test_point_outside_image_misses(frames: list[RecordedStep]) -> None:
    env = GroundingEnv(frames, hit)
    env.reset(seed=1)
    assert env.step(Click(x=29, y=0))[1] == 0.0  # on the canvas, not on the image
    env.reset(seed=1)
    assert env.step(Done(status="failure"))[1:3] == (0.0, True)


def test_grounding_env_passes_gymnasium_checker(frames: list[RecordedStep], recwarn: pytest.WarningsRecorder) -> None:
    env = GroundingEnv(frames, hit, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (20, 30, 3)
    check_env(env, skip_render_check=True)
    messages = [str(warning.message) for warning in recwarn if "gymnasium" in str(warning.filename)]
    assert not [message for message in messages if "spec" not in message], messages


def test_unreadable_image_raises_surface_error(frames: list[RecordedStep], tmp_path: Path) -> None:
    with pytest.raises(SurfaceError, match=r"nowhere\.png cannot be read"):
        GroundingEnv([RecordedStep("x", tmp_path / "nowhere.png", "press")], hit)
    env = GroundingEnv([RecordedStep("x", tmp_path / "nowhere.png", "press")], hit, canvas=(9, 9))
    with pytest.raises(SurfaceError, match=r"nowhere\.png is missing"):
        env.reset(seed=0)
    with pytest.raises(SurfaceError, match=r"larger than the canvas of 9x9; pass canvas=\(30, 20\)"):
        GroundingEnv(frames, hit, canvas=(9, 9)).reset(seed=0)
    with pytest.raises(UsageError, match="at least one episode"):
        GroundingEnv([], hit)


def test_image_surface_keeps_contract(frames: list[RecordedStep]) -> None:
    assert check_surface(image.Surface(frames[0].picture)) == []


def test_image_surface_reports_no_change(frames: list[RecordedStep]) -> None:
    surface = image.open_surface(SurfaceOptions(where=str(frames[0].picture)))
    assert "nothing changes" in surface.perform(Click(x=1, y=1))
    with pytest.raises(UsageError, match=r"--surface image:screenshot\.png"):
        image.open_surface(SurfaceOptions())
    with pytest.raises(UsageError, match="is missing"):
        image.open_surface(SurfaceOptions(where="/nowhere/x.png"))


def test_load_screenshot_composites_over_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(path)
    assert image.load_screenshot(path).pixels.tolist() == np.full((4, 4, 3), 255).tolist()


def test_truncated_image_raises_surface_error(tmp_path: Path) -> None:
    complete = tmp_path / "complete.png"
    Image.effect_noise((200, 200), 90).save(complete)
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(complete.read_bytes()[:9000])
    with pytest.raises(SurfaceError, match=r"truncated\.png cannot be read"):
        image.load_screenshot(truncated)


def test_async_vector_env_runs_two_processes(frames: list[RecordedStep]) -> None:
    with_canvas = [lambda: GroundingEnv(frames, hit, canvas=(30, 40)) for _ in range(2)]
    many = gymnasium.vector.AsyncVectorEnv(with_canvas)
    try:
        pixels, _ = many.reset(seed=[0, 1])
        assert pixels.shape == (2, 40, 30, 3)
        assert pixels[0, 0, 0].tolist() == [0, 100, 200]
        _, rewards, terminated, _, infos = many.step((Click(x=0, y=5), Click(x=9, y=9)))
        assert rewards.tolist() == [1.0, 0.0]
        assert terminated.all()
        assert infos["verdict"]["reward"].tolist() == [1.0, 0.0]
    finally:
        many.close()


def test_still_is_alias_of_image_surface(frames: list[RecordedStep]) -> None:
    with closing(open_surface("still", SurfaceOptions(where=str(frames[0].picture)))) as surface:
        assert surface.name == "image"
    with pytest.raises(UsageError, match="Did you mean 'image'"):
        open_surface("imgae")
