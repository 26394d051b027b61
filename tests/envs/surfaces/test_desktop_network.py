"""The network rules of Chromium on a virtual desktop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.desktop_programs import require_programs, require_window_manager
from helpers.eventually import eventually

from actions import UsageError
from envs.network.rules import NetworkRules
from envs.options import SurfaceOptions
from envs.surfaces.desktop import Surface, open_surface
from perf.guard_cases.network_ways import PASSIVE, add_pages
from perf.guard_cases.sites import CanarySites, WebPage, canary_sites


@pytest.fixture(scope="module")
def sites() -> Iterator[CanarySites]:
    require_programs("Xvfb")
    require_window_manager()
    with canary_sites() as both:
        add_pages(both)
        both.pages["/all"] = WebPage("".join(page.body for name, page in both.pages.items() if name[1:] in PASSIVE))
        yield both


@pytest.fixture(scope="module")
def desktop(chrome: str, sites: CanarySites) -> Iterator[Surface]:
    rules = NetworkRules(("127.0.0.1",))
    options = SurfaceOptions(where="virtual", url=f"{sites.allowed}/blank", width=600, height=500, network=rules)
    with open_surface(options) as surface:
        yield surface


def test_passive_ways_reach_nothing(desktop: Surface, sites: CanarySites) -> None:
    desktop.goto(f"{sites.allowed}/all")
    notices: list[str] = []

    def is_reported() -> bool:
        desktop.capture()
        notices.append(desktop.pop_notices())
        return f"--allow-host localhost:{sites.canary_port}" in "".join(notices)

    eventually(is_reported)
    assert "/all" in sites.served
    assert sites.hits == []


def test_refused_document_is_counted_once(desktop: Surface, sites: CanarySites) -> None:
    desktop.goto(f"{sites.allowed}/blank")
    assert desktop.pop_refusals() == 0
    desktop.goto(f"{sites.allowed}/location")
    assert eventually(desktop.pop_refusals) == 1
    assert desktop.pop_refusals() == 0
    assert sites.hits == []


def test_goto_outside_of_list_is_a_usage_error(desktop: Surface, sites: CanarySites) -> None:
    with pytest.raises(UsageError, match="--allow-host localhost"):
        desktop.goto(sites.canary)
    assert sites.hits == []


def test_unlisted_start_address_is_a_usage_error(sites: CanarySites) -> None:
    options = SurfaceOptions(where="virtual", url=sites.canary, network=NetworkRules(("127.0.0.1",)))
    with pytest.raises(UsageError, match="--allow-host localhost"):
        open_surface(options)
