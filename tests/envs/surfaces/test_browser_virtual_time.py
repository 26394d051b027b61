"""Time of practice pages is virtual: it stands still between actions, and actions advance it without waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actions import Click, LongPress, Move, TypeText, Wait
from envs.live import LiveEnv
from envs.miniwob.task import MiniWobTask
from envs.network.rules import NetworkRules

ON_BOX = Click(x=100, y=100)
BOX_JS = """(() => {{
    document.body.innerHTML = '<div id=box style="position:fixed;inset:0;{style}"></div>';
    window.log = [];
    box.addEventListener('click', () => {{ {act} }});
    return true;
}})()"""


@pytest.fixture(scope="module")
def env(chrome):
    from envs.surfaces.browser import Surface

    network = NetworkRules(named=("127.0.0.1:*",))
    surface = Surface("miniwob:click-test", executable=chrome, network=network)
    live_env = LiveEnv(surface, task=MiniWobTask("click-test"))
    yield live_env
    live_env.close()


@pytest.fixture
def show(env):
    """Return a function that replaces the page by one box, with what a click does."""

    def show_box(act: str, style: str = "") -> Any:
        env.reset(seed=1)
        env.surface.evaluate(BOX_JS.format(act=act, style=style))
        return env.surface

    return show_box


def now(surface: Any) -> float:
    time = surface.evaluate("performance.now()")
    assert isinstance(time, float | int)
    return time


def test_wait_advances_every_clock_exactly(env, show):
    surface = show("")
    js = "[performance.now(), Date.now(), +new Date()]"
    before = np.array(surface.evaluate(js))
    env.step(Wait(seconds=30))
    assert (np.array(surface.evaluate(js)) - before).tolist() == [30_000] * 3


def test_clock_stands_still_between_actions(env, show):
    surface = show("requestAnimationFrame(function draw(t) { log.push(t); requestAnimationFrame(draw) })")
    env.step(ON_BOX)
    times = surface.evaluate("new Promise(done => fetch('data:,').then(() => done([log.length, performance.now()])))")
    assert surface.evaluate("[log.length, performance.now()]") == times


@pytest.mark.parametrize(
    "act",
    [
        "setTimeout(() => log.push(1), 300)",
        "setTimeout(() => setTimeout(() => log.push(1), 300), 300)",
        "setTimeout('log.push(1)', 50)",
        "let n = 0; const id = setInterval(() => { if (++n === 40) { clearInterval(id); log.push(1) } }, 13)",
        "let n = 0; (function draw() { ++n < 30 ? requestAnimationFrame(draw) : log.push(1) })()",
        "setTimeout(() => Promise.resolve().then(() => 0).then(() => setTimeout(() => log.push(1), 350)), 350)",
        "requestIdleCallback(() => log.push(1))",
        "document.body.style.transition = 'opacity .5s'; document.body.style.opacity = .5;"
        "document.body.addEventListener('transitionend', () => log.push(1))",
        "box.animate([{ left: 0 }, { left: '50px' }], 700).onfinish = () => log.push(1)",
    ],
)
def test_step_ends_after_effect_of_click(env, show, act):
    surface = show(act)
    _, _, _, _, info = env.step(ON_BOX)
    assert surface.evaluate("log") == [1]
    assert info["still"]


@pytest.mark.parametrize(
    "act",
    [
        "setInterval(() => log.push(1), 20)",
        "(function draw() { requestAnimationFrame(draw) })()",
        "(function again() { setTimeout(again) })()",
    ],
)
def test_endless_motion_is_cut_off(env, show, act):
    surface = show(act)
    start = now(surface)
    env.step(ON_BOX)
    first = now(surface)
    env.step(Move(x=50, y=50))
    second = now(surface)
    assert 1000 <= first - start <= 1100
    assert 300 <= second - first <= 400


@pytest.mark.parametrize(
    "act", ["setInterval(() => log.push(1), 200)", "setTimeout(() => log.push(1), 600)", "log.pop()"]
)
def test_clock_of_page_is_not_awaited(env, show, act):
    surface = show(act)
    start = now(surface)
    env.step(ON_BOX)
    assert 100 <= now(surface) - start <= 200


def test_endless_css_animation_stands_still(env, show):
    show("", "animation: spin 1s infinite")
    env.surface.evaluate("document.head.append(Object.assign(document.createElement('style'), { textContent:"
                         "'@keyframes spin { to { background: red } }' }))")  # fmt: skip
    screens = [env.step(Wait(seconds=seconds))[0] for seconds in (0.5, 1.0, 0.3)]
    assert np.array_equal(screens[0], screens[1])
    assert not np.array_equal(screens[1], screens[2])


def test_transition_shows_its_virtual_time(env, show):
    surface = show("box.style.opacity = 0", "background: black; transition: opacity 100s linear")
    env.step(ON_BOX)
    at_start = float(surface.evaluate("getComputedStyle(box).opacity"))
    env.step(Wait(seconds=50))
    assert at_start - float(surface.evaluate("getComputedStyle(box).opacity")) == pytest.approx(0.5, abs=1e-4)


def test_long_press_takes_virtual_seconds(env, show):
    surface = show("")
    surface.evaluate(
        "['pointerdown', 'pointerup'].forEach(type => addEventListener(type, event => log.push(Date.now())))"
    )
    env.step(LongPress(x=100, y=100, seconds=20))
    down, up = surface.evaluate("log")
    assert 20_000 <= up - down <= 20_050


def test_typing_takes_virtual_time(env, show):
    surface = show("")
    surface.evaluate("addEventListener('keydown', event => log.push(event.timeStamp))")
    env.step(TypeText(text="abc"))
    first, second, third = surface.evaluate("log")
    assert second - first == third - second > 0


def test_image_is_loaded_before_screenshot(env, show, site):
    image = b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='200' height='200' fill='red'/></svg>"
    site.pages["/red"] = (image, {"Content-Type": "image/svg+xml"}, 0.7, 200)
    show(f"box.style.background = 'url(http://127.0.0.1:{site.port}/red)'")
    pixels = env.step(ON_BOX)[0]
    assert pixels[20, 20].tolist() == [255, 0, 0]


def test_other_pages_have_real_time(env, site):
    env.reset(seed=1)
    page = "<style>@keyframes grow { to { width: 90px } }</style><p id=p style='animation: grow 50ms forwards'></p>"
    env.surface.goto(site.add(page))
    time = env.surface.evaluate("p.getAnimations()[0].finished.then(() => new Promise(done => setTimeout(done, 5, 1)))")
    assert time == 1
    assert not env.surface.is_frozen()


def test_date_is_a_date(env, show):
    surface = show("")
    js = "[new Date() instanceof Date, new Date(2016, 0, 2).getDate(), typeof Date(), Date.parse('2016-01-01'), "
    js += "new Date().constructor === Date, Date.UTC(1970, 0, 1), new (class extends Date {})() instanceof Date]"
    assert surface.evaluate(js) == [True, 2, "string", 1451606400000, True, 0, True]
