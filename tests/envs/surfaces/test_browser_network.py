"""The network rules of the browser surface: nothing a page does reaches a host that is not allowed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from helpers.eventually import eventually

from actions import Back, Click, Home, Open, UsageError
from envs.network.rules import NetworkRules
from envs.surfaces.browser import Surface
from perf.guard_cases.network_ways import BIG, CLICKED, DOCUMENTS, PASSIVE, SILENT, add_pages
from perf.guard_cases.sites import CanarySites, WebPage, canary_sites

WAIT_S = 1.0  # for what a page does late
MIDDLE = Click(x=200, y=150)
WAYS = [*CLICKED, *DOCUMENTS, *PASSIVE]


@pytest.fixture(scope="module")
def sites() -> Iterator[CanarySites]:
    with canary_sites() as both:
        add_pages(both)
        both.pages["/all"] = WebPage("".join(page.body for name, page in both.pages.items() if name[1:] in PASSIVE))
        yield both


@pytest.fixture(scope="module")
def confined(chrome: str, sites: CanarySites) -> Iterator[Surface]:
    """Return a browser that may connect to the allowed site only."""
    rules = NetworkRules(("127.0.0.1",))
    with Surface(f"{sites.allowed}/blank", width=400, height=300, executable=chrome, network=rules) as surface:
        yield surface


@pytest.fixture
def restarted(confined: Surface, sites: CanarySites) -> Surface:
    """Return the same browser with one empty tab and no hosts reported."""
    confined.goto(f"{sites.allowed}/blank")
    confined.capture()
    confined.pop_notices()
    confined.pop_refusals()
    confined._session.proxy._reported.clear()
    sites.hits.clear()
    sites.served.clear()
    return confined


def take_way(surface: Surface, sites: CanarySites, name: str) -> str:
    """Open the page of a way as a model does, click it where it waits for a click; return the notices."""
    notices = surface.perform(Open(target=f"{sites.allowed}/{name}"))
    surface.capture()
    if name in CLICKED:
        notices += surface.perform(MIDDLE)
    time.sleep(WAIT_S)
    surface.capture()
    return f"{notices}; {surface.pop_notices()}"


def test_passive_ways_together_reach_nothing(restarted: Surface, sites: CanarySites) -> None:
    notices = take_way(restarted, sites, "all")
    assert "/all" in sites.served
    assert sites.hits == []
    assert f"rule 'hosts': localhost:{sites.canary_port}" in notices
    assert f"--allow-host localhost:{sites.canary_port}" in notices
    assert notices.count("localhost") == 2  # one line for the host, which names the remedy
    assert restarted.pop_refusals() == 0  # the page itself was not refused


@pytest.mark.parametrize("name", ["link", "popup", "form", "redirect", "meta-refresh", "location", "blob-page"])
def test_refused_document_is_counted(restarted: Surface, sites: CanarySites, name: str) -> None:
    notices = take_way(restarted, sites, name)
    assert f"/{name}" in sites.served
    assert sites.hits == []
    assert "rule 'hosts'" in notices
    assert restarted.pop_refusals() == (name != "blob-page")  # whose image alone is refused


def test_host_is_reported_once(restarted: Surface, sites: CanarySites) -> None:
    assert "rule 'hosts'" in take_way(restarted, sites, "link")
    notices = take_way(restarted, sites, "form")
    assert "rule 'hosts'" not in notices
    assert "refused by the network rules" in notices


def test_back_and_home_after_refusal_work(restarted: Surface, sites: CanarySites) -> None:
    take_way(restarted, sites, "link")
    restarted.perform(Back())
    eventually(lambda: restarted.url == f"{sites.allowed}/link")
    restarted.capture()
    restarted.perform(Home())
    assert restarted.url == f"{sites.allowed}/blank"
    assert sites.hits == []


def test_other_port_of_allowed_host_is_refused(restarted: Surface, sites: CanarySites) -> None:
    sites.pages["/port"] = WebPage(f"<img src='http://127.0.0.1:{sites.canary_port}/port'>")
    assert f"127.0.0.1:{sites.canary_port}" in take_way(restarted, sites, "port")
    assert sites.hits == []


@pytest.mark.parametrize(
    "scheme", ["file", "chrome", "devtools", "chrome-extension", "view-source", "javascript", "data"]
)
def test_page_cannot_open_other_schemes(restarted: Surface, sites: CanarySites, scheme: str) -> None:
    address = {
        "file": "file:///etc/passwd",
        "chrome": "chrome://version",
        "devtools": "devtools://devtools/bundled/inspector.html",
        "chrome-extension": "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/index.html",
        "view-source": "view-source:file:///etc/passwd",
        "javascript": f"javascript:void fetch('{sites.canary}/javascript')",
        "data": f"data:text/html,<img src='{sites.canary}/data'>",
    }[scheme]
    sites.pages["/scheme"] = WebPage(f'<a {BIG} href="{address}">GO</a>')
    restarted.perform(Open(target=f"{sites.allowed}/scheme"))
    restarted.capture()
    restarted.perform(MIDDLE)
    restarted.capture()
    assert restarted.url.startswith((f"{sites.allowed}/scheme", "about:blank", "chrome-error:"))
    assert sites.hits == []


def test_public_rules_refuse_private_addresses(chrome: str, sites: CanarySites) -> None:
    sites.pages["/private"] = WebPage(
        "".join(
            f"<img src='http://{host}:{sites.canary_port}/private'>"
            for host in (
                "localhost",
                "127.0.0.1",
                "[::1]",
                "0.0.0.0",
                "2130706433",
                "0x7f.1",
                "[::ffff:7f00:1]",
                "a.localhost",
            )
        )
        + "<img src='http://169.254.169.254/latest/meta-data/'><img src='http://10.0.0.1/'>"
    )
    sites.hits.clear()
    with Surface(f"{sites.allowed}/blank", width=400, height=300, executable=chrome) as surface:
        notices = take_way(surface, sites, "private")
        for host in ("localhost", "127.0.0.1", "0.0.0.0", "a.localhost", "169.254.169.254", "10.0.0.1"):
            assert f"rule 'private': {host}" in notices
        assert sites.hits == []
        surface.goto(f"{sites.canary}/goto")  # by the user or a task
        assert "GET /goto" in sites.hits


def test_unlisted_start_address_is_a_usage_error(chrome: str, sites: CanarySites) -> None:
    with pytest.raises(UsageError, match="--allow-host localhost"):
        Surface(sites.canary, executable=chrome, network=NetworkRules(("127.0.0.1",)))


def test_goto_outside_of_list_is_a_usage_error(restarted: Surface, sites: CanarySites) -> None:
    with pytest.raises(UsageError, match="--allow-host localhost"):
        restarted.goto(f"{sites.canary}/goto")
    assert sites.hits == []


def test_failed_connection_names_its_reason(restarted: Surface) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    restarted._session.proxy.allow_address(url)
    notices = restarted.perform(Open(target=url))
    assert "net::ERR_SOCKS_CONNECTION_FAILED: connection refused" in notices
    assert restarted.pop_refusals() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_way_reaches_nothing(restarted: Surface, sites: CanarySites, name: str) -> None:
    take_way(restarted, sites, name)
    assert f"/{name}" in sites.served
    assert sites.hits == []


@pytest.fixture(scope="module")
def unconfined(chrome: str, sites: CanarySites) -> Iterator[Surface]:
    rules = NetworkRules(named=("127.0.0.1:*", "localhost:*"))
    with Surface(f"{sites.allowed}/blank", width=400, height=300, executable=chrome, network=rules) as surface:
        yield surface


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WAYS if name not in SILENT])
def test_way_reaches_canary_that_is_allowed(unconfined: Surface, sites: CanarySites, name: str) -> None:
    """Prove that each way is one: otherwise the test above could not fail."""
    unconfined.goto(f"{sites.allowed}/blank")
    sites.hits.clear()
    unconfined.capture()
    take_way(unconfined, sites, name)
    eventually(lambda: any(hit != "GET /favicon.ico" for hit in sites.hits))
