"""LiveEnv on a surface in memory and on a MiniWoB++ page."""

from __future__ import annotations

import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from actions import (
    ActionDeniedError,
    Answer,
    Ask,
    Click,
    Done,
    InvalidActionError,
    Move,
    Screen,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
)
from envs.live import LiveEnv
from envs.miniwob.env import miniwob_env
from envs.stability import SettleOptions
from envs.task import TaskStatus

QUICK = SettleOptions(first_s=0.0, interval_s=0.0, cap_s=0.2)


class MemorySurface:
    """A screen in memory: a click paints its pixel white."""

    name = "fake"

    def __init__(self):
        self.pixels = np.zeros((20, 30, 3), np.uint8)
        self.performed = []
        self.late = ""

    def capture(self):
        return Screen(self.pixels.copy())

    def perform(self, action):
        self.performed.append(action)
        if action.verb == "click":
            self.pixels[action.y, action.x] = 255
        return "clicked" if action.verb == "click" else ""

    def verbs(self):
        return frozenset({"click", "wait"})

    def pop_notices(self):
        late, self.late = self.late, ""
        return late

    def close(self):
        pass


class PaintTask:
    """Done when a pixel of the first row is white; reward 1 for the pixel of the seed, else -1."""

    def setup(self, surface, seed):
        surface.pixels[:] = 0
        self.x = seed % 30
        return f"paint {self.x}"

    def verdict(self, surface):
        white = surface.pixels[0, :, 0] > 0
        return TaskStatus(True, 1.0 if white[self.x] else -1.0) if white.any() else TaskStatus()


def test_task_gives_goal_reward_and_end():
    env = LiveEnv(MemorySurface(), task=PaintTask(), settle=QUICK)
    pixels, info = env.reset(seed=7)
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    assert info["goal"] == "paint 7"
    assert info["seed"] == 7
    assert info["note"] == ""
    assert info["verdict"] == {"done": False, "reward": None}
    pixels, reward, terminated, truncated, info = env.step(Click(x=3, y=5))
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["note"] == "clicked"
    assert info["still"] is True
    assert set(info["timings_s"]) == {"act", "settle"}
    assert np.array_equal(pixels, info["screen"].pixels)
    assert pixels[5, 3].tolist() == [255] * 3
    *_, reward, terminated, truncated, info = env.step(Click(x=7, y=0))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"] == {"done": True, "reward": 1.0}
    assert info["still"] is False
    assert info["screen"].pixels[0, 7].tolist() == [255] * 3


def test_missing_seed_is_drawn_reproducibly():
    env = LiveEnv(MemorySurface(), task=PaintTask(), settle=QUICK)
    env.reset(seed=1)
    drawn = [env.reset()[1]["seed"] for _ in range(3)]
    env.reset(seed=1)
    assert [env.reset()[1]["seed"] for _ in range(3)] == drawn
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("action", [Done(), Done(status="failure"), Answer(text="42")])
def test_done_and_answer_end_without_performing(action):
    surface = MemorySurface()
    env = LiveEnv(surface, goal="what", settle=QUICK)
    env.reset()
    *_, reward, terminated, _, info = env.step(action)
    assert (reward, terminated, surface.performed) == (0.0, True, [])
    assert info["goal"] == "what"
    assert info["verdict"] is None


def test_invalid_actions_leave_episode_running():
    surface = MemorySurface()
    env = LiveEnv(surface, task=PaintTask(), settle=QUICK)
    env.reset(seed=0)
    for action, message in (
        (Click(x=30, y=0), "outside the screen"),
        (TypeText(text="x"), "cannot 'type'"),
        (Ask(question="which?"), "nobody is here to answer"),
    ):
        with pytest.raises(InvalidActionError, match=message):
            env.step(action)
    assert surface.performed == []
    assert env.step(Click(x=0, y=0))[1] == 1.0


def test_guard_refusal_is_raised():
    def guard(action, screen):
        raise ActionDeniedError("not today")

    surface = MemorySurface()
    env = LiveEnv(surface, guard=guard, settle=QUICK)
    env.reset()
    with pytest.raises(ActionDeniedError, match="not today"):
        env.step(Click(x=1, y=1))
    assert surface.performed == []


def test_surface_error_is_raised():
    class FailingSurface(MemorySurface):
        def perform(self, action):
            raise SurfaceError("the cable is out")

    env = LiveEnv(FailingSurface(), settle=QUICK)
    env.reset()
    with pytest.raises(SurfaceError, match="cable"):
        env.step(Click(x=1, y=1))


def test_late_notices_are_in_info():
    surface = MemorySurface()
    env = LiveEnv(surface, settle=QUICK)
    env.reset()
    surface.late = "a tab opened"
    assert env.step(Click(x=1, y=1))[4]["note"] == "clicked; a tab opened"
    assert env.step(Wait(seconds=0))[4]["note"] == ""


def test_observations_are_writable_copies():
    env = LiveEnv(MemorySurface(), settle=QUICK)
    pixels, info = env.reset()
    pixels[:] = 9
    assert int(info["screen"].pixels.max()) == 0
    assert not info["screen"].pixels.flags.writeable


def test_verbs_include_control_actions():
    assert LiveEnv(MemorySurface()).verbs() == {"click", "wait", "answer", "ask", "done"}


def test_render_modes():
    env = LiveEnv(MemorySurface(), render_mode="rgb_array", settle=QUICK)
    env.reset()
    assert env.render().shape == (20, 30, 3)
    assert LiveEnv(MemorySurface()).render() is None
    with pytest.raises(UsageError, match="rgb_array"):
        LiveEnv(MemorySurface(), render_mode="human")


def test_live_env_passes_gymnasium_checker():
    check_env(LiveEnv(MemorySurface(), task=PaintTask(), settle=QUICK), skip_render_check=True, skip_close_check=True)


def test_importing_envs_loads_no_heavy_modules():
    script = (
        "import sys, envs, envs.stability, envs.miniwob.pages, envs.chromium.executable, envs.chromium.address\n"
        "heavy = {'gymnasium', 'playwright', 'torch', 'transformers', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import gymnasium\n"
        "import envs.live\n"
        "assert {envs.MINIWOB_ID, envs.LIVE_ID} <= set(gymnasium.registry)\n"
        "assert 'playwright' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    after = "import sys, gymnasium, envs\nassert envs.MINIWOB_ID in gymnasium.registry"
    subprocess.run([sys.executable, "-c", after], check=True, timeout=60)


@pytest.fixture(scope="module")
def practice(chrome):
    env = miniwob_env("click-dialog-2")
    yield env
    env.close()


def test_miniwob_env_passes_gymnasium_checker(chrome):
    env = gymnasium.make(envs.MINIWOB_ID, task="click-test", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_same_seed_gives_same_pixels(practice):
    first = [practice.reset(seed=seed)[1] for seed in (900_000, 900_001, 900_000)]
    assert first[0]["goal"] == first[2]["goal"] != ""
    assert first[0]["screen"].digest == first[2]["screen"].digest != first[1]["screen"].digest
    assert (first[0]["screen"].width, first[0]["screen"].height) == (280, 364)


def button_middle(env, label, is_labeled):
    """Return the middle of the dialog's button with this label, or of one without it."""
    x, y = env.surface.evaluate(
        "(() => { const all = [...document.querySelectorAll('.ui-dialog button')];"
        f"const isLabel = button => button.textContent.trim() === {json.dumps(label)};"
        f"const match = all.find(button => isLabel(button) === {json.dumps(is_labeled)});"
        "const r = match.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    return {"x": int(x * 1.75), "y": int(y * 1.75)}


@pytest.mark.parametrize(("right", "raw"), [(True, 1.0), (False, -1.0)])
def test_page_verdict_ends_episode(practice, right, raw):
    _, info = practice.reset(seed=7)
    point = button_middle(practice, info["goal"].split('"')[1], right)
    *_, reward, terminated, _, info = practice.step(Move(x=5, y=300))
    assert (reward, terminated, info["verdict"]) == (0.0, False, {"done": False, "reward": None})
    *_, reward, terminated, truncated, info = practice.step(Click(**point))
    assert (reward, terminated, truncated) == (raw, True, False)
    assert info["verdict"] == {"done": True, "reward": raw}


def test_live_env_is_made_by_id():
    surface = MemorySurface()
    env = gymnasium.make(envs.LIVE_ID, surface=surface, goal="look", settle=QUICK)
    assert env.reset(seed=1)[1]["goal"] == "look"
    assert env.step(Click(x=1, y=1))[4]["note"] == "clicked"
    assert env.unwrapped.surface is surface
