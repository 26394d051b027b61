"""Pages that crash, hang, open tabs and close themselves."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers.eventually import eventually

from actions import Back, Click, LongPress, Open, PressKeys, SurfaceError, TypeText, Wait
from envs.chromium.tabs import MAX_TABS
from envs.surfaces.browser import Surface

FULL = "position:fixed;left:0;top:0;width:400px;height:300px"
CENTER = {"x": 200, "y": 150}


def crash(browser):
    """Kill the process of the shown page, as running out of memory would."""

    async def kill():
        session = await browser._session.tabs.session(browser._session.tabs.shown)
        browser._session.tabs.run_in_background(session.send("Page.crash"))

    browser._thread.call(kill(), 5, "crashing")


def crashed(browser):
    return lambda: browser._session.tabs.page_failure == "crashed"


def test_crashed_page_is_reopened_with_cookies(browser, site):
    url = site.add("<title>alive</title><p>hello")
    browser.goto(url)
    browser.evaluate("document.cookie = 'kept=yes'")
    browser.capture()
    crash(browser)
    eventually(crashed(browser))
    screen = browser.capture()
    assert (screen.width, screen.height) == (400, 300)
    assert browser.url == url
    assert browser.evaluate("document.cookie") == "kept=yes"
    assert browser.pop_notices() == f"the page crashed and was opened again at {url}"


def test_action_on_crashed_page_is_not_done(browser, site):
    browser.goto(site.add(f"<button style='{FULL}' onclick='document.title=1'>b</button>"))
    browser.capture()
    crash(browser)
    eventually(crashed(browser))
    note = browser.perform(Click(**CENTER))
    assert "crashed and was opened again" in note
    assert "'click' was not done" in note
    assert browser.evaluate("document.title") == ""
    browser.capture()
    assert browser.perform(Click(**CENTER)) == ""
    assert browser.evaluate("document.title") == "1"


def test_second_crash_raises_surface_error(browser, site):
    browser.goto(site.add("<p>fragile"))
    browser.capture()
    crash(browser)
    eventually(crashed(browser))
    browser.capture()
    crash(browser)
    eventually(crashed(browser))
    with pytest.raises(SurfaceError, match="crashed, twice in a row"):
        browser.capture()
    browser.goto(site.add("<title>new"))  # a new start is a new start
    browser.capture()
    assert browser.evaluate("document.title") == "new"


@pytest.mark.timeout(60)  # the calls must be bounded
def test_endless_loop_reopens_page_once(quick, site):
    url = site.add(f"<button style='{FULL}' onclick='for(;;);'>b</button>")
    quick.goto(url)
    quick.capture()
    note = quick.perform(Click(**CENTER))
    assert note == f"the page stopped responding and was opened again at {url}"
    quick.capture()
    with pytest.raises(SurfaceError, match="stopped responding, twice in a row"):
        quick.perform(Click(**CENTER))
    quick.goto(site.add("<title>new"))
    quick.capture()


@pytest.mark.timeout(60)  # the calls must be bounded
def test_hung_page_is_detected_by_capture(quick, site):
    once = "if (!localStorage.hung) { localStorage.hung = 1; setTimeout(() => { for (;;); }, 300) }"
    quick.goto(site.add(f"<title>again</title><script>{once}</script>"))
    quick.capture()
    quick.perform(Wait(seconds=0.5))
    quick.capture()
    assert "stopped responding" in quick.pop_notices()
    assert quick.evaluate("document.title") == "again"


@pytest.mark.timeout(60)  # the calls must be bounded
def test_page_hung_while_loading_raises_surface_error(quick, site):
    with pytest.raises(SurfaceError, match=r"(stopped responding|gave no screenshot), twice in a row"):
        quick.goto(site.add("<p>text<script>for (;;);</script>"))
        quick.capture()


@pytest.mark.timeout(60)  # the calls must be bounded
def test_unanswered_address_keeps_page_and_gives_notice(quick, site):
    url, never = site.add("<title>here"), site.add("late", delay_s=20)
    quick.goto(url)
    quick.capture()
    note = quick.perform(Open(target=never))
    assert "did not answer within" in note
    assert "opened again" not in note
    quick.capture()
    assert quick.evaluate("document.title") == "here"
    with pytest.raises(SurfaceError, match="did not answer within"):
        quick.goto(never)


def test_endless_evaluate_raises_surface_error(quick, site):
    quick.goto(site.add("<p>text"))
    with pytest.raises(SurfaceError, match="did not end within"):
        quick.evaluate("new Promise(() => {})")
    quick.capture()


def test_hung_popup_is_closed_for_opener(quick, site):
    opener = site.add(
        f"<title>opener</title><button style='{FULL}' onclick='window.open(\"\").document.write("
        f'"<button style={FULL.replace(" ", "")} onclick=for(;;);>x</button>")\'>b</button>'
    )
    quick.goto(opener)
    quick.capture()
    quick.perform(Click(**CENTER))
    eventually(lambda: quick.url == "about:blank")
    quick.capture()
    note = quick.perform(Click(x=100, y=100))
    assert "the tab stopped responding; the one before it is shown" in note
    quick.capture()
    assert quick.evaluate("document.title") == "opener"


def test_popup_is_shown_until_closed(browser, site):
    popup = site.add(f"<title>popup</title><button style='{FULL}' onclick='window.close()'>b</button>")
    browser.goto(
        site.add(
            f"<title>opener</title><button style='{FULL}' "
            f'onclick=\'window.open("{popup}", "", "width=120,height=100")\'>b</button>'
        )
    )
    browser.capture()
    notes = browser.perform(Click(**CENTER))
    eventually(lambda: browser.url == popup)
    screen = browser.capture()
    assert (screen.width, screen.height) == (400, 300)  # not the size that the opener wished
    assert "a new tab opened and is shown" in notes + browser.pop_notices()
    assert browser.evaluate("document.title") == "popup"
    notes = browser.perform(Click(**CENTER))
    eventually(lambda: browser.url != popup)
    browser.capture()
    assert "the tab was closed; the one before it is shown" in notes + browser.pop_notices()
    assert browser.evaluate("document.title") == "opener"


def test_back_in_new_tab_shows_opener(browser, site):
    other = site.add("<title>other")
    browser.goto(site.add(f"<title>first</title><a target=_blank style='{FULL}' href='{other}'>go</a>"))
    browser.capture()
    browser.perform(Click(**CENTER))
    eventually(lambda: browser.url == other)
    browser.capture()
    assert "the tab before it is shown" in browser.perform(Back())
    browser.capture()
    assert browser.evaluate("document.title") == "first"


def test_click_meant_for_other_tab_is_skipped(browser, site):
    other = site.add(f"<button style='{FULL}' onclick='document.title=\"hit\"'>b</button>")
    browser.goto(site.add(f"<p>hello<script>setTimeout(() => window.open('{other}'), 200)</script>"))
    browser.capture()
    eventually(lambda: browser.url == other)
    note = browser.perform(Click(**CENTER))
    assert "the screen changed before 'click', which was not done" in note
    browser.capture()
    assert browser.evaluate("document.title") == ""
    browser.perform(Click(**CENTER))
    assert browser.evaluate("document.title") == "hit"


def test_tabs_beyond_limit_are_refused(browser, site):
    browser.goto(
        site.add(
            f"<button style='{FULL}' onclick='for (let n = 0; n < 15; n++) window.open(\"about:blank\")'>b</button>"
        )
    )
    browser.capture()
    notes = [browser.perform(Click(**CENTER))]
    eventually(lambda: notes.append(browser.pop_notices()) or any("a new tab was refused" in note for note in notes))
    assert len(browser._session.tabs.pages) == MAX_TABS
    browser.capture()
    browser.goto(site.add("<title>alone"))
    assert len(browser._session.tabs.pages) == 1


def test_self_closed_page_is_reopened(browser, site):
    url = site.add("<title>page</title>")
    browser.goto(url)
    browser.capture()

    async def close():
        await browser._session.tabs.shown.close()

    browser._thread.call(close(), 5, "closing")
    eventually(lambda: browser._session.tabs.page_failure == "closed itself")
    browser.capture()
    assert "closed itself and was opened again" in browser.pop_notices()


@pytest.mark.timeout(60)  # the calls must be bounded
def test_ended_browser_raises_at_once(chrome, site):
    with Surface(width=200, height=100, executable=chrome) as surface:
        surface.capture()

        async def end():
            await surface._session.browser.close()

        surface._thread.call(end(), 10, "ending")
        for call in (surface.capture, lambda: surface.perform(Click(x=1, y=1)), lambda: surface.evaluate("1")):
            with pytest.raises(SurfaceError, match=r"the browser (ended|was closed); start the run again"):
                call()


@pytest.mark.timeout(60)  # the calls must be bounded
def test_crash_ends_running_action(browser, site):
    url = site.add("<title>fine")
    browser.goto(url)
    browser.capture()
    killer = threading.Timer(0.3, crash, [browser])
    killer.start()
    note = browser.perform(LongPress(x=10, y=10, seconds=60.0))
    killer.join()
    assert note == f"the page crashed and was opened again at {url}"
    browser.capture()
    assert browser.evaluate("document.title") == "fine"


def test_crash_address_leaves_browser_usable(browser, site):
    """By goto, as a person might; a model cannot name it."""
    try:
        browser.goto("chrome://crash")
    except SurfaceError as error:
        assert "was not opened" in str(error)
    browser.goto(site.add("<title>fine"))
    browser.capture()
    assert browser.evaluate("document.title") == "fine"


def test_keys_reach_opener_after_popup_closes(browser, site):
    popup = site.add("<title>popup</title><body onkeydown='window.close()'>press")
    browser.goto(site.add(f"<input id=t style='{FULL}' onclick='window.open(\"{popup}\")'>"))
    browser.capture()
    browser.perform(Click(**CENTER))
    eventually(lambda: browser.url == popup)
    browser.capture()
    browser.perform(PressKeys(keys=("a",)))
    eventually(lambda: browser.url != popup)
    browser.capture()
    browser.perform(TypeText(text="ok"))
    assert browser.evaluate("t.value") == "ok"


def test_slow_first_paint_is_awaited(browser, site):
    browser.goto(
        site.add("<script>const end = Date.now() + 1500; while (Date.now() < end);</script><title>slow</title>")
    )
    browser.capture()
    assert browser.pop_notices() == ""
    assert browser.evaluate("document.title") == "slow"


class LossySession:
    """A CDP session whose first screenshot is never answered."""

    def __init__(self, session):
        self.session = session
        self.requests = 0

    async def send(self, method, *arguments):
        if method == "Page.captureScreenshot":
            self.requests += 1
            if self.requests == 1:
                await asyncio.Event().wait()
        return await self.session.send(method, *arguments)


def test_lost_screenshot_is_requested_again(browser, site):
    url = site.add("<title>kept</title><input id=i value=form>")
    browser.goto(url)
    browser.capture()
    tabs = browser._session.tabs
    lossy = tabs._sessions[tabs.shown] = LossySession(tabs._sessions[tabs.shown])
    browser.evaluate("window.kept = 1")
    browser.capture()
    assert lossy.requests == 2
    assert browser.pop_notices() == ""
    assert browser.evaluate("window.kept") == 1


def test_hung_tab_leaves_other_tabs_open(quick, site):
    hung = site.add(f"<title>hung</title><button style='{FULL}' onclick='for(;;);'>b</button>", host="localhost")
    first = site.add(f"<title>first</title><a target=_blank rel=noopener style='{FULL}' href='{hung}'>go</a>")
    quick.goto(first)
    quick.evaluate("window.kept = 1")
    quick.capture()
    quick.perform(Click(**CENTER))
    eventually(lambda: quick.url == hung and not quick.busy())
    quick.capture()
    quick.pop_notices()
    assert quick.perform(Click(**CENTER)) == f"the page stopped responding and was opened again at {hung}"
    quick.capture()
    assert quick.evaluate("document.title") == "hung"
    quick.perform(PressKeys(keys=("ctrl", "1")))
    assert quick.url == first
    assert quick.evaluate("window.kept") == 1
