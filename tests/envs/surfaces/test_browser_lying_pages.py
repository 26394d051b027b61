"""Pages that show a success which did not happen are not verified; their honest twins are."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.eventually import eventually

from actions import Click
from agent.verification.expectations import parse_expectation
from agent.verification.verifier import Verifier

BUTTON = "position:fixed;left:0;top:0;width:400px;height:200px"
SHOW = """history.pushState({}, '', '/saved'); document.title = 'Saved';
document.body.innerHTML = '<p>All changes saved</p><button>Undo</button>';"""
PAGE = """<title>Form</title><button style="%s" onclick="act()">Next</button><script>
const show = () => { %s };
const send = (method, url) => fetch(url, {method, body: 'name=value'});
function act() { %s }</script>"""
FORM = "<title>Form</title><form method=post action={url}><button style='{style}'>Next</button></form>"
SAVED = "<title>Saved</title><p>All changes saved</p><button>Undo</button>"
EXPECTATIONS = ('text "all changes saved"', "title Saved", "url */saved", 'element button "Undo"')
SOME_SLOW = (EXPECTATIONS[0], *(pytest.param(source, marks=pytest.mark.slow) for source in EXPECTATIONS[1:]))
WRITES = {  # {url} answers the lying page with an error and the honest one with success
    "fetch": "send('POST', '{url}').then(show, show)",
    "put": "send('PUT', '{url}').finally(show)",
    "xhr": "const x = new XMLHttpRequest(); x.open('PATCH', '{url}'); x.onloadend = show; x.send('a')",
    "delete": "send('DELETE', '{url}').finally(() => setTimeout(show, 300))",
    "optimistic": "show(); send('POST', '{url}')",
    "retried": "send('POST', '{url}').finally(() => send('POST', '{url}').finally(show))",
}
PAINTED = {
    "painted": "show()",
    "painted later": "setTimeout(show, 500)",
    "after a read": "fetch('{url}').finally(show)",
    "after a beacon": "navigator.sendBeacon('{url}', 'x'); show()",
    "aborted": (
        "const c = new AbortController(), signal = c.signal;"
        "fetch('{url}', {{method: 'PUT', signal}}).catch(show); c.abort()"
    ),
}


def proof_outcome(browser: Any, page: str, source: str) -> str:
    browser.goto(page)
    browser.capture()
    verifier = Verifier([parse_expectation(source)], browser)
    verifier.start()
    browser.perform(Click(x=200, y=100))
    eventually(lambda: not browser.busy())
    browser.capture()
    verifier.observe()
    return verifier.check().outcome


@pytest.mark.parametrize("source", SOME_SLOW)
@pytest.mark.parametrize("way", WRITES)
def test_refused_write_is_refuted(browser: Any, site: Any, way: str, source: str) -> None:
    lie = WRITES[way].replace("{url}", site.add("no", status=500))
    assert proof_outcome(browser, site.add(PAGE % (BUTTON, SHOW, lie)), source) == "refuted"


@pytest.mark.parametrize("source", SOME_SLOW)
@pytest.mark.parametrize("way", WRITES)
def test_accepted_write_is_verified(browser: Any, site: Any, way: str, source: str) -> None:
    act = WRITES[way].replace("{url}", site.add("yes"))
    assert proof_outcome(browser, site.add(PAGE % (BUTTON, SHOW, act)), source) == "verified"


@pytest.mark.parametrize("source", SOME_SLOW)
@pytest.mark.parametrize("way", PAINTED)
def test_painted_success_is_not_verified(browser: Any, site: Any, way: str, source: str) -> None:
    act = PAINTED[way].format(url=site.add("yes"))
    assert proof_outcome(browser, site.add(PAGE % (BUTTON, SHOW, act)), source) != "verified"


@pytest.mark.parametrize("source", EXPECTATIONS[:2])
def test_stale_success_is_not_verified(browser: Any, site: Any, source: str) -> None:
    assert proof_outcome(browser, site.add(SAVED), source) == "claimed"


@pytest.mark.parametrize(("status", "outcome"), [(200, "verified"), (409, "refuted"), (500, "refuted")])
def test_form_is_judged_by_its_answer(browser: Any, site: Any, status: int, outcome: str) -> None:
    form = FORM.format(url=site.add(SAVED, status=status), style=BUTTON)
    assert proof_outcome(browser, site.add(form), EXPECTATIONS[0]) == outcome


def test_text_in_shadow_root_is_read(browser: Any, site: Any) -> None:
    act = "send('POST', '{url}').then(() => document.body.attachShadow({mode: 'open'}).innerHTML = '<p>Saved it</p>')"
    page = PAGE % (BUTTON, SHOW, act.replace("{url}", site.add("yes")))
    assert proof_outcome(browser, site.add(page), 'text "saved it"') == "verified"


def test_page_cannot_change_what_is_read(browser: Any, site: Any) -> None:
    fake = "Object.defineProperty(HTMLElement.prototype, 'innerText', {get: () => 'All changes saved'})"
    act = fake + f"; send('POST', '{site.add('yes')}')"
    assert proof_outcome(browser, site.add(PAGE % (BUTTON, SHOW, act)), EXPECTATIONS[0]) == "refuted"
