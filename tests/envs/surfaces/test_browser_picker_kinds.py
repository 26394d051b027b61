"""Every kind of picker, in every place of a page: a value is chosen by clicks, and nothing underneath is pressed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from helpers.eventually import eventually

from actions import Click
from envs.network.rules import NetworkRules
from envs.stability import find_change, settle

DOCUMENT = """<style>body {{ margin: 0 }} #under {{ position: fixed; inset: 0 }}
dialog {{ position: fixed; inset: 0; margin: 0; padding: 0; border: 0; outline: 0; width: 600px; height: 460px;
  max-width: none }}
</style><div id=under></div><div id=place></div><script>
const log = [];
let pressed = 0, field = null;
const report = () => top.postMessage({{ value: field.multiple ? [...field.selectedOptions].map(o => o.value).join() :
  field.value, log, pressed }}, '*');
for (const type of ['mousedown', 'mouseup', 'click']) {{
  addEventListener(type, (event) => {{
    if ([under, root].includes(event.composedPath()[0])) {{ pressed++; report() }}
  }});
}}
const html = `<style>.f {{ position: fixed; left: 10px; top: 10px; width: 180px; height: {height}px;
  box-sizing: border-box }}
  </style>{field}`;
const root = {root};
root.innerHTML = html;
field = root.querySelector('.f');
for (const type of ['input', 'change']) field.addEventListener(type, () => {{ log.push(type); report() }});
report();
</script>"""
TOP = "<script>var state = null; addEventListener('message', event => { state = event.data })</script>"
LIST = "<datalist id=l><option>{0}<option>{1}<option>{2}</datalist>"
WORDS = LIST.format("Lisbon", "London", "Lyon")
LOCAL_SITES = NetworkRules(named=("127.0.0.1:*", "localhost:*"))
KINDS = {
    "date": "<input class=f type=date>",
    "date_limits": "<input class=f type=date min=2024-03-05 max=2024-03-26>",
    "time": "<input class=f type=time>",
    "time_step": "<input class=f type=time step=900>",
    "month": "<input class=f type=month>",
    "week": "<input class=f type=week>",
    "datetime": "<input class=f type=datetime-local>",
    "color": "<input class=f type=color>",
    "text_list": f"<input class=f list=l>{WORDS}",
    "search_list": f"<input class=f type=search list=l>{WORDS}",
    "email_list": f"<input class=f type=email list=l>{LIST.format('a@b.org', 'c@d.org', 'e@f.org')}",
    "url_list": f"<input class=f type=url list=l>{LIST.format('http://a.org', 'http://b.org', 'http://c.org')}",
    "number_list": f"<input class=f type=number list=l>{LIST.format(10, 20, 30)}",
    "select": "<select class=f><option>a<option>b<option>c<option>d</select>",
    "groups": "<select class=f><option>a<optgroup label=g><option>b<option>c</optgroup></select>",
    "list_box": "<select class=f size=4><option>a<option>b<option>c<option>d</select>",
    "several": "<select class=f multiple size=4><option>a<option>b<option>c<option>d</select>",
}
CELLS = {"month": (0.5, 0.6), "time_step": (0.35, 0.3)}  # where a choice is, as fractions of the picker
LISTS = ("list", "select", "groups")


@dataclass(frozen=True)
class Place:
    """Where a field is: the expression of its root, and the frame around it."""

    root: str = "place"
    frame: str = ""
    host: str = "127.0.0.1"
    left: int = 0
    top: int = 0


PLACES = {
    "plain": Place(),
    "closed_shadow": Place("place.attachShadow({ mode: 'closed' })"),
    "modal": Place(
        "(() => { const d = document.createElement('dialog'); document.body.append(d); d.showModal(); return d })()"
    ),
    "low_frame": Place(frame="left: 0; top: 360px; width: 400px; height: 110px", top=360),
    "other_origin": Place(
        frame="left: 100px; top: 20px; width: 400px; height: 400px", host="localhost", left=100, top=20
    ),
}


@pytest.fixture(scope="module")
def browser(chrome):
    from envs.surfaces.browser import Surface

    with Surface(width=640, height=480, executable=chrome, network=LOCAL_SITES) as surface:
        yield surface


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_value_is_chosen_by_clicks(browser, site, kind, place):
    where, is_box = PLACES[place], kind in ("list_box", "several")
    document = DOCUMENT.format(field=KINDS[kind], root=where.root, height=80 if is_box else 26)
    if where.frame:
        inner = site.add(document, host=where.host)
        document = f"<iframe src='{inner}' style='position: fixed; border: 0; {where.frame}'></iframe>"
    browser.goto(site.add(TOP + document))
    eventually(lambda: browser.evaluate("state !== null"))
    before = browser.capture()
    is_list = kind.endswith(LISTS) or is_box
    x, y = where.left + (100 if is_list or kind == "color" else 178), where.top + (45 if is_box else 23)
    assert browser.perform(Click(x=x, y=y)) == ""
    if not is_box:
        box = find_change(before, settle(browser.capture).screen)
        assert box is not None
        bottom = where.top + 36
        if not is_list:
            right, down = CELLS.get(kind, (0.35, 0.6))
            x, y = box.left + (box.right - box.left) * right, box.top + (box.bottom - box.top) * down
            browser.perform(Click(x=int(x), y=int(y)))
        else:
            assert box.bottom > bottom + 20, "no list below the field"
            browser.perform(Click(x=x, y=bottom + (48 if kind == "groups" else 28)))
    state = eventually(lambda: (state := browser.evaluate("state"))["log"] and state)
    assert state["value"] not in ("", "a", "#000000")
    assert state["log"] == ["input", "change"]
    assert state["pressed"] == 0
