"""No page is lost on the way from one site to another, whatever leads there."""

from __future__ import annotations

import pytest
from helpers.eventually import eventually

from actions import Back, Click, Open, PressKeys

FULL = "position:fixed;left:0;top:0;width:400px;height:300px"
CENTER = Click(x=200, y=150)
CLOSE_TAB = PressKeys(keys=("ctrl", "w"))
BUTTON = f'<button style="{FULL}" onclick="{{act}}">go</button>'
KINDS = {  # the page that leads to an address; what the other kinds need is in test_link_reaches_its_page
    "plain": "<a href='{url}' style='{full}'>go</a>",
    "redirect": "<a href='{redirect}' style='{full}'>go</a>",
    "tab": "<a href='{url}' target=_blank rel=opener style='{full}'>go</a>",
    "noopener": "<a href='{url}' target=_blank rel=noopener style='{full}'>go</a>",
    "get": "<form action='{url}'><button name=q value=1 style='{full}'>go</button></form>",
    "post": "<form method=post action='{url}'><button name=q value=1 style='{full}'>go</button></form>",
    "refresh": "<a href='{refresh}' style='{full}'>go</a>",
    "script": '<button style="{full}" onclick="location = \'{url}\'">go</button>',
    "window": '<button style="{full}" onclick="window.open(\'{url}\')">go</button>',
    "replace": '<button style="{full}" onclick="location.replace(\'{url}\')">go</button>',
}
TABS = ("tab", "noopener", "window")
ROUNDS = 20  # of all kinds: 200 links


def follow(browser, site, kind, number):
    """Follow one link to another site and come back; return the notices."""
    here, there = ("127.0.0.1", "localhost") if number % 2 else ("localhost", "127.0.0.1")
    url = site.add(f"<title>target {number}</title><script>onclick = () => history.back()</script>there", host=there)
    redirect = site.add("", host=there, status=302, Location=url)
    refresh = site.add(f"<meta http-equiv=refresh content='0;url={url}'>", host=there)
    link = KINDS[kind].format(url=url, redirect=redirect, refresh=refresh, full=FULL)
    notes = [browser.perform(Open(target=site.add(f"<title>start {number}</title>{link}", host=here)))]
    browser.capture()
    notes.append(browser.perform(CENTER))

    def is_shown(title):
        has_title = browser.evaluate("document.title") == title
        browser.capture()  # after the title: the next action is done on what was captured last
        return has_title

    eventually(lambda: is_shown(f"target {number}"))
    if kind in TABS:
        notes.append(browser.perform(CLOSE_TAB))
    elif kind == "plain":
        notes.append(browser.perform(CENTER))  # history.back()
    elif kind != "replace":
        notes.append(browser.perform(Back()))
    if kind not in ("replace", "refresh"):
        eventually(lambda: is_shown(f"start {number}"))
    return "; ".join([*notes, browser.pop_notices()])


@pytest.mark.parametrize("kind", KINDS)
def test_link_reaches_its_page(browser, site, kind):
    browser.goto("about:blank")
    browser.capture()
    notes = follow(browser, site, kind, 1)
    assert "opened again" not in notes
    assert "not done" not in notes


@pytest.mark.slow
def test_200_links_lose_no_page(browser, site):
    browser.goto("about:blank")
    browser.capture()
    notes = [follow(browser, site, kind, number) for number in range(ROUNDS) for kind in KINDS]
    assert len(notes) == 200
    assert [note for note in notes if "opened again" in note or "not done" in note] == []
    assert len(browser._session.tabs.pages) == 1
