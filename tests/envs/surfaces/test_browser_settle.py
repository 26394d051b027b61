"""A step ends when what its action started has ended: requests, short timers, the drawing of a PDF."""

from __future__ import annotations

import pytest
from helpers.eventually import eventually

from actions import Click, Wait
from envs.chromium import activity
from envs.live import LiveEnv
from envs.stability import SettleOptions

BUTTON = """<button id=b style='position:fixed;left:0;top:0;width:200px;height:100px'>go</button><p id=out></p>
<script>const answer = async () => {{ out.textContent = (await (await fetch('{url}')).text()).slice(-4) }}
b.onclick = () => {{ {act} }}</script>"""
ON_BUTTON = Click(x=100, y=50)
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n"
    b"4 0 obj<</Length 43>>stream\nBT /F1 24 Tf 50 100 Td (Number 4711) Tj ET\nendstream endobj "
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
)


@pytest.fixture
def click(browser, site):
    """Return a function that clicks the button of a page and returns its answer and the notices."""

    def step(act, delay_s, settle=None):
        url = site.add("done", delay_s=delay_s)
        browser.goto(site.add(BUTTON.format(url=url, act=act)))
        env = LiveEnv(browser, settle=settle)
        env.reset()
        info = env.step(ON_BUTTON)[4]
        return browser.evaluate("out.textContent"), info["note"]

    return step


@pytest.mark.parametrize(
    "act,delay_s",
    [
        ("answer()", 0.3),
        ("answer()", 1.8),  # longer than a screen may keep changing
        ("setTimeout(() => out.textContent = 'done', 600)", 0),
        ("setTimeout(answer, 300)", 0.5),
        ("answer().then(answer)", 0.4),
    ],
)
def test_effect_of_click_is_awaited(click, act, delay_s):
    assert click(act, delay_s) == ("done", "")


def test_request_of_frame_is_awaited(browser, site):
    slow = site.add("done", delay_s=0.6)
    frame = site.add("<body style='background:#fff'>")
    browser.goto(
        site.add(
            f"<button style='position:fixed;inset:0' onclick=\"f.location='{slow}'\"></button>"
            f"<iframe name=f src={frame}>"
        )
    )
    env = LiveEnv(browser)
    env.reset()
    env.step(ON_BUTTON)
    assert browser.evaluate("document.querySelector('iframe').contentDocument.body.textContent") == "done"


def test_page_that_loads_too_long_is_reported_once(click, monkeypatch):
    monkeypatch.setattr(activity, "CAP_S", 0.5)
    assert click("answer()", 8.0) == ("", "the page is still loading")


def test_open_request_counts_as_work_until_it_ends(browser, site, monkeypatch):
    """The no-progress rule asks for it: waiting for a slow answer, or clicking again, is no loop."""
    monkeypatch.setattr(activity, "CAP_S", 0.3)
    browser.goto(site.add(BUTTON.format(url=site.add("done", delay_s=4.0), act="answer()")))
    env = LiveEnv(browser)
    env.reset()
    assert env.step(ON_BUTTON)[4]["busy"]
    assert env.step(Wait(seconds=0.1))[4]["busy"]
    eventually(lambda: browser.evaluate("out.textContent") == "done")
    assert not env.step(Wait(seconds=0.1))[4]["busy"]


def test_lost_request_is_no_work_for_ever(browser, site, monkeypatch):
    monkeypatch.setattr(activity, "CAP_S", 0.3)
    monkeypatch.setattr(activity, "LATE_S", 0.2)
    browser.goto(site.add(BUTTON.format(url=site.add("done", delay_s=4.0), act="answer()")))
    env = LiveEnv(browser)
    env.reset()
    env.step(ON_BUTTON)
    assert not env.step(Wait(seconds=0.3))[4]["busy"]


@pytest.mark.parametrize(
    "act",
    [
        "navigator.sendBeacon('{url}')",
        "setTimeout(answer, 15000)",
        "setInterval(() => out.className += 'x', 5000)",
    ],
)
def test_endless_work_is_not_awaited(click, site, act, monkeypatch):
    monkeypatch.setattr(activity, "CAP_S", 3.0)  # a busy machine answers late
    url = site.add("late", delay_s=2.0)
    assert click(act.format(url=url), 0) == ("", "")


def test_older_request_is_not_awaited(browser, site):
    slow = site.add("done", delay_s=2.0)
    browser.goto(site.add("<body>" + BUTTON.format(url=slow, act="")))
    browser.evaluate("void answer()")
    env = LiveEnv(browser, settle=SettleOptions())
    env.step(ON_BUTTON)
    assert not browser.busy()
    assert browser.evaluate("out.textContent") == ""


def test_first_screen_of_pdf_shows_document(browser, site, monkeypatch):
    monkeypatch.setattr(activity, "CAP_S", 60.0)  # a busy machine draws it late
    url = site.add("", Content_Type="application/pdf")
    path = "/" + url.rpartition("/")[2]
    site.pages[path] = (PDF, *site.pages[path][1:])
    browser.goto(site.add(f"<a href='{url}' style='position:fixed;inset:0'>file</a>"))
    env = LiveEnv(browser)
    env.reset()
    screen = env.step(ON_BUTTON)[4]["screen"]
    assert len({tuple(pixel) for pixel in screen.pixels[70:280:2, 20:380:2].reshape(-1, 3).tolist()}) > 2


def test_practice_page_is_never_busy(chrome):
    from envs.surfaces.browser import Surface

    with Surface("miniwob:click-test", executable=chrome) as surface:
        assert surface.evaluate("Symbol.for('pixelhand.activity') in window") is False
        surface.evaluate("void fetch('https://127.0.0.1:9/').catch(() => null)")
        assert not surface.busy()
