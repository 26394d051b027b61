"""Actions on a real page, exact to the pixel and to the character."""

from __future__ import annotations

import asyncio

import pytest
from helpers.eventually import eventually

from actions import (
    Back,
    Click,
    Done,
    Drag,
    Home,
    InvalidActionError,
    LongPress,
    Move,
    Open,
    PressKeys,
    Scroll,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
)
from envs.chromium import session as module
from envs.stability import is_equal
from envs.surfaces.browser import VERBS, Surface

RECORD = """<body style="margin:0;height:3000px;width:2000px"><script>
window.seen = [];
for (const type of ['mousedown', 'mouseup', 'mousemove', 'click', 'dblclick', 'contextmenu', 'auxclick', 'keydown'])
  addEventListener(type, e => seen.push({type, x: e.clientX, y: e.clientY, button: e.button, detail: e.detail,
    key: e.key, buttons: e.buttons, when: e.timeStamp,
    held: ['ctrlKey', 'shiftKey', 'altKey', 'metaKey'].filter(name => e[name]).join()}));
</script>"""
FIELD = "<textarea id=t style='position:fixed;inset:0;width:100%;height:100%'></textarea><script>t.focus()</script>"


@pytest.fixture
def record(browser, site):
    browser.goto(site.add(RECORD))
    browser.capture()
    return lambda *types: [event for event in browser.evaluate("seen") if event["type"] in types]


@pytest.fixture
def field(browser, site):
    browser.goto(site.add(FIELD))
    browser.capture()
    return lambda: browser.evaluate("t.value")


@pytest.fixture(scope="module")
def fine(chrome):
    with Surface(width=160, height=208, scale=1.75, executable=chrome) as surface:
        yield surface


def test_screen_size_is_css_size_times_scale(browser, fine, site):
    for surface, size in ((browser, (400, 300)), (fine, (280, 364))):
        surface.goto(site.add("<p>hello"))
        screen = surface.capture()
        assert (screen.width, screen.height) == size


@pytest.mark.parametrize(("x", "y"), [(0, 0), (7, 7), (139, 181), (278, 2), (279, 363)])
def test_fractional_scale_click_hits_css_pixel(fine, site, x, y):
    fine.goto(site.add(RECORD))
    fine.capture()
    fine.perform(Click(x=x, y=y))
    event = next(event for event in fine.evaluate("seen") if event["type"] == "mousedown")
    assert (event["x"], event["y"]) == (int((x + 0.5) / 1.75), int((y + 0.5) / 1.75))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 299), (399 - 20, 17), (123, 45)])
def test_unit_scale_click_hits_its_pixel(browser, record, x, y):
    browser.perform(Click(x=x, y=y))
    assert [(event["x"], event["y"]) for event in record("mousedown")] == [(x, y)]


def test_click_after_capture_is_not_rescaled(fine, site):
    """A screenshot changes the device metrics; while they are not restored, clicks are scaled twice."""
    fine.goto(site.add(RECORD))
    points = [(5 + 4 * n, 9 + 5 * n) for n in range(60)]
    for x, y in points:
        fine.capture()
        fine.perform(Click(x=x, y=y))
    events = [(event["x"], event["y"]) for event in fine.evaluate("seen") if event["type"] == "mousedown"]
    assert events == [(int((x + 0.5) / 1.75), int((y + 0.5) / 1.75)) for x, y in points]


def test_click_hits_what_pixel_shows(fine, site):
    """Every screen pixel that is fully red hits the one red CSS pixel, and no fully white one does."""
    dot = "position:fixed;left:40px;top:60px;width:1px;height:1px;background:red"
    fine.goto(
        site.add(
            f"<body style='margin:0'><div id=d style='{dot}'></div>"
            "<script>window.hits=[];onclick=e=>hits.push(e.target.id)</script>"
        )
    )
    pixels = fine.capture().pixels[95:115, 60:80].astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    white = pixels.min(axis=2) > 200
    rows, columns = red.nonzero()
    assert len(rows) >= 1
    for row, column in zip(rows, columns, strict=True):
        fine.perform(Click(x=int(column) + 60, y=int(row) + 95))
    neighbors = [
        (row, column)
        for row, column in zip(*white.nonzero(), strict=True)
        if abs(row - rows[0]) <= 2 and abs(column - columns[0]) <= 2
    ]
    assert len(neighbors) >= 10
    for row, column in neighbors:
        fine.perform(Click(x=int(column) + 60, y=int(row) + 95))
    assert fine.evaluate("hits") == ["d"] * len(rows) + [""] * len(neighbors)


def test_click_buttons_and_counts(browser, record):
    browser.perform(Click(x=5, y=5, count=2))
    browser.perform(Click(x=50, y=50, button="right"))
    browser.perform(Click(x=90, y=90, button="middle"))
    browser.perform(Click(x=130, y=130, count=3))  # and a left click still works after the native context menu
    assert len(record("dblclick")) == 2
    assert [event["button"] for event in record("auxclick")] == [2, 1]
    assert len(record("contextmenu")) == 1
    assert [event["detail"] for event in record("click")] == [1, 2, 1, 2, 3]


def test_click_modifiers_are_released(browser, record):
    browser.perform(Click(x=5, y=5, modifiers=("ctrl", "shift")))
    browser.perform(Click(x=50, y=50))
    assert [event["held"] for event in record("click")] == ["ctrlKey,shiftKey", ""]


def test_drag_follows_path(browser, record):
    browser.perform(Drag(path=((10, 10), (60, 10), (60, 80))))
    (down,), (up,) = record("mousedown"), record("mouseup")
    assert (down["x"], down["y"], up["x"], up["y"]) == (10, 10, 60, 80)
    moves = [(event["x"], event["y"]) for event in record("mousemove") if event["buttons"] == 1]
    assert (60, 10) in moves
    assert moves[-1] == (60, 80)
    assert len(moves) >= 10


def test_drag_to_point_starts_at_pointer(browser, record):
    browser.perform(Move(x=33, y=44))
    browser.perform(Drag(path=((200, 100),), modifiers=("alt",)))
    (down,), (up,) = record("mousedown"), record("mouseup")
    assert (down["x"], down["y"], up["x"], up["y"], up["held"]) == (33, 44, 200, 100, "altKey")


def test_drag_triggers_html_drop(browser, site):
    browser.goto(
        site.add(
            "<div draggable=true style='position:fixed;left:0;top:0;width:100px;height:100px;background:red' "
            'ondragstart=\'event.dataTransfer.setData("text", "payload")\'></div>'
            "<div style='position:fixed;left:200px;top:0;width:100px;height:100px;background:blue' "
            "ondragover='event.preventDefault()' ondrop='document.title = event.dataTransfer.getData(\"text\")'></div>"
        )
    )
    browser.capture()
    browser.perform(Drag(path=((50, 50), (250, 50))))
    assert browser.evaluate("document.title") == "payload"


def test_long_press_holds_button(browser, record):
    browser.perform(LongPress(x=20, y=30, seconds=0.4))
    (down,), (up,) = record("mousedown"), record("mouseup")
    assert up["when"] - down["when"] >= 390


def test_scroll_notch_is_100_css_pixels(browser, record):
    browser.perform(Scroll(x=100, y=100, down=3, right=2))
    eventually(lambda: browser.evaluate("[scrollX, scrollY]") == [200, 300])
    browser.perform(Scroll(down=-1))  # where the pointer is
    eventually(lambda: browser.evaluate("[scrollX, scrollY]") == [200, 200])


@pytest.mark.parametrize(
    "text",
    [
        "Olá zł €5 你好 😀 <a@b>",
        "Þórður — naïve “quotes” … ½ ‰",
        "日本語テキスト 한국어 русский ελληνικά עברית العربية",
        "👩‍👩‍👧 🏳️‍🌈 e\u0301 ﬁ \u00a0|",
        "~!@#$%^&*()_+`-={}[]:\";'<>?,./|\\",
        "two\nlines\n\nand ünïcode\nends",
    ],
)
def test_typed_text_is_exact(browser, field, text):
    browser.perform(TypeText(text=text))
    assert field() == text


def test_long_text_is_complete(browser, field):
    text = "The quick brown fox, 0123456789 — jumps. " * 50
    browser.perform(TypeText(text=text))
    assert field() == text


def test_typed_tab_and_newline_are_keys(browser, site):
    browser.goto(
        site.add(
            "<form onsubmit='document.title = [a.value, b.value]; return false'>"
            "<input id=a autofocus><input id=b><button>ok</button></form><script>a.focus()</script>"
        )
    )
    browser.capture()
    browser.perform(TypeText(text="one\ttwö\n"))
    assert browser.evaluate("document.title") == "one,twö"


def test_press_keys_and_chords(browser, field):
    browser.perform(TypeText(text="abc"))
    browser.perform(PressKeys(keys=("ctrl", "A")))
    browser.perform(PressKeys(keys=("x",)))
    assert field() == "x"
    browser.perform(PressKeys(keys=("ñ",)))
    browser.perform(PressKeys(keys=("home",)))
    browser.perform(PressKeys(keys=("shift", "right")))
    browser.perform(PressKeys(keys=("delete",)))
    assert field() == "ñ"
    with pytest.raises(InvalidActionError, match="together"):
        browser.perform(PressKeys(keys=("ctrl", "ñ")))
    with pytest.raises(InvalidActionError, match="does not exist on playwright"):
        browser.perform(PressKeys(keys=("volume_up",)))
    assert field() == "ñ"


def test_open_back_home_navigate(browser, site):
    first, second = site.add("<title>first"), site.add("<title>second")
    browser.goto(first)
    browser.capture()
    assert browser.perform(Back()) == "there is no page to go back to"
    browser.perform(Open(target=second.removeprefix("http://")))
    assert browser.url == second
    browser.perform(Back())
    assert browser.url == first
    browser.perform(Home())
    assert browser.url == "about:blank"  # where this surface started


def test_open_unreachable_address_gives_notice(browser, site):
    page = site.add("<title>here")
    browser.goto(page)
    browser.capture()
    note = browser.perform(Open(target="http://127.0.0.1:9/"))
    assert "was not opened (net::ERR_" in note
    with pytest.raises(SurfaceError, match=r"was not opened \(net::ERR_"):
        browser.goto("http://127.0.0.1:9/")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "javascript:alert(1)", "chrome://crash", "data:text/html,x"])
def test_open_rejects_other_schemes(browser, site, target):
    page = site.add("<title>here")
    browser.goto(page)
    browser.capture()
    with pytest.raises(InvalidActionError, match="cannot be opened"):
        browser.perform(Open(target=target))
    assert browser.url == page


def test_busy_while_next_page_loads(browser, site):
    slow = site.add("<title>slow", delay_s=0.6)
    browser.goto(site.add(f"<a href='{slow}' style='position:fixed;inset:0'>go</a>"))
    browser.capture()
    eventually(lambda: not browser.busy())
    browser.perform(Click(x=100, y=100))
    eventually(browser.busy)
    eventually(lambda: not browser.busy())
    assert browser.evaluate("document.title") == "slow"


def test_uploads_and_downloads_are_refused(browser, site):
    load = site.add("data", Content_Disposition="attachment; filename=report.zip", Content_Type="application/zip")
    browser.goto(
        site.add(
            "<input type=file style='position:fixed;left:0;top:0;width:200px;height:100px'>"
            f"<a href='{load}' style='position:fixed;left:0;top:100px;width:200px;height:100px'>get</a>"
        )
    )
    browser.capture()
    notes = [browser.perform(Click(x=30, y=12))]
    eventually(lambda: notes.append(browser.pop_notices()) or any("asks for a file" in note for note in notes))
    browser.capture()
    notes.append(browser.perform(Click(x=50, y=150)))
    eventually(lambda: notes.append(browser.pop_notices()) or any('refused: "report.zip"' in note for note in notes))
    assert "refused" in browser.perform(Open(target=load)) + browser.pop_notices()
    browser.capture()


def test_wait_waits_and_control_actions_are_rejected(browser, record, monkeypatch):
    pauses_s = []
    sleep = asyncio.sleep

    async def record_pause(seconds):
        pauses_s.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr("envs.chromium.session.asyncio.sleep", record_pause)
    browser.perform(Wait(seconds=0.2))
    monkeypatch.undo()
    assert 0.2 in pauses_s
    assert browser.perform(Move(x=1, y=1)) == ""
    with pytest.raises(InvalidActionError, match="cannot 'done'"):
        browser.perform(Done())
    assert browser.verbs() == VERBS


def test_caret_does_not_blink(browser, field):
    browser.perform(TypeText(text="a"))
    frames = set()
    for _ in range(8):
        frames.add(browser.capture().digest)
        browser.perform(Wait(seconds=0.15))
    assert len(frames) == 1


def test_unchanged_screen_is_decoded_once(browser, site, monkeypatch):
    decode, calls = module.decode_png, []
    monkeypatch.setattr(module, "decode_png", lambda png: (calls.append(1), decode(png))[1])
    browser.goto(site.add("<body style='background:#123'>"))
    first, second = browser.capture(), browser.capture()
    assert first.pixels is second.pixels
    assert is_equal(first, second)
    assert len(calls) == 1
    assert not first.pixels.flags.writeable
    assert first.pixels[0, 0].tolist() == [0x11, 0x22, 0x33]
    browser.evaluate("document.body.style.background = '#321'")
    third = browser.capture()
    assert third.pixels[0, 0].tolist() == [0x33, 0x22, 0x11]
    assert not is_equal(second, third)
    assert second.pixels[0, 0].tolist() == [0x11, 0x22, 0x33]


def test_invalid_size_raises_usage_error(chrome):
    for arguments in ({"width": 101, "scale": 1.75}, {"width": 0}, {"height": 9000}, {"scale": -1.0}):
        with pytest.raises(UsageError, match="must be whole"):
            Surface(executable=chrome, **arguments)
    with pytest.raises(UsageError, match="Did you mean 'click-test'"):
        Surface("practice:click-tset", executable=chrome)


def test_calls_after_close_raise_surface_error(chrome):
    surface = Surface(executable=chrome, width=100, height=100)
    surface.close()
    surface.close()
    with pytest.raises(SurfaceError, match="closed"):
        surface.capture()
    with pytest.raises(SurfaceError, match="closed"):
        surface.perform(Wait(seconds=0.0))
