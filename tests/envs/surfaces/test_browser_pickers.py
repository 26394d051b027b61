"""Date, time and color pickers and suggestion lists are chosen by clicks; no click goes through them."""

from __future__ import annotations

import pytest
from helpers.eventually import eventually

from actions import Click, PressKeys, TypeText
from envs.miniwob.pages import start_js
from envs.stability import SettleOptions, find_change, settle

FIELD = """<style>body {{ margin: 0 }} #i {{ position: fixed; left: 10px; top: 10px; width: 180px; height: 26px }}
#under {{ position: fixed; inset: 40px 0 0 0; width: 100%; height: 400px }}</style><button id=under></button>
<input id=i {attributes}>{more}<script>window.log = []; window.pressed = 0; under.onclick = () => pressed++
for (const type of ['input', 'change']) i.addEventListener(type, () => log.push(type + ':' + i.value))</script>"""
ICON = Click(x=178, y=23)
ESCAPE = PressKeys(keys=("escape",))
CASES = [  # attributes, a cell of the picker, the value that it stands for
    ("type=date value=2024-03-15", Click(x=125, y=148), "2024-03-13"),
    ("type=date value=2024-03-15 min=2024-03-14", Click(x=125, y=148), "2024-03-15"),
    ("type=month value=2024-03", Click(x=55, y=80), "2024-01"),
    ("type=week value=2024-W10", Click(x=90, y=148), "2024-W11"),
    ("type=time value=09:30", Click(x=31, y=308), "09:50"),
    ("type=datetime-local value=2024-03-15T09:30", Click(x=125, y=148), "2024-03-13T09:30"),
    ("type=color value=#123456", Click(x=28, y=54), "#000000"),
]
TYPED = [("date", "2024-03-15"), ("month", "2024-03"), ("week", "2024-W11"), ("time", "15:30"), ("color", "#ff8000")]
CITIES = "<datalist id=cities><option>Lisbon<option>London<option>Lyon</datalist>"


@pytest.fixture(scope="module")
def browser(chrome):
    from envs.surfaces.browser import Surface

    with Surface(width=640, height=480, executable=chrome) as surface:
        yield surface


@pytest.fixture
def page(browser, site):
    def show(attributes="", more="", html=FIELD):
        browser.goto(site.add(html.format(attributes=attributes, more=more)))
        return browser.capture()

    return show


def picker_box(browser, before):
    """Return the region of the picker, None if none is open."""
    box = find_change(before, settle(browser.capture, SettleOptions(first_s=0.1)).screen)
    return box if box and box.bottom > 60 else None


@pytest.mark.parametrize("attributes,cell,value", CASES)
def test_click_in_picker_chooses(browser, page, attributes, cell, value):
    before = page(attributes)
    browser.perform(ICON)
    assert picker_box(browser, before) is not None
    browser.perform(cell)
    assert browser.evaluate("i.value") == value
    assert browser.evaluate("pressed") == 0
    browser.perform(ESCAPE)
    browser.perform(Click(x=500, y=400))
    assert browser.evaluate("pressed") == 1  # the picker is gone
    changed = browser.evaluate("i.defaultValue") != value
    assert browser.evaluate("log") == ([f"input:{value}", f"change:{value}"] if changed else [])


@pytest.mark.parametrize("kind,text", TYPED)
def test_typed_value_in_html_form(browser, page, kind, text):
    page(f"type={kind}")
    browser.evaluate("i.focus()")
    browser.perform(TypeText(text=text))
    assert browser.evaluate("i.value") == text


def test_typed_date_in_field_order(browser, page):
    page("type=date")
    browser.evaluate("i.focus()")
    browser.perform(TypeText(text="03152024"))
    assert browser.evaluate("i.value") == "2024-03-15"


def test_previous_month_then_day(browser, page):
    page("type=date value=2024-03-15")
    browser.perform(ICON)
    browser.perform(Click(x=64, y=54))
    browser.perform(Click(x=125, y=148))
    assert browser.evaluate("i.value") == "2024-02-14"


@pytest.mark.parametrize("field", ["<input type=date", "<select", "<input list=l"])
def test_open_picker_is_no_work_of_page(browser, site, field):
    browser.goto(
        site.add(f"{field} autofocus id=i><option>one<option>two</select><datalist id=l><option>one</datalist>")
    )
    browser.evaluate("i.focus()")
    screen = browser.capture()
    browser.perform(PressKeys(keys=("alt", "down")))
    eventually(lambda: find_change(screen, browser.capture()))
    assert not browser.busy()


@pytest.mark.parametrize("keys", [("f4",), ("alt", "down"), ("space",)])
def test_keys_open_drawn_picker(browser, page, keys):
    before = page("type=date value=2024-03-15")
    browser.evaluate("i.focus()")
    browser.perform(PressKeys(keys=keys))
    assert picker_box(browser, before) is not None
    browser.perform(Click(x=125, y=148))
    assert browser.evaluate("i.value") == "2024-03-13"


def test_enter_on_indicator_opens_drawn_picker(browser, page):
    before = page("type=date value=2024-03-15")
    browser.evaluate("i.focus()")
    browser.perform(TypeText(text="\t\t\t"))
    browser.perform(PressKeys(keys=("enter",)))
    assert picker_box(browser, before) is not None
    browser.perform(Click(x=125, y=148))
    assert browser.evaluate("[i.value, pressed]") == ["2024-03-13", 0]


def test_click_on_text_opens_no_picker(browser, page):
    before = page("type=date value=2024-03-15")
    browser.perform(Click(x=20, y=23))
    assert picker_box(browser, before) is None
    browser.perform(TypeText(text="12"))
    assert browser.evaluate("i.value") == "2024-12-15"


def test_indicator_stretched_over_field_opens_picker(browser, page):
    rule = "{{ position: absolute; inset: 0; width: 100%; opacity: 0 }}"
    style = f"<style>#i::-webkit-calendar-picker-indicator {rule}</style>"
    before = page("type=date value=2024-03-15", style.format())
    browser.perform(Click(x=40, y=23))
    assert picker_box(browser, before) is not None


def test_page_prevents_picker(browser, page):
    before = page("type=date", "<script>i.addEventListener('click', event => event.preventDefault())</script>")
    browser.perform(ICON)
    assert picker_box(browser, before) is None


def test_page_stops_click(browser, page):
    before = page("type=color", "<script>i.addEventListener('click', event => event.stopPropagation())</script>")
    browser.perform(ICON)
    assert picker_box(browser, before) is not None


def test_show_picker_opens_drawn_picker(browser, page):
    page("type=date value=2024-03-15", "<script>under.addEventListener('click', () => i.showPicker())</script>")
    browser.evaluate("i.focus()")
    browser.perform(Click(x=500, y=400))
    browser.perform(Click(x=125, y=148))
    assert browser.evaluate("[i.value, pressed]") == ["2024-03-13", 1]


def test_disabled_field_has_no_picker(browser, page):
    before = page("type=date readonly value=2024-03-15")
    browser.perform(ICON)
    assert picker_box(browser, before) is None


def test_picker_in_closed_shadow_root(browser, page):
    html = (
        "<div id=host></div><script>const root = host.attachShadow({{ mode: 'closed' }});"
        "root.innerHTML = '<input type=date value=2024-03-15 style=\"position:fixed;left:10px;top:10px;width:180px;"
        "height:26px\">'; window.read = () => root.firstChild.value</script>"
    )
    page(html=html)
    browser.perform(ICON)
    browser.perform(Click(x=125, y=148))
    assert browser.evaluate("read()") == "2024-03-13"
    browser.perform(TypeText(text="2031-12-24"))
    assert browser.evaluate("read()") == "2031-12-24"


def test_select_in_closed_shadow_root(browser, page):
    html = (
        "<div id=host></div><script>const root = host.attachShadow({{ mode: 'closed' }});"
        'root.innerHTML = \'<select style="position:fixed;left:10px;top:10px;width:180px;height:26px">'
        "<option>a<option>b</select>'; window.read = () => root.firstChild.value</script>"
    )
    page(html=html)
    browser.perform(Click(x=60, y=23))
    browser.perform(Click(x=60, y=64))
    assert browser.evaluate("read()") == "b"


def test_page_prevents_select(browser, page):
    html = (
        "<select id=s style='position:fixed;left:10px;top:10px;width:180px;height:26px'><option>a<option>b</select>"
        "<script>s.onmousedown = event => event.preventDefault()</script>"
    )
    before = page(html=html)
    browser.perform(Click(x=60, y=23))
    assert picker_box(browser, before) is None


def test_picker_in_low_frame(browser, site, page):
    inner = site.add("<body style='margin:0'><input type=date id=i value=2024-03-15 style='width:180px;height:26px'>")
    frame = f"<iframe id=f src='{inner}' style='position:fixed;left:0;top:380px;width:400px;height:300px;border:0'>"
    before = page(html=frame)
    browser.perform(Click(x=168, y=393))
    box = find_change(before, browser.capture())
    assert box is not None
    assert box.bottom <= 480
    browser.perform(Click(x=69, y=448))  # the frame shows 100 pixels: the picker is small and covers its field
    assert browser.evaluate("f.contentDocument.getElementById('i').value") == "2024-03-13"


def test_datalist_suggestions_choose_by_click(browser, page):
    before = page("list=cities", CITIES)
    browser.perform(Click(x=60, y=23))
    everything = picker_box(browser, before)
    browser.perform(TypeText(text="ly"))
    filtered = picker_box(browser, before)
    assert everything is not None
    assert filtered is not None
    assert filtered.bottom < everything.bottom
    browser.perform(Click(x=60, y=48))
    assert browser.evaluate("[i.value, pressed]") == ["Lyon", 0]
    assert browser.evaluate("log").count("change:Lyon") == 1
    assert browser.evaluate("[i.list.id, i.blur(), i.getAttribute('list')]") == ["cities", None, "cities"]


def test_datalist_keys_choose(browser, page):
    page("list=cities", CITIES)
    browser.perform(Click(x=60, y=23))
    browser.perform(TypeText(text="lo"))
    browser.perform(PressKeys(keys=("down",)))
    browser.perform(PressKeys(keys=("enter",)))
    assert browser.evaluate("i.value") == "London"


@pytest.mark.parametrize("task", ["enter-date", "enter-time"])
def test_practice_page_picker_chooses(chrome, task):
    from envs.surfaces.browser import Surface

    with Surface(f"miniwob:{task}", executable=chrome) as surface:
        surface.evaluate(start_js(900_000))
        before = surface.capture()
        field = surface.evaluate(
            "(({right, top, height}) => [right - 10, top + height / 2])(tt.getBoundingClientRect())"
        )
        x, y = (int(side * 1.75) for side in field)
        surface.perform(Click(x=x, y=y))
        box = find_change(before, settle(surface.capture, SettleOptions(first_s=0.1)).screen)
        assert box is not None
        assert box.right - box.left > 200  # the whole picker is in the narrow page
        surface.perform(Click(x=box.left + (box.right - box.left) // 2, y=box.top + (box.bottom - box.top) * 2 // 3))
        assert surface.evaluate("tt.value") != ""
        assert surface.evaluate("WOB_DONE_GLOBAL") is False


def test_typed_date_on_practice_page(chrome):
    from envs.surfaces.browser import Surface

    with Surface("miniwob:enter-date", executable=chrome) as surface:
        surface.evaluate("tt.focus()")
        surface.perform(TypeText(text="03152024"))
        assert surface.evaluate("tt.value") == "2024-03-15"
