"""MiniWobTask: setup, verdict, and restarts of lost episodes."""

from __future__ import annotations

import pytest

from actions import Click, Home, Open, PressKeys, TypeText, UsageError, Wait
from envs.live import LiveEnv
from envs.miniwob.task import MiniWobTask
from envs.task import TaskStatus


@pytest.fixture(scope="module")
def env(chrome):
    from envs.surfaces.browser import Surface

    live_env = LiveEnv(Surface("practice:choose-list", executable=chrome), task=MiniWobTask("choose-list"))
    yield live_env
    live_env.close()


def middle(env, selector):
    x, y = env.surface.evaluate(
        f"(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    return {"x": int(x * 1.75), "y": int(y * 1.75)}


def test_select_list_takes_clicks_and_keys(env):
    """Click a <select>, type the option, press Enter, and submit."""
    for seed in (3, 900_002):
        _, info = env.reset(seed=seed)
        option = info["goal"].removeprefix("Select ").removesuffix(" from the list and click Submit.")
        env.step(Click(**middle(env, "#options")))
        env.step(TypeText(text=option))
        env.step(PressKeys(keys=("enter",)))
        *_, reward, terminated, _, _ = env.step(Click(**middle(env, "button")))
        assert (reward, terminated) == (1.0, True), option


def test_home_restarts_same_episode(env):
    _, info = env.reset(seed=11)
    goal, digest = info["goal"], info["screen"].digest
    *_, terminated, _, info = env.step(Home())
    assert not terminated
    assert "the practice episode was restarted" in info["note"]
    assert info["screen"].digest == digest
    assert env.surface.evaluate("core.getUtterance()") == goal


def test_crash_restarts_same_episode(env):
    _, info = env.reset(seed=12)
    digest = info["screen"].digest
    surface = env.surface

    async def kill():
        session = await surface._session.tabs.session(surface._session.tabs.shown)
        surface._session.tabs.run_in_background(session.send("Page.crash"))

    surface._thread.call(kill(), 5, "crashing")
    note = env.step(Wait(seconds=0.5))[4]["note"] + env.step(Wait(seconds=0.1))[4]["note"]
    assert "crashed and was opened again" in note
    assert env.screen.digest == digest


def test_other_page_has_no_verdict(env):
    env.reset(seed=13)
    *_, reward, terminated, _, info = env.step(Open(target="about:blank"))
    assert (reward, terminated, info["verdict"]) == (0.0, False, {"done": False, "reward": None})


def test_open_dialog_leaves_episode_unfinished(env):
    env.reset(seed=14)
    env.surface.evaluate("setTimeout(() => confirm('really?'), 0); 1")
    info = env.step(Wait(seconds=0.2))[4]
    assert '"really?"' in info["note"]
    assert info["verdict"] == {"done": False, "reward": None}
    env.step(PressKeys(keys=("escape",)))
    assert env.task.verdict(env.surface) == TaskStatus()


def test_page_time_limit_is_lifted(env):
    env.reset(seed=15)
    assert env.surface.evaluate("core.EPISODE_MAX_TIME") > 10**9
    env.surface.perform(Wait(seconds=60))
    assert env.task.verdict(env.surface) == TaskStatus()


def test_setup_returns_instruction_text(env):
    for task in ("email-inbox-forward-nl", "click-color"):
        goal = MiniWobTask(task).setup(env.surface, 5)
        assert isinstance(goal, str)
        assert len(goal) > 10


def test_unknown_task_raises_usage_error():
    with pytest.raises(UsageError, match="choose-list"):
        MiniWobTask("choose-lits")
