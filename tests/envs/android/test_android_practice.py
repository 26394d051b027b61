"""Practice pages on the simulated phone: the very pixels of the browser's, set up and judged beside adb."""

from __future__ import annotations

import pytest

from actions import Back, Click, Home, SurfaceError, UsageError
from envs.live import LiveEnv
from envs.miniwob.task import MiniWobTask
from envs.options import SurfaceOptions
from envs.simulators.android.control_server import PROPERTY, Control
from envs.surfaces.android import Surface, open_surface


@pytest.fixture
def practice_env(fresh):
    """An environment of one practice task on the phone."""
    made = []

    def make(task):
        opened = open_surface(SurfaceOptions(where=fresh.address, url=f"practice:{task}"))
        made.append(LiveEnv(opened, task=MiniWobTask(task)))
        fresh.commands.log.clear()
        return made[-1]

    yield make
    for env in made:
        env.close()


def middle(env, js):
    x, y = env.surface.evaluate(
        f"(() => {{ const r = ({js}).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
    )
    return {"x": int(x * 1.75), "y": int(y * 1.75)}


def test_a_scripted_right_click_solves_it(practice_env, fresh):
    env = practice_env("click-dialog-2")
    for seed in (900_001, 900_002, 900_003):
        _, info = env.reset(seed=seed)
        wanted = info["goal"].partition('"')[2].partition('"')[0]
        js = f"[...document.querySelectorAll('.ui-dialog button')].find(b => b.innerText.trim() === '{wanted}')"
        if wanted == "x":
            js = "document.querySelector('.ui-dialog-titlebar-close')"
        *_, reward, terminated, _, info = env.step(Click(**middle(env, js)))
        assert (reward, terminated) == (1.0, True), info["goal"]
    assert sum(words[:2] == ("input", "tap") for words in fresh.commands.log) == 3


def test_a_wrong_click_is_judged_too(practice_env):
    env = practice_env("click-test-2")
    env.reset(seed=7)
    *_, reward, terminated, _, _ = env.step(Click(**middle(env, "document.querySelector('#subbtn2')")))
    assert (reward, terminated) == (-1.0, True)


@pytest.mark.parametrize("task", ["click-dialog-2", "book-flight", "click-checkboxes"])
def test_its_pixels_are_the_browsers(practice_env, chrome, task):
    from envs.surfaces.browser import Surface as Browser

    env = practice_env(task)
    with Browser(f"practice:{task}", executable=chrome) as browser:
        for seed in (900_001, 900_017):
            env.reset(seed=seed)
            MiniWobTask(task).setup(browser, seed)
            ours, theirs = env.surface.capture(), browser.capture()
            assert (ours.width, ours.height) == (280, 364)
            assert (ours.pixels != theirs.pixels).sum() == 0


def test_home_begins_the_same_episode_anew_and_back_stays(practice_env):
    env = practice_env("click-test-2")
    _, info = env.reset(seed=11)
    *_, terminated, _, info_back = env.step(Back())
    assert not terminated and info_back["screen"].digest == info["screen"].digest
    info_home = env.step(Home())[4]
    assert "the practice episode was restarted" in info_home["note"]
    assert info_home["screen"].digest == info["screen"].digest


def test_an_unknown_task_is_the_persons_mistake(fresh):
    with pytest.raises(UsageError, match="Did you mean 'click-test'"):
        Surface(fresh.address, "practice:click-tset")


def test_a_phone_that_is_no_simulation_has_no_practice_pages(fresh, monkeypatch):
    monkeypatch.delitem(fresh.commands.props, PROPERTY)
    with pytest.raises(UsageError, match=f"on a simulated phone only, and {fresh.address} is none; `agent phone`"):
        Surface(fresh.address, "practice:click-test")
    with Surface(fresh.address) as real:
        assert real.url == ""
        with pytest.raises(UsageError, match="a page's state can be read on a simulated phone only"):
            real.evaluate("1")


def test_the_control_port_wants_its_token_and_tells_what_is_wrong(fresh, surface):
    port, _, token = fresh.commands.props[PROPERTY].partition(":")
    with pytest.raises(SurfaceError, match="needs the phone's token"):
        Control(f"{port}:wrong").ask("url")
    control = Control(f"{port}:{token}")
    with pytest.raises(UsageError, match="did you mean 'offline'"):
        control.ask("fault", fault="ofline:3")
    with pytest.raises(SurfaceError, match="nowhere"):
        surface.evaluate("nowhere.at.all")
    assert surface.evaluate("Promise.resolve([1, 'é'])") == [1, "é"]
