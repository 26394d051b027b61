"""Swaps as a table: each kind of control or field, each kind of change, at both moments.

The pages report every click, key and input after the swap, so a case is lost by whatever reaches the page then.
"""

from __future__ import annotations

from collections.abc import Iterator

from actions import Action, Click, TypeText
from perf.guard_cases.cases import ALL_PRESETS, GuardCase, Moment

MOMENTS: tuple[Moment, ...] = ("look", "question")
BOX = "position:fixed;left:300px;top:250px;width:200px;height:100px;font-size:22px"
MIDDLE = Click(x=400, y=300)
SVG = "data:image/svg+xml,<svg xmlns=%22http://www.w3.org/2000/svg%22 width=%22200%22 height=%22100%22/>"
# `b` is the control; in frames and shadow trees it has to be looked up.
WATCH = """<script>
var swapped = false, watch = (target, ...events) => events.forEach(
    name => target.addEventListener(name, () => swapped && hit(), true));
</script>"""
WATCH_CLICKS = f"{WATCH}<script>watch(window, 'click')</script>"
WATCH_KEYS = f"{WATCH}<script>watch(window, 'keydown', 'input', 'click')</script>"
CONTROLS = {
    "link": f"<a id=b href='#x' style='{BOX}'>Cancel</a>",
    "div": f"<div id=b role=button tabindex=0 style='{BOX}'>Cancel</div>",
    "input": f"<input id=b type=button value=Cancel style='{BOX}'>",
    "checkbox": f"<label id=b style='{BOX}'><input type=checkbox> Cancel</label>",
    "menu-item": f"<ul role=menu><li id=b role=menuitem style='{BOX}'>Cancel</li></ul>",
    "cell": f"<table><tr><td id=b style='{BOX}' onclick='0'>Cancel</td></tr></table>",
    "image": f"<img id=b role=button alt=Cancel src='{SVG}' style='{BOX}'>",
    "tab": f"<div role=tablist><button id=b role=tab style='{BOX}'>Cancel</button></div>",
    "summary": f"<details open><summary id=b style='{BOX}'>Cancel</summary>More</details>",
    "dialog": f"<dialog id=d style='position:fixed;inset:0;width:700px;height:500px'><button id=b style='{BOX}'>Cancel"
    "</button></dialog><script>d.showModal()</script>",
    "shadow": "<div id=h></div><script>h.attachShadow({mode: 'open'}).innerHTML = "
    f"\"<div><button id=b style='{BOX}'>Cancel</button></div>\"; window.b = h.shadowRoot.getElementById('b')</script>",
    "frame": "<iframe id=f style='position:fixed;inset:0;width:100%;height:100%;border:0' onload=\"if (!window.b) { "
    "watch(f.contentWindow, 'click'); window.b = f.contentDocument.getElementById('b') }\" "
    f"srcdoc=\"<div><button id=b style='{BOX}'>Cancel</button></div>\"></iframe>",
}
RELABEL = "(e => e.tagName == 'INPUT' ? e.value = 'Pay' : e.alt ? e.alt = 'Pay' : e.lastChild.data = 'Pay')"
CHANGES = {
    "text": f"{RELABEL}(b)",
    "overlay": f"o = document.createElement('div'); o.style = '{BOX};opacity:0;z-index:9'; b.parentNode.append(o)",
    "shift": f"c = b.cloneNode(true); b.style.top = '20px'; {RELABEL}(c); b.parentNode.append(c)",
    "replaced": "b.replaceWith(b.cloneNode(true))",
    "removed": "b.remove()",
    "navigation": "b.ownerDocument.defaultView.location = '/other-page'",
}
FIELDS = {
    "input": "<input id=a autofocus>",
    "search": "<input id=a type=search autofocus>",
    "textarea": "<textarea id=a autofocus></textarea>",
    "editable": "<div id=a contenteditable style='width:300px;height:40px'></div><script>a.focus()</script>",
}
FOCUS_CHANGES = {
    "other-field": "c.focus()",
    "button": "g.focus()",
    "blur": "a.blur()",
    "replaced": "n = a.cloneNode(true); a.replaceWith(n); n.focus()",
}


def swap_table_cases() -> Iterator[GuardCase]:
    """Yield a case for each pair of a control and a change, and of a field and a change of the focus."""
    for moment in MOMENTS:
        for change, script in CHANGES.items():
            for control, page in CONTROLS.items():
                yield _case(f"{change}-of-{control}", moment, WATCH_CLICKS + page, script, MIDDLE)
        for change, script in FOCUS_CHANGES.items():
            for field, page in FIELDS.items():
                html = f"{WATCH_KEYS}{page}<input id=c placeholder=Comment><button id=g>Go on</button>"
                yield _case(f"focus-{change}-of-{field}", moment, html, script, TypeText(text="hunter2"))


def _case(name: str, moment: Moment, page: str, script: str, action: Action) -> GuardCase:
    is_asked = moment == "question"
    return GuardCase(
        f"swap-{moment}/{name}",
        "browser",
        page,
        (action,),
        presets=("cautious",) if is_asked else ALL_PRESETS,
        swap=f"(() => {{ swapped = true; {script} }})()",
        swap_at=moment,
        answer="y",
        asks_each=is_asked,
        extra_pages={"/other-page": f"<button style='{BOX}' onclick='hit()'>Cancel</button>"},
    )
