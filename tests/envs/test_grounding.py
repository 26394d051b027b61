"""Recorded pictures as environments: gymnasium's own check, a seed that names a picture, a judge's word as reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from actions import Click, Done, InvalidActionError, SurfaceError, TypeText, UsageError
from envs.grounding import GroundingEnv
from envs.options import SurfaceOptions
from envs.recorded import RecordedStep
from envs.surface_check import check_surface
from envs.surfaces import image


@pytest.fixture
def frames(tmp_path: Path) -> list[RecordedStep]:
    """Three pictures of different sizes and grey values; the facts of each are where it must be clicked."""
    held = []
    for n, (width, height) in enumerate(((30, 20), (16, 40), (30, 20))):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", (width, height), (50 * n, 100, 200)).save(path)
        held.append(RecordedStep(f"shot-{n}", path, f"press {n}", (3 * n, 5)))
    return held


def hit(frame: RecordedStep, action: Any) -> float:
    return float(isinstance(action, Click) and (action.x, action.y) == frame.facts)


def test_a_seed_names_the_picture_and_a_click_ends_it(frames: list[RecordedStep]) -> None:
    env = GroundingEnv(frames, hit)
    for seed in (1, 4):
        pixels, info = env.reset(seed=seed)
        assert (info["id"], info["goal"], info["seed"]) == ("shot-1", "press 1", seed)
        assert (info["screen"].width, info["screen"].height) == (16, 40)
        assert pixels.shape == (40, 30, 3) and pixels[:40, :16].tolist() == info["screen"].pixels.tolist()
        assert not pixels[:, 16:].any()  # the canvas beside the picture
    _, reward, terminated, truncated, info = env.step(Click(x=3, y=5))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"] == {"done": True, "reward": 1.0} and info["judged"] == {"id": "shot-1", "reward": 1.0}
    with pytest.raises(UsageError, match="call reset"):
        env.step(Click(x=3, y=5))


def test_beside_the_picture_is_a_miss_and_another_verb_is_refused(frames: list[RecordedStep]) -> None:
    env = GroundingEnv(frames, hit)
    env.reset(seed=1)
    with pytest.raises(InvalidActionError, match="'type' is not asked for here; do one of click"):
        env.step(TypeText(text="x"))
    assert env.step(Click(x=29, y=0))[1] == 0.0  # on the canvas, not on the picture
    env.reset(seed=1)
    assert env.step(Done(status="failure"))[1:3] == (0.0, True)
    assert env.verbs() == {"click", "answer", "ask", "done"}


def test_it_passes_gymnasiums_check_without_a_word(
    frames: list[RecordedStep], recwarn: pytest.WarningsRecorder
) -> None:
    env = GroundingEnv(frames, hit, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (20, 30, 3)
    check_env(env, skip_render_check=True)
    told = [str(one.message) for one in recwarn if "gymnasium" in str(one.filename)]
    assert not [one for one in told if "spec" not in one], told


def test_what_cannot_be_shown_is_the_machines_trouble(frames: list[RecordedStep], tmp_path: Path) -> None:
    with pytest.raises(SurfaceError, match=r"nowhere\.png cannot be read"):
        GroundingEnv([RecordedStep("x", tmp_path / "nowhere.png", "press")], hit)
    env = GroundingEnv([RecordedStep("x", tmp_path / "nowhere.png", "press")], hit, canvas=(9, 9))
    with pytest.raises(SurfaceError, match=r"nowhere\.png is missing"):
        env.reset(seed=0)
    with pytest.raises(SurfaceError, match=r"larger than the canvas of 9x9; give canvas=\(30, 20\)"):
        GroundingEnv(frames, hit, canvas=(9, 9)).reset(seed=0)
    with pytest.raises(UsageError, match="needs at least one"):
        GroundingEnv([], hit)


def test_gymnasium_knows_the_benchmarks_without_importing_them() -> None:
    import json
    import subprocess
    import sys

    code = (
        "import gymnasium, envs, json, sys\n"
        "known = sorted(name for name in gymnasium.registry if name.startswith('pixelhand/'))\n"
        "print(json.dumps([known, sorted({'evals', 'torch', 'playwright'} & set(sys.modules))]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_root())
    known, loaded = json.loads(ran.stdout)
    assert {"pixelhand/ScreenSpot-v0", "pixelhand/AndroidControl-v0", "pixelhand/MiniWoB-v0"} <= set(known)
    assert loaded == []


def _root() -> Path:
    return Path(__file__).parents[2]


# ---- the still surface


def test_a_still_picture_keeps_the_contract_of_a_surface(frames: list[RecordedStep]) -> None:
    assert check_surface(image.Surface(frames[0].picture)) == []


def test_a_still_picture_says_that_nothing_changes(frames: list[RecordedStep]) -> None:
    surface = image.open_surface(SurfaceOptions(where=str(frames[0].picture)))
    assert "nothing changes" in surface.perform(Click(x=1, y=1))
    with pytest.raises(UsageError, match=r"--on still:picture\.png"):
        image.open_surface(SurfaceOptions())
    with pytest.raises(UsageError, match="is missing"):
        image.open_surface(SurfaceOptions(where="/nowhere/x.png"))


def test_transparency_lies_on_white_and_a_torn_file_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(path)
    assert image.load_screenshot(path).pixels.tolist() == np.full((4, 4, 3), 255).tolist()
    whole = tmp_path / "whole.png"
    Image.effect_noise((200, 200), 90).save(whole)
    torn = tmp_path / "torn.png"
    torn.write_bytes(whole.read_bytes()[:9000])
    with pytest.raises(SurfaceError, match="cannot be read as a picture"):
        image.load_screenshot(torn)


def test_two_environments_run_side_by_side_in_processes(frames: list[RecordedStep]) -> None:
    with_canvas = [lambda: GroundingEnv(frames, hit, canvas=(30, 40)) for _ in range(2)]
    many = gymnasium.vector.AsyncVectorEnv(with_canvas)
    try:
        pixels, _ = many.reset(seed=[0, 1])
        assert pixels.shape == (2, 40, 30, 3) and pixels[0, 0, 0].tolist() == [0, 100, 200]
        _, rewards, terminated, _, infos = many.step((Click(x=0, y=5), Click(x=9, y=9)))
        assert rewards.tolist() == [1.0, 0.0] and terminated.all()
        assert infos["verdict"]["reward"].tolist() == [1.0, 0.0]
    finally:
        many.close()
