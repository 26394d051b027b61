"""Practice pages on the simulated phone: the browser's exact pixels, set up and judged through the control port."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from actions import Back, Click, Drag, Home, SurfaceError, TypeText, UsageError, Wait
from envs.live import LiveEnv
from envs.miniwob.task import MiniWobTask
from envs.options import SurfaceOptions
from envs.simulators.android.control_server import PROPERTY, ControlClient
from envs.simulators.android.phone import SimulatedPhone
from envs.stability import find_change
from envs.surfaces.android import Surface, open_surface


@pytest.fixture
def make_env(phone: SimulatedPhone) -> Iterator[Callable[[str], LiveEnv]]:
    """Make an environment of one practice task on the phone."""
    envs: list[LiveEnv] = []

    def make(task: str) -> LiveEnv:
        surface = open_surface(SurfaceOptions(where=phone.address, url=f"practice:{task}"))
        envs.append(LiveEnv(surface, task=MiniWobTask(task)))
        phone.shell.log.clear()
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def click_on(env: LiveEnv, js: str) -> Click:
    """Return a click in the middle of the element that an expression evaluates to."""
    x, y = env.surface.evaluate(
        f"(() => {{ const r = ({js}).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
    )
    return Click(x=int(x * 1.75), y=int(y * 1.75))


def test_right_click_solves_task(make_env: Callable[[str], LiveEnv], phone: SimulatedPhone) -> None:
    env = make_env("click-dialog-2")
    for seed in (900_001, 900_002, 900_003):
        _, info = env.reset(seed=seed)
        label = info["goal"].partition('"')[2].partition('"')[0]
        js = f"[...document.querySelectorAll('.ui-dialog button')].find(b => b.innerText.trim() === '{label}')"
        if label == "x":
            js = "document.querySelector('.ui-dialog-titlebar-close')"
        _, reward, terminated, _, _ = env.step(click_on(env, js))
        assert (reward, terminated) == (1.0, True), info["goal"]
    assert sum(words[:2] == ("input", "tap") for words in phone.shell.log) == 3


def test_taps_in_drawn_picker_choose_date(make_env: Callable[[str], LiveEnv]) -> None:
    env = make_env("enter-date")
    _, before = env.reset(seed=900_001)
    x, y = env.surface.evaluate("(({right, y, height}) => [right - 10, y + height / 2])(tt.getBoundingClientRect())")
    opened = env.step(Click(x=int(x * 1.75), y=int(y * 1.75)))[4]["screen"]
    box = find_change(before["screen"], opened)
    assert box is not None
    assert box.right - box.left > 200
    env.step(Click(x=(box.left + box.right) // 2, y=box.top + (box.bottom - box.top) * 2 // 3))
    assert env.surface.evaluate("tt.value") != ""
    assert env.surface.evaluate("WOB_DONE_GLOBAL") is False


def test_wrong_click_is_judged(make_env: Callable[[str], LiveEnv]) -> None:
    env = make_env("click-test-2")
    env.reset(seed=7)
    _, reward, terminated, _, _ = env.step(click_on(env, "document.querySelector('#subbtn2')"))
    assert (reward, terminated) == (-1.0, True)


@pytest.mark.parametrize(
    "task",
    ["click-dialog-2", *(pytest.param(task, marks=pytest.mark.slow) for task in ("book-flight", "click-checkboxes"))],
)
def test_pixels_equal_the_browser_surface(make_env: Callable[[str], LiveEnv], chrome: str, task: str) -> None:
    from envs.surfaces.browser import Surface as BrowserSurface

    env = make_env(task)
    with BrowserSurface(f"practice:{task}", executable=chrome) as browser:
        for seed in (900_001, 900_017):
            env.reset(seed=seed)
            MiniWobTask(task).setup(browser, seed)
            phone_screen, browser_screen = env.surface.capture(), browser.capture()
            assert (phone_screen.width, phone_screen.height) == (280, 364)
            assert (phone_screen.pixels != browser_screen.pixels).sum() == 0


def test_moving_page_repeats(make_env: Callable[[str], LiveEnv]) -> None:
    env = make_env("moving-items")
    actions = (Click(x=140, y=200), Wait(seconds=3), Drag(path=((100, 300), (200, 300))), TypeText(text="Ab"))
    episodes = []
    for _ in range(2):
        env.reset(seed=5)
        digests = [env.screen.digest]
        for action in actions:
            env.step(action)
            digests.append(env.screen.digest)
        episodes.append(digests)
    assert episodes[0] == episodes[1]
    assert len(set(episodes[0])) == len(actions) + 1
    assert str(env.surface.evaluate("new Date().toISOString()")).startswith("2026-01-01T12:00:0")


def test_wait_is_real_in_other_apps(phone: SimulatedPhone, surface: Surface) -> None:
    surface.evaluate("setTimeout(() => document.title = 'over', 400), 0")
    surface.perform(Wait(seconds=1))
    assert surface.evaluate("document.title") == "over"


def test_home_restarts_episode_and_back_stays(make_env: Callable[[str], LiveEnv]) -> None:
    env = make_env("click-test-2")
    _, info = env.reset(seed=11)
    _, _, terminated, _, info_back = env.step(Back())
    assert not terminated
    assert info_back["screen"].digest == info["screen"].digest
    _, _, _, _, info_home = env.step(Home())
    assert info_home["note"]
    assert info_home["screen"].digest == info["screen"].digest


def test_unknown_task_is_a_usage_error(phone: SimulatedPhone) -> None:
    with pytest.raises(UsageError, match="click-tset"):
        Surface(phone.address, "practice:click-tset")


def test_real_phone_has_no_practice_pages(phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(phone.shell.props, PROPERTY)
    with pytest.raises(UsageError, match=f"needs a simulated phone, and {phone.address} is none"):
        Surface(phone.address, "practice:click-test")
    with Surface(phone.address) as surface:
        assert surface.is_user_owned
        assert surface.url == ""
        with pytest.raises(UsageError, match="needs a simulated phone"):
            surface.evaluate("1")


def test_control_port_needs_its_token(phone: SimulatedPhone) -> None:
    port = phone.shell.props[PROPERTY].partition(":")[0]
    with pytest.raises(SurfaceError, match="needs the phone's token"):
        ControlClient(f"{port}:wrong").request("url")


def test_control_port_reports_errors(phone: SimulatedPhone, surface: Surface) -> None:
    with pytest.raises(UsageError, match="Did you mean 'offline'"):
        ControlClient(phone.shell.props[PROPERTY]).request("fault", fault="ofline:3")
    with pytest.raises(SurfaceError, match="nowhere"):
        surface.evaluate("nowhere.at.all")
    assert surface.evaluate("Promise.resolve([1, 'é'])") == [1, "é"]
