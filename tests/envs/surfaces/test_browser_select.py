"""A <select> works by clicks and keys, as its native list does."""

from __future__ import annotations

import pytest

from actions import Click, Drag, Move, PressKeys, Scroll, TypeText
from envs.stability import find_change

SELECT = """<style>select {{
  position: fixed; left: 20px; top: {top}px; width: 150px; height: 24px; font: 14px Arial }}</style>
<select id=s {attributes}><option>Alpha<option>Beta<option disabled>Closed
<optgroup label=More><option>Delta<option hidden>Hidden<option value=e>Épsilon</optgroup></select>
<button style='position:fixed;right:0;bottom:0;width:80px;height:40px' onclick='clicked++'>b</button>
<script>window.log = []; window.clicked = 0; onmousedown = () => log.push('mousedown');
for (const type of ['input', 'change']) s.addEventListener(type, () => log.push(type + ':' + s.value))</script>"""
MIDDLE = {"x": 90, "y": 32}
BESIDE = {"x": 300, "y": 200}


@pytest.fixture
def page(browser, site):
    def show(top=20, attributes="", html=SELECT):
        browser.goto(site.add(html.format(top=top, attributes=attributes)))
        return browser.capture()

    return show


def rows(browser, before):
    """Return where the list is: the region that changed below the <select>."""
    box = find_change(before, browser.capture())
    assert box is not None, "no list opened"
    assert box.bottom > 60, "no list opened"
    return box


def value(browser):
    return browser.evaluate("s.value")


def test_clicks_open_list_and_choose(browser, page):
    before = page()
    browser.perform(Click(**MIDDLE))
    box = rows(browser, before)
    row = (box.bottom - 44) / 6  # Alpha, Beta, Closed, More, Delta, Épsilon
    browser.perform(Click(x=60, y=int(44 + row * 1.5)))
    assert value(browser) == "Beta"
    assert browser.evaluate("log") == ["mousedown", "input:Beta", "change:Beta"]
    assert browser.evaluate("document.activeElement.id") == "s"
    browser.perform(Move(**BESIDE))
    after = find_change(before, browser.capture())
    assert after.bottom <= 48  # the list is gone again; only the <select> shows its new value


def test_disabled_option_and_group_are_not_chosen(browser, page):
    before = page()
    browser.perform(Click(**MIDDLE))
    row = (rows(browser, before).bottom - 44) / 6
    for line in (2, 3):
        browser.perform(Click(x=60, y=int(44 + row * (line + 0.5))))
        assert value(browser) == "Alpha"
    browser.perform(Click(x=60, y=int(44 + row * 5.5)))  # still open
    assert value(browser) == "e"


def test_drag_release_chooses(browser, page):
    before = page()
    browser.perform(Click(**MIDDLE))
    row = (rows(browser, before).bottom - 44) / 6
    browser.perform(PressKeys(keys=("escape",)))
    browser.perform(Drag(path=((90, 32), (90, int(44 + row * 1.5)))))
    assert value(browser) == "Beta"


def test_other_click_and_escape_close_list(browser, page):
    before = page()
    for close in (Click(x=390, y=290), PressKeys(keys=("escape",)), Click(**MIDDLE)):
        browser.perform(Click(**MIDDLE))
        rows(browser, before)
        browser.perform(close)
        box = find_change(before, browser.capture())
        assert box is None or box.bottom <= 48 or box.left > 300  # the focus ring, the pressed button
        assert value(browser) == "Alpha"
    assert browser.evaluate("log").count("input:Alpha") == 0
    assert browser.evaluate("clicked") == 1  # what was clicked beside it got its click


def test_keys_choose_in_closed_and_open_list(browser, page):
    page()
    browser.evaluate("s.focus()")
    browser.perform(PressKeys(keys=("down",)))  # Chromium's own: the closed list steps
    assert value(browser) == "Beta"
    before = browser.capture()
    browser.perform(PressKeys(keys=("space",)))
    rows(browser, before)
    browser.perform(PressKeys(keys=("down",)))
    assert value(browser) == "Beta"  # chosen on Enter only
    browser.perform(PressKeys(keys=("enter",)))
    assert value(browser) == "Delta"
    browser.perform(PressKeys(keys=("alt", "down")))
    browser.perform(PressKeys(keys=("end",)))
    browser.perform(PressKeys(keys=("escape",)))
    assert value(browser) == "Delta"
    browser.perform(PressKeys(keys=("f4",)))
    browser.perform(TypeText(text="be\n"))
    assert value(browser) == "Beta"
    assert browser.evaluate("log") == [
        f"{event}:{to}" for to in ("Beta", "Delta", "Beta") for event in ("input", "change")
    ]


def test_typing_searches_closed_list(browser, page):
    page()
    browser.evaluate("s.focus()")
    browser.perform(TypeText(text="del"))
    assert value(browser) == "Delta"


def test_list_opens_upwards_near_lower_edge(browser, page):
    before = page(top=270)
    browser.perform(Click(x=90, y=282))
    box = find_change(before, browser.capture())
    assert box.top < 200
    row = (270 - box.top) / 6
    browser.perform(Click(x=60, y=int(box.top + row * 1.5)))
    assert value(browser) == "Beta"


def test_long_list_scrolls_by_wheel(browser, page):
    many = "".join(f"<option>item {number}" for number in range(100))
    before = page(html="<select id=s style='position:fixed;left:20px;top:20px;width:150px;height:24px'>" + many)
    browser.perform(Click(**MIDDLE))
    top = browser.capture()
    assert find_change(before, top).bottom > 250
    browser.perform(Scroll(x=60, y=150, down=50))
    assert find_change(top, browser.capture()) is not None
    browser.perform(Click(x=60, y=285))
    assert int(value(browser).split()[1]) >= 90


def test_select_in_modal_dialog_works(browser, page):
    html = (
        "<dialog id=d style='inset:0;margin:0;width:300px;height:200px'><select id=s style='position:fixed;left:20px;"
        "top:20px;width:150px;height:24px'><option>Alpha<option>Beta</select></dialog><script>d.showModal()</script>"
    )
    before = page(html=html)
    browser.perform(Click(**MIDDLE))
    box = find_change(before, browser.capture())
    browser.perform(Click(x=60, y=int(box.bottom - (box.bottom - 44) / 4)))
    assert value(browser) == "Beta"


def test_select_in_frame_works(browser, site, page):
    inner = site.add("<select id=s style='position:fixed;left:10px;top:10px'><option>Alpha<option>Beta</select>")
    before = page(
        html=f"<iframe id=f style='position:fixed;left:10px;top:10px;width:300px;height:200px' src='{inner}'>"
    )
    browser.perform(Click(x=35, y=33))
    box = find_change(before, browser.capture())
    browser.perform(Click(x=45, y=int(box.bottom - 12)))
    assert browser.evaluate("f.contentDocument.getElementById('s').value") == "Beta"


@pytest.mark.parametrize("attributes", ["multiple size=4", "size=4"])
def test_list_boxes_are_unchanged(browser, page, attributes):
    page(attributes=f"{attributes} style='height:90px'")
    browser.perform(Click(x=60, y=44))
    assert value(browser) == "Beta"


def test_disabled_select_stays_closed(browser, page):
    before = page(attributes="disabled")
    browser.perform(Click(**MIDDLE))
    assert find_change(before, browser.capture()) is None


def test_page_styles_do_not_reach_list(browser, page):
    html = "<style>div {{ display: none !important; font-size: 90px; pointer-events: none }}</style>" + SELECT
    before = page(html=html)
    browser.perform(Click(**MIDDLE))
    row = (rows(browser, before).bottom - 44) / 6
    assert row < 30
    browser.perform(Click(x=60, y=int(44 + row * 1.5)))
    assert value(browser) == "Beta"
    assert browser.evaluate("document.querySelectorAll('html > div').length") == 0  # nothing is left behind
