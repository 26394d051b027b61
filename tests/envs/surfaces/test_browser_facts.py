"""Facts of what an action would touch: the element, its target, the focus, and what changed since the capture."""

from __future__ import annotations

import time

import pytest
from helpers.eventually import eventually

from actions import Click, PressKeys, TypeText, Wait

AT = Click(x=200, y=150)
BOX = "position:fixed;left:100px;top:100px;width:200px;height:100px"
BUTTON = f"<button id=b style='{BOX}'>Cancel</button>"


@pytest.fixture
def show(browser, site):
    """Return a function that opens a page with a body and captures it."""

    def open_body(body):
        browser.goto(site.add(f"<!doctype html><body style='margin:0'>{body}"))
        browser.capture()

    return open_body


def element(browser, action=AT):
    facts = browser.facts(action)
    assert facts.changes == ()
    return facts.elements[0]


@pytest.mark.parametrize(
    "body,expected",
    [
        (BUTTON, {"role": "button", "label": "Cancel", "target": "", "field": ""}),
        (f"<a href='https://a.org/x' style='{BOX}'><b>More</b> here</a>", {"role": "link", "label": "More here"}),
        (f"<a href='https://a.org/x' style='{BOX}'>x</a>", {"target": "https://a.org/x", "method": "GET"}),
        (
            f"<form action='https://a.org/pay' method=post><input name=action><button style='{BOX}'>Pay</button>",
            {"target": "https://a.org/pay", "method": "POST", "label": "Pay"},
        ),
        (
            f"<form action=/a><button formaction='https://a.org/b' formmethod=post style='{BOX}'>Go</button></form>",
            {"target": "https://a.org/b", "method": "POST"},
        ),
        (f"<input type=password style='{BOX}' placeholder=Secret>", {"field": "password", "label": "Secret"}),
        (f"<input autocomplete=one-time-code style='{BOX}'>", {"field": "otp", "role": "textbox"}),
        (f"<div contenteditable style='{BOX}'>text</div>", {"field": "text"}),
        (f"<div role=Button aria-label='Delete all' style='{BOX}'></div>", {"role": "button", "label": "Delete all"}),
        (f"<input type=submit value='Send' style='{BOX}'>", {"role": "button", "label": "Send"}),
        (f"<button style='{BOX}'><img alt='Trash' src=''></button>", {"label": "Trash"}),
        (f"<label style='{BOX}'><input type=checkbox>Agree</label>", {"label": "Agree"}),
    ],
)
def test_element_under_point_is_described(browser, show, body, expected):
    show(body)
    facts = element(browser)
    assert {name: getattr(facts, name) for name in expected} == expected


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_element_in_shadow_root_is_described(browser, show, mode):
    show(f"<div id=h></div><script>h.attachShadow({{mode: '{mode}'}}).innerHTML = `{BUTTON}`</script>")
    assert element(browser).label == "Cancel"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])  # in the page's process, and of another site
def test_element_in_frame_is_described(browser, site, show, host):
    inner = site.add("<body style='margin:0'><button id=b style='width:300px;height:200px'>Pay</button>")
    show(f"<iframe style='{BOX};border:5px solid' src='{inner.replace('127.0.0.1', host)}'></iframe>")
    assert element(browser).label == "Pay"
    assert element(browser, Click(x=20, y=20)).label != "Pay"


def test_hung_frame_of_another_site_is_left_out(browser, site, show):
    inner = site.add("<script>setTimeout(() => { while (true) {} }, 200)</script>")
    show(
        f"<iframe style='{BOX}' src='{inner.replace('127.0.0.1', 'localhost')}'></iframe><button id=o>Outside</button>"
    )
    time.sleep(0.5)
    browser.capture()
    assert element(browser, Click(x=20, y=10)).label == "Outside"
    assert browser.facts(AT).changes == ("the frame there does not answer (200, 150)",)
    assert browser.evidence().text == "Outside"
    show(BUTTON)
    assert element(browser).label == "Cancel"


@pytest.mark.parametrize(
    "change",
    [
        "b.textContent = 'Pay'",
        "b.style.top = '60px'",
        f"document.body.insertAdjacentHTML('beforeend', `<div style='{BOX};opacity:0.01;z-index:9'></div>`)",
        "b.insertAdjacentHTML('beforebegin', `<div style='position:fixed;left:195px;top:145px;width:10px;height:10px;"
        "z-index:9'></div>`)",
        f"document.body.insertAdjacentHTML('beforeend', `<a href='/x' style='{BOX}'>Cancel</a>`); b.remove()",
        "over.style.pointerEvents = 'auto'",
        "b.outerHTML = b.outerHTML",
        "b.setAttribute('formaction', '/other')",
        f"document.body.insertAdjacentHTML('beforeend', `<iframe style='{BOX};opacity:0.01;z-index:9' "
        "srcdoc='<body style=height:90px>'></iframe>`)",
        f"document.body.insertAdjacentHTML('beforeend', `<iframe id=f style='{BOX};opacity:0.01;z-index:9'></iframe>`);"
        "f.contentDocument.documentElement.remove()",
    ],
)
def test_change_of_element_is_reported(browser, show, change):
    show(f"<form action=/a>{BUTTON}<div id=over style='{BOX};z-index:3;pointer-events:none'></div></form>")
    assert browser.facts(AT).changes == ()
    browser.evaluate(f"(() => {{ {change} }})()")
    assert browser.facts(AT).changes != ()
    browser.capture()  # what is shown now is seen
    assert browser.facts(AT).changes == ()


def test_change_elsewhere_is_not_reported(browser, show):
    show(f"{BUTTON}<p id=clock>1</p>")
    browser.evaluate("clock.textContent = '2'")
    assert browser.facts(AT).changes == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_change_in_frame_is_reported(browser, site, show, host):
    inner = site.add(
        "<body style='margin:0'><button id=b style='width:300px;height:200px'>Cancel</button>"
        "<script>onmessage = () => b.textContent = 'Pay'</script>"
    )
    show(f"<iframe style='{BOX}' src='{inner.replace('127.0.0.1', host)}'></iframe>")
    assert browser.facts(AT).changes == ()
    browser.evaluate("frames[0].postMessage('go', '*')")
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    assert browser.facts(AT).changes != ()


@pytest.mark.parametrize("action", [AT, TypeText(text="a"), PressKeys(keys=("enter",))])
def test_other_document_is_reported(browser, site, show, action):
    show(BUTTON)
    url = site.add(f"<body style='margin:0'>{BUTTON}")
    browser.evaluate(f"void (location = '{url}')")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert browser.facts(action).changes != ()


def test_moved_focus_is_reported_for_typing(browser, show):
    show("<input id=a><input id=b type=password>")
    browser.evaluate("a.focus()")
    browser.capture()
    assert browser.facts(TypeText(text="x")).focus.field == "text"
    browser.evaluate("b.focus()")
    facts = browser.facts(TypeText(text="x"))
    assert facts.focus.field == "password"
    assert facts.changes == ("the keyboard focus is somewhere else",)
    assert browser.facts(Click(x=5, y=5)).changes == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_focus_in_frame_is_described(browser, site, show, host):
    inner = site.add("<input type=password autofocus style='width:200px;height:80px'>")
    show(f"<iframe style='{BOX}' src='{inner.replace('127.0.0.1', host)}'></iframe>")
    browser.perform(AT)
    browser.capture()
    facts = browser.facts(TypeText(text="x"))
    assert facts.focus is not None
    assert facts.focus.field == "password"


def test_dialog_is_described(browser, show):
    show(BUTTON)
    browser.evaluate("void setTimeout(() => confirm('Delete everything?'))")
    eventually(lambda: browser.asking)
    browser.capture()
    facts = browser.facts(PressKeys(keys=("enter",)))
    assert (facts.window, facts.changes) == ("Delete everything?", ())
    drawn_ok = [browser.facts(Click(x=x, y=y)).elements[0] for y in range(10, 120, 10) for x in range(10, 390, 30)]
    assert "OK" in {item.label for item in drawn_ok}
    browser.perform(PressKeys(keys=("escape",)))


@pytest.mark.parametrize("script", ["confirm('Delete everything?')", "prompt('Delete everything?')"])
def test_enter_in_dialog_activates_ok(browser, show, script):
    show(BUTTON)
    browser.evaluate(f"void setTimeout(() => {script})")
    eventually(lambda: browser.asking)
    browser.capture()
    browser.perform(Click(x=390, y=290))  # beside the dialog's parts, which takes the focus from all of them
    browser.capture()
    facts = browser.facts(TypeText(text="x\n"))
    assert facts.enter is not None
    assert facts.enter.label == "OK"
    browser.perform(PressKeys(keys=("escape",)))


def test_dialog_that_opened_late_is_reported(browser, show):
    show(BUTTON)
    browser.evaluate("void setTimeout(() => alert('late'))")
    eventually(lambda: browser.asking)
    assert browser.facts(AT).changes != ()
    browser.capture()
    browser.perform(PressKeys(keys=("enter",)))


FORGERY = """<script>
Element.prototype.getAttribute = () => 'Safe';
Object.defineProperty(Node.prototype, 'textContent', { get: () => 'Safe' });
Document.prototype.elementFromPoint = () => document.body;
window.pixelhandFacts = { at: () => null, remember: () => '' };
</script>"""


def test_page_cannot_forge_facts(browser, show):
    show(FORGERY + BUTTON)
    assert element(browser).label == "Cancel"


def test_unchanged_page_has_equal_facts(browser, show):
    show(BUTTON)
    assert browser.facts(AT) == browser.facts(AT)
    assert browser.facts(Wait(seconds=1)).changes == ()


def test_visible_text_stands_beside_accessible_name(browser, show):
    show(f"<button aria-label='Next' style='{BOX}'>Pay now</button>")
    assert element(browser).label == "Next (Pay now)"


@pytest.mark.parametrize(
    "change", ["f.action = 'https://a.org/steal'", "i.placeholder = 'Public comment'", "i.type = 'tel'"]
)
def test_altered_focused_field_is_a_change(browser, show, change):
    show("<form id=f action=/save><input id=i autofocus></form>")
    assert browser.facts(TypeText(text="x")).changes == ()
    browser.evaluate(f"void ({change})")
    assert "keyboard focus" in browser.facts(TypeText(text="x")).changes[0]
    assert browser.facts(Wait(seconds=1)).changes == ()
