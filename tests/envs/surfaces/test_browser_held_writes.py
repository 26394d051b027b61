"""Held requests of the browser surface: what would change something waits, is described, and is sent once or never."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from helpers.eventually import eventually
from helpers.write_site import BUTTON, LoggedRequest, WriteSite, serve_writes

from actions import Click, Open, SurfaceError, UsageError
from actions.held_writes import HeldWrite, SupportsHeldWrites
from envs.factory import check_options, open_surface
from envs.network.rules import NetworkRules
from envs.options import SurfaceOptions
from envs.surfaces.browser import Surface

LATE_S = 0.5  # in which what was not held would have arrived
LOCAL_SITES = NetworkRules(named=("127.0.0.1:*", "localhost:*"))
FORM = f"<form method=post action='/form' TARGET><input name=item value='a b&c'><button {BUTTON}>GO</button></form>"
WAYS = {  # a page: the method and path of what it sends, and the body
    f"<button {BUTTON} onclick='f.requestSubmit()'>GO</button><form id=f method=post action=/form>"
    "<input name=item value='a b&c'></form>": ("POST", "/form", b"item=a+b%26c"),
    FORM.replace("TARGET", "target=_blank"): ("POST", "/form", b"item=a+b%26c"),
    FORM.replace("TARGET", "enctype=text/plain"): ("POST", "/form", b"item=a b&c\r\n"),
    FORM.replace("'/form'", "'OTHER/form'"): ("POST", "/form", b"item=a+b%26c"),
    "<script>fetch('/put', {method: 'PUT', body: 'ä'})</script>": ("PUT", "/put", "ä".encode()),
    "<script>fetch('/patch', {method: 'PATCH', body: new Uint8Array([0, 255, 7])})</script>": (
        "PATCH",
        "/patch",
        b"\0\xff\7",
    ),
    "<script>fetch('OTHER/cross', {method: 'PUT', body: 'c'})</script>": ("PUT", "/cross", b"c"),
    "<script>x = new XMLHttpRequest; x.open('DELETE', '/xhr'); x.send()</script>": ("DELETE", "/xhr", b""),
    "<script>navigator.sendBeacon('/beacon', 'b')</script>": ("POST", "/beacon", b"b"),
    "<script>fetch('/keepalive', {method: 'POST', body: 'k', keepalive: true})</script>": ("POST", "/keepalive", b"k"),
    f"<a {BUTTON} href='#x' ping='/ping'>GO</a>": ("POST", "/ping", b"PING"),
    "<iframe src='OTHER/frame'></iframe>": ("POST", "/in-frame", b"f"),
    "<iframe src='OTHER/frame-form'></iframe>": ("POST", "/frame-sent", b"q=1"),
    f"<button {BUTTON} onclick=\"window.open('/popup')\">GO</button>": ("POST", "/in-popup", b"p"),
    "<script>new Worker('/worker.js')</script>": ("POST", "/in-worker", b"w"),
    "<script>new SharedWorker('/shared.js')</script>": ("POST", "/in-shared", b"s"),
}
OTHER_PAGES = {
    "/blank": "<title>blank</title>",
    "/frame": "<script>fetch('/in-frame', {method: 'POST', body: 'f'})</script>",
    "/frame-form": "<form id=f method=post action=/frame-sent><input name=q value=1></form><script>f.submit()</script>",
    "/popup": "<script>fetch('/in-popup', {method: 'POST', body: 'p'})</script>",
    "/worker.js": "fetch('/in-worker', {method: 'POST', body: 'w'})",
    "/shared.js": "fetch('/in-shared', {method: 'POST', body: 's'})",
}


@pytest.fixture(scope="module")
def site() -> Iterator[WriteSite]:
    with serve_writes() as served:
        for path, html in OTHER_PAGES.items():
            served.add(path, html)
        for number, html in enumerate(WAYS):
            served.add(f"/way/{number}", html)
        yield served


@pytest.fixture(scope="module")
def holding(chrome: str, site: WriteSite) -> Iterator[Surface]:
    """Return a browser that holds writes."""
    with Surface(
        f"{site.origin}/blank", width=400, height=300, executable=chrome, network=LOCAL_SITES, hold_writes=True
    ) as surface:
        yield surface


@pytest.fixture
def start(holding: Surface, site: WriteSite) -> Callable[[str], HeldWrite]:
    """Return a function that opens a page, clicks its middle and returns what is held then."""
    holding.drop_writes([write.number for write in holding.held_writes()])
    holding.goto(f"{site.origin}/blank")
    holding.drop_writes([write.number for write in holding.held_writes()])
    holding.pop_notices()
    site.log.clear()

    def open_page(address: str) -> HeldWrite:
        holding.goto(address)
        holding.capture()
        if "GO</" in site.pages[address.removeprefix(site.origin)]:
            holding.perform(Click(x=200, y=150))
        return eventually(holding.held_writes)[0]

    return open_page


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_dropped_write_never_arrives(
    start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite, number: int
) -> None:
    write = start(f"{site.origin}/way/{number}")
    time.sleep(LATE_S)
    assert [waiting.number for waiting in holding.held_writes()] == [write.number]
    assert [outcome.status for outcome in holding.drop_writes([write.number])] == ["dropped"]
    time.sleep(LATE_S)
    holding.capture()
    assert site.writes == []
    assert holding.held_writes() == ()


def test_page_that_waits_is_not_asked(
    start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(f"{site.origin}/way/0")

    async def ask(*arguments: object) -> None:
        pytest.fail("Chromium runs no script in a page whose next document is held")

    for question in ("content", "targets", "mask", "read", "remember"):
        monkeypatch.setattr(holding._session.facts_reader, question, ask)
    holding.capture()
    evidence = holding.evidence()
    assert (evidence.text, evidence.elements) == (None, None)
    assert holding.targets() is None
    assert not holding.mask_field()
    assert holding.facts(Click(x=5, y=5)).elements == ()


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_sent_write_arrives_once(
    start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite, number: int
) -> None:
    method, path, body = list(WAYS.values())[number]
    write = start(f"{site.origin}/way/{number}")
    assert (write.method, write.url.endswith(path), write.size) == (method, True, len(body))
    assert site.writes == []
    (outcome,) = holding.send_writes([write.number])
    assert (outcome.status, outcome.detail) == ("sent", "200")
    time.sleep(LATE_S)
    assert [(request.method, request.path, request.body) for request in site.writes] == [(method, path, body)]
    holding.capture()


def test_reads_go_on(holding: Surface, site: WriteSite, start: Callable[[str], HeldWrite]) -> None:
    address = site.add(
        "/reads",
        "<form action=/search><input name=q value=1></form><script>fetch('/head', {method: 'HEAD'});"
        "fetch('/read?a=1');fetch('OTHER/allowed', {headers: {'X-A': '1'}})</script>",
    )
    holding.goto(address)
    holding.capture()
    holding.evaluate("document.forms[0].submit()")
    eventually(lambda: {"/head", "/read?a=1", "/allowed", "/search?q=1"} <= {request.path for request in site.log})
    assert "OPTIONS" in {request.method for request in site.log}
    assert holding.held_writes() == ()


@pytest.mark.parametrize("path", ["/repeat", "/repeat-elsewhere"])
def test_redirect_that_repeats_is_held(
    start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite, path: str
) -> None:
    write = start(site.add("/redirecting", FORM.replace("/form", path)))
    (outcome,) = holding.send_writes([write.number])
    assert outcome.detail in ("307", "308")
    (hop,) = eventually(holding.held_writes)
    assert hop.url.endswith("/after")
    assert [request.path for request in site.writes] == [path]
    holding.drop_writes([hop.number])
    time.sleep(LATE_S)
    assert [request.path for request in site.writes] == [path]


def test_redirect_to_page_is_followed(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    write = start(site.add("/leading", FORM.replace("/form", "/see-other")))
    (outcome,) = holding.send_writes([write.number])
    assert outcome.detail == "303"
    eventually(lambda: holding.url.endswith("/after"))
    assert holding.held_writes() == ()


def test_page_of_held_form_stays_usable(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    write = start(site.add("/waiting", FORM))
    assert not holding.busy()
    assert not holding.is_working()
    notices = f"{holding.pop_notices()}; {holding.perform(Click(x=200, y=150))}"
    assert "held: POST" in notices
    assert "not done" in notices
    assert holding.facts(Click(x=200, y=150)).url.endswith("/waiting")
    with pytest.raises(SurfaceError, match="held"):
        holding.evaluate("1")
    holding.drop_writes([write.number])
    assert eventually(lambda: not holding._session._waits_for_person())
    assert holding.evaluate("location.pathname") == "/waiting"
    assert site.writes == []


def test_leaving_page_withdraws_its_form(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    write = start(site.add("/left", FORM))
    holding.perform(Open(target=f"{site.origin}/blank"))
    (outcome,) = holding.send_writes([write.number])
    assert outcome.status == "withdrawn"
    time.sleep(LATE_S)
    assert site.writes == []


def test_closed_page_sends_no_held_write(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    start(
        site.add(
            "/leaving",
            "<script>onpagehide = () => navigator.sendBeacon('/late-beacon', 'l');"
            "fetch('/early', {method: 'POST', body: 'e', keepalive: true})</script>",
        )
    )
    holding.goto(f"{site.origin}/blank")
    eventually(lambda: [write.url for write in holding.held_writes() if "late-beacon" in write.url])
    time.sleep(LATE_S)
    assert site.writes == []


def test_alike_writes_are_sent_at_once(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    page = "<script>save = n => fetch('/save?n=' + n, {method: 'POST', body: n}); save('1')</script>"
    write = start(site.add("/saving", page))
    holding.send_writes([write.number], alike=True)
    holding.evaluate("void save('2')")
    holding.evaluate("void fetch('/other', {method: 'POST'})")
    eventually(lambda: len(site.writes) == 2)
    (outcome,) = eventually(holding.pop_write_outcomes)
    assert (outcome.status, outcome.write.preview) == ("sent", "2")
    assert [waiting.url.endswith("/other") for waiting in eventually(holding.held_writes)] == [True]
    assert [request.body for request in site.writes] == [b"1", b"2"]


def test_failed_connection_is_reported(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    write = start(site.add("/unreachable", "<script>fetch('http://127.0.0.1:1/x', {method: 'POST'})</script>"))
    (outcome,) = holding.send_writes([write.number])
    assert outcome.status == "failed"


def test_websocket_is_refused(start: Callable[[str], HeldWrite], holding: Surface, site: WriteSite) -> None:
    sockets = f"ws://127.0.0.1:{site.port}/ws", f"wss://localhost:{site.port}/ws"
    script = "".join(f"new WebSocket('{url}');" for url in sockets)
    holding.goto(site.add("/sockets", f"<script>{script}new Worker('/sockets.js')</script>"))
    site.add("/sockets.js", f"new WebSocket('{sockets[0]}')")
    notices: list[str] = []

    def has_notices() -> bool:
        holding.capture()
        notices.append(holding.pop_notices())
        return all(host in "".join(notices) for host in ("127.0.0.1", "localhost"))

    eventually(has_notices)
    assert "WebSocket" in "".join(notices)
    assert "--hold-writes" in "".join(notices)
    time.sleep(LATE_S)
    assert not any(request.path == "/ws" for request in site.log)


def test_synchronous_request_waits_while_page_reopens(chrome: str, site: WriteSite) -> None:
    site.log.clear()
    script = "x = new XMLHttpRequest; x.open('POST', '/sync', false); x.send('s')"
    address = site.add("/synchronous", f'<button {BUTTON} onclick="{script}">GO</button>')
    with Surface(
        address, width=400, height=300, executable=chrome, network=LOCAL_SITES, hold_writes=True, timeout_s=1.5
    ) as surface:
        surface.capture()
        surface.perform(Click(x=200, y=150))
        surface.capture()
        assert surface.url == address
        time.sleep(LATE_S)
        assert site.writes == []
        surface.drop_writes([1])
        time.sleep(LATE_S)
    assert site.writes == []


def test_closing_browser_sends_nothing(chrome: str, site: WriteSite) -> None:
    site.log.clear()
    address = site.add(
        "/closing",
        "<script>onpagehide = () => navigator.sendBeacon('/at-end', 'l');"
        "fetch('/at-start', {method: 'POST', body: 'e', keepalive: true});</script>",
    )
    with Surface(address, width=400, height=300, executable=chrome, network=LOCAL_SITES, hold_writes=True) as surface:
        eventually(surface.held_writes)
    time.sleep(LATE_S)
    assert site.writes == []


def test_killed_driver_sends_nothing(chrome: str, site: WriteSite) -> None:
    """Chromium lets paused requests go on when a session ends; that of the browser itself ends with the browser."""
    import psutil

    site.log.clear()
    address = site.add(
        "/orphaned", "<script>for (let n = 0; n < 5; n++) fetch('/orphan', {method: 'POST', body: n})</script>"
    )
    before = set(psutil.Process().children(recursive=True))
    with Surface(address, width=400, height=300, executable=chrome, network=LOCAL_SITES, hold_writes=True) as surface:
        eventually(lambda: len(surface.held_writes()) == 5)
        drivers = [child for child in set(psutil.Process().children()) - before if "node" in child.name()]
        assert drivers
        for driver in drivers:
            driver.kill()
        time.sleep(LATE_S)
    assert site.writes == []


def test_browser_without_holding_has_no_writes(chrome: str, site: WriteSite) -> None:
    site.log.clear()
    address = site.add("/free", "<script>fetch('/freely', {method: 'POST', body: 'f'})</script>")
    with Surface(address, width=400, height=300, executable=chrome, network=LOCAL_SITES) as surface:
        eventually(lambda: site.writes)
        assert isinstance(surface, SupportsHeldWrites)
        assert surface.held_writes() == ()
        with pytest.raises(UsageError):
            surface.send_writes([1])
    assert site.writes == [LoggedRequest("POST", "/freely", b"f", "text/plain;charset=UTF-8")]


@pytest.mark.parametrize("name", ["android", "desktop", "desktop:virtual", "image:a.png"])
def test_other_surfaces_reject_holding(name: str) -> None:
    options = SurfaceOptions(hold_writes=True)
    assert any("--hold-writes" in problem for problem in check_options(name, options))
    with pytest.raises(UsageError, match="--hold-writes"):
        open_surface(name, options)
