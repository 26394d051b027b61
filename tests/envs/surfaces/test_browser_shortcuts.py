"""Browser shortcuts, and notices for what a browser's window would show."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.eventually import eventually

from actions import Back, Click, PressKeys, TypeText
from envs.chromium.shortcuts import NO_CONTEXT_MENU, SHORTCUTS, find_shortcut
from envs.chromium.tabs import MAX_TABS

FULL = "position:fixed;left:0;top:0;width:400px;height:300px"
CENTER = {"x": 200, "y": 150}


def press(browser: Any, *keys: str) -> str:
    browser.capture()
    return str(browser.perform(PressKeys(keys=keys)))


@pytest.fixture
def two_tabs(browser: Any, site: Any) -> tuple[str, str]:
    """Show a form in a second tab, opened by a link in the first; return both addresses."""
    second = site.add("<title>second</title><input id=i autofocus>")
    first = site.add(f"<title>first</title><a target=_blank style='{FULL}' href='{second}'>go</a>")
    browser.goto(first)
    open_link(browser, second)
    browser.perform(Click(x=20, y=18))
    browser.perform(TypeText(text="half an entry"))
    return first, second


def open_link(browser: Any, address: str) -> None:
    browser.capture()
    browser.perform(Click(**CENTER))
    eventually(lambda: browser.url == address and not browser.busy())
    browser.capture()


def test_history_shortcuts_navigate(browser: Any, site: Any) -> None:
    second = site.add("<title>second")
    first = site.add(f"<title>first</title><a style='{FULL}' href='{second}'>go</a>")
    browser.goto(first)
    open_link(browser, second)
    press(browser, "alt", "left")
    assert browser.url == first
    press(browser, "alt", "right")
    assert browser.url == second
    assert press(browser, "alt", "right") == "there is no page to go forward to"


@pytest.mark.parametrize("keys", [("f5",), ("ctrl", "r"), ("ctrl", "shift", "R")])
def test_reload_shortcuts_load_page_again(browser: Any, site: Any, keys: tuple[str, ...]) -> None:
    browser.goto(
        site.add("<title>page</title><script>addEventListener('load', () => { window.fresh = true })</script>")
    )
    browser.evaluate("window.fresh = false")
    assert press(browser, *keys) == ""
    assert eventually(lambda: browser.evaluate("window.fresh === true"))


def test_next_tab_keeps_form_of_other_tab(browser: Any, two_tabs: tuple[str, str]) -> None:
    first, second = two_tabs
    assert press(browser, "ctrl", "tab") == "tab 1 of 2 is shown"
    assert browser.url == first
    browser.capture()
    assert browser.evaluate("document.title") == "first"
    press(browser, "ctrl", "shift", "tab")
    assert browser.url == second
    assert browser.evaluate("i.value") == "half an entry"


def test_tab_is_selected_by_number(browser: Any, two_tabs: tuple[str, str]) -> None:
    first, second = two_tabs
    press(browser, "ctrl", "1")
    assert browser.url == first
    assert press(browser, "ctrl", "1") == "tab 1 of 2 is shown already"
    assert press(browser, "ctrl", "5") == "there is no tab 5; 2 open"
    press(browser, "ctrl", "9")
    assert browser.url == second


def test_page_keys_step_through_tabs(browser: Any, two_tabs: tuple[str, str]) -> None:
    first, second = two_tabs
    assert press(browser, "ctrl", "pageup") == "tab 1 of 2 is shown"
    assert press(browser, "ctrl", "pageup") == "tab 1 of 2 is shown already"
    assert browser.url == first
    press(browser, "ctrl", "pagedown")
    assert browser.url == second


def test_switched_tab_is_not_clicked_unseen(browser: Any, two_tabs: tuple[str, str]) -> None:
    press(browser, "ctrl", "tab")
    assert "the screen changed before 'click'" in browser.perform(Click(**CENTER))


def test_back_in_new_tab_keeps_it_open(browser: Any, two_tabs: tuple[str, str]) -> None:
    first, second = two_tabs
    browser.capture()
    assert "stays open; the tab before it is shown" in browser.perform(Back())
    assert browser.url == first
    press(browser, "ctrl", "2")
    assert browser.url == second
    assert browser.evaluate("i.value") == "half an entry"


def test_tabs_left_by_back_make_room(browser: Any, site: Any) -> None:
    second = site.add("<title>second")
    browser.goto(site.add(f"<title>first</title><a target=_blank style='{FULL}' href='{second}'>go</a>"))
    for _ in range(MAX_TABS + 2):
        open_link(browser, second)
        browser.perform(Back())
    assert len(browser._session.tabs.pages) == MAX_TABS
    assert "refused" not in browser.pop_notices()


def test_close_shortcut_closes_all_but_last_tab(browser: Any, two_tabs: tuple[str, str]) -> None:
    assert press(browser, "ctrl", "w") == "the tab was closed; the one before it is shown"
    assert browser.url == two_tabs[0]
    assert press(browser, "ctrl", "w") == "the only tab cannot be closed"


@pytest.mark.parametrize("keys", [("ctrl", "l"), ("ctrl", "f"), ("ctrl", "t"), ("ctrl", "+"), ("f11",)])
def test_unavailable_shortcut_gives_notice(browser: Any, site: Any, keys: tuple[str, ...]) -> None:
    browser.goto(site.add("<p>text"))
    notice = find_shortcut(keys).notice  # type: ignore[union-attr]
    assert notice
    assert press(browser, *keys) == notice


@pytest.mark.parametrize("frame", ["", "iframe"])
def test_page_may_handle_shortcut_itself(browser: Any, site: Any, frame: str) -> None:
    handler = "<body><p>text<script>onkeydown = event => { if (event.key === 's') event.preventDefault() }</script>"
    address = site.add(handler)
    if frame:
        address = site.add(f"<iframe src='{address}' style='{FULL}'></iframe>")
    browser.goto(address)
    browser.capture()
    browser.perform(Click(**CENTER))
    assert press(browser, "ctrl", "s") == ""
    assert press(browser, "ctrl", "p") == "the browser cannot print"


@pytest.mark.parametrize("keys", [("ctrl", "c"), ("enter",), ("ctrl", "shift", "l"), ("ctrl",), ("alt", "r")])
def test_other_keys_are_left_to_page(keys: tuple[str, ...]) -> None:
    assert find_shortcut(keys) is None


def test_every_shortcut_acts_or_gives_notice() -> None:
    assert all(shortcut.command or shortcut.notice for shortcut in SHORTCUTS.values())


def test_context_menu_gives_notice(browser: Any, site: Any) -> None:
    browser.goto(site.add(f"<a style='{FULL}' href='/x'>link</a>"))
    browser.capture()
    assert browser.perform(Click(**CENTER, button="right")) == NO_CONTEXT_MENU


def test_page_may_show_its_own_context_menu(browser: Any, site: Any) -> None:
    script = "<script>oncontextmenu = event => { event.preventDefault(); document.title = 'menu' }</script>"
    browser.goto(site.add(f"<p style='{FULL}'>text</p>{script}"))
    browser.capture()
    assert browser.perform(Click(**CENTER, button="right")) == ""
    assert browser.evaluate("document.title") == "menu"


def click_link(browser: Any, site: Any, address: str) -> str:
    """Click a link and return all notices up to the next stable state."""
    browser.goto(site.add(f"<a style='{FULL}' href='{address}'>go</a>"))
    browser.capture()
    notices = [browser.perform(Click(**CENTER))]
    eventually(lambda: notices.append(browser.pop_notices()) or any(notices))
    return "".join(notices)


def test_failed_link_gives_notice(browser: Any, site: Any) -> None:
    notice = click_link(browser, site, "http://127.0.0.1:9/")
    assert '"http://127.0.0.1:9/" was not opened (net::ERR_' in notice


def test_http_authentication_gives_notice(browser: Any, site: Any) -> None:
    members = site.add("<h1>Log in</h1>", status=401, WWW_Authenticate='Basic realm="members"')
    assert "asks for a user name and password" in click_link(browser, site, members)
