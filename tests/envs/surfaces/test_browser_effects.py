"""One click is enough: the screen after it shows its effect, however the page brings it about within 8 s."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from helpers.socket_server import SocketServer

from actions import Click
from envs.chromium import activity
from envs.live import LiveEnv

PAGE = """<style>#out {{ width: 200px; height: 40px; font: 30px Arial; transition: opacity {seconds}s; opacity: .5 }}
#out.on {{ opacity: 1 }}</style><button id=b style='position:fixed;left:0;top:0;width:200px;height:100px'>go</button>
<p id=out style='position:fixed;left:0;top:120px'></p><div id=place></div><script>
window.clicks = 0;
const ms = {seconds} * 1000, url = '{url}';
const show = () => {{ out.textContent = 'done'; }};
b.onclick = () => {{ clicks++; {act} }};
{setup}</script>"""
ON_BUTTON = Click(x=100, y=50)
DELAYS = (0.2, 1.0, 2.5, 5.0, 8.0)
SOCKET = "const socket = new WebSocket('{socket}'); socket.onmessage = show;"
WORKER = (
    "const worker = new Worker(URL.createObjectURL(new Blob(["
    "'onmessage = event => setTimeout(() => postMessage(1), event.data)']))); worker.onmessage = show;"
)
CHILD = (
    'place.innerHTML = `<iframe srcdoc="<script>onmessage = event => setTimeout(() => '
    "parent.postMessage(1, '*'), event.data)<\\/script>\">`; onmessage = show;"
)
FRAME = "place.innerHTML = '<iframe></iframe>'; const f = place.firstChild; f.onload = show; f.src = url"
SCRIPT = "const s = document.createElement('script'); s.onload = show; s.src = url; document.head.append(s)"
KINDS = {  # act, setup, what the delayed address answers
    "fetch": ("fetch(url).then(show)", "", ""),
    "stream": ("fetch(url).then(r => r.text()).then(show)", "", ""),
    "xhr": ("const x = new XMLHttpRequest(); x.onload = show; x.open('GET', url); x.send()", "", ""),
    "frame": (FRAME, "", ""),
    "timeout": ("setTimeout(show, ms)", "", ""),
    "interval": ("const end = performance.now() + ms, i = setInterval(() => { if (performance.now() >= end) "
                 "{ clearInterval(i); show() } }, 100)", "", ""),
    "frames": ("const end = performance.now() + ms, step = now => now < end ? requestAnimationFrame(step) : show(); "
               "requestAnimationFrame(step)", "", ""),
    "events": ("new EventSource(url).onmessage = show", "", "\ndata: done\n\n"),
    "socket": ("socket.send(ms / 1000)", SOCKET, ""),
    "new_socket": (SOCKET + "socket.onopen = () => socket.send(ms / 1000)", "", ""),
    "worker": ("worker.postMessage(ms)", WORKER, ""),
    "message": ("place.firstChild.contentWindow.postMessage(ms, '*')", CHILD, ""),
    "transition": ("out.className = 'on'; out.ontransitionend = show", "", ""),
    "image": ("const image = new Image(); image.onerror = image.onload = show; image.src = url", "", ""),
    "script": (SCRIPT, "", ""),
    "import": ("import(url).then(show, show)", "", ""),
    "chain": (
        "setTimeout(() => fetch(url).then(() => { place.className = 'x' }), 100)",
        "new MutationObserver(() => setTimeout(show, 300)).observe(place, { attributes: true })", "",
    ),
    "progress": ("place.innerHTML = '<p style=\"margin-top:180px\">Loading…</p>'; setTimeout(show, ms)", "", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def socket():
    with SocketServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.address
        server.shutdown()


@pytest.fixture
def show(browser, site, socket):
    """Return a function that shows the page of a kind and returns its environment."""

    def open_page(act, setup="", answer="", seconds=0.3):
        headers = {
            "Content_Type": "text/event-stream" if "data:" in answer else "text/javascript",
            "Access_Control_Allow_Origin": "*",
        }
        if "<iframe></iframe>" in act:
            headers["Content_Type"] = "text/html"
        url = site.add(answer, delay_s=seconds, **headers)
        act, setup = act.replace("{socket}", socket), setup.replace("{socket}", socket)
        browser.goto(site.add(PAGE.format(act=act, setup=setup, url=url, seconds=seconds)))
        env = LiveEnv(browser)
        env.reset()
        return env

    return open_page


def check_effect(browser, env):
    info = env.step(ON_BUTTON)[4]
    assert browser.evaluate("[out.textContent, clicks]") == ["done", 1]
    assert info["note"] == ""
    assert np.array_equal(info["screen"].pixels, browser.capture().pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_effect_is_in_next_screen(browser, show, kind):
    check_effect(browser, show(*KINDS[kind], seconds=1.3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", DELAYS)
def test_late_effect_is_in_next_screen(browser, show, kind, seconds):
    check_effect(browser, show(*KINDS[kind], seconds=seconds))


@pytest.mark.parametrize(
    "act,setup",
    [
        ("socket.send('never')", SOCKET),
        ("setInterval(() => b.title += 'x', 50)", ""),
        ("const step = () => requestAnimationFrame(step); step()", ""),
        ("worker.postMessage(1e6)", WORKER),
        ("fetch(url)", ""),
    ],
)
def test_endless_work_is_awaited_once(browser, show, monkeypatch, act, setup):
    monkeypatch.setattr(activity, "CAP_S", 1.0)
    env = show(act, setup, seconds=20.0)
    assert env.step(ON_BUTTON)[4]["note"] == "the page is still loading"
    assert env.step(ON_BUTTON)[4]["note"] in ("", "nothing changed on the screen")
    assert browser.evaluate("clicks") == 2


@pytest.mark.parametrize(
    "act",
    [
        "out.textContent = 'Saved'; setTimeout(() => out.textContent = '', 4000)",
        "const n = document.createElement('div'); n.textContent = 'Added to cart'; document.body.append(n); "
        "setTimeout(() => n.remove(), 4000)",
    ],
)
def test_toast_is_seen_before_it_goes(browser, show, act):
    env = show(act)
    env.step(ON_BUTTON)
    assert browser.evaluate("document.body.innerText.match(/Saved|Added to cart/) !== null")


def test_polls_of_older_pages_cost_nothing(browser, show):
    env = show("", "setInterval(() => fetch('/'), 200); const poll = () => setTimeout(poll, 3000); poll()")
    note = env.step(ON_BUTTON)[4]["note"]
    assert "loading" not in note
    assert not browser._session.tabs.activity.is_late()
