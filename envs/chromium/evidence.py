"""Evidence of the browser: what the shown page contains, and which requests its server answered."""

from __future__ import annotations

from playwright.async_api import Error

from actions.evidence import ScreenEvidence
from envs.chromium.address import hide_userinfo
from envs.chromium.facts import FactsReader
from envs.chromium.tabs import Tabs


async def read_evidence(tabs: Tabs, facts: FactsReader) -> ScreenEvidence:
    """Return what the shown page and the requests of all pages tell.

    Args:
        tabs: The tabs.
        facts: Reads the page in an isolated world.
    """
    page, requests = tabs.shown, tabs.requests.records
    if page is None:
        return ScreenEvidence(url="", requests=requests)
    content = None if tabs.dialogs else await facts.content(page, await tabs.session(page))
    try:
        title = "" if tabs.dialogs else await page.title()
    except Error:  # the page navigates
        title = ""
    text, elements = content if content is not None else (None, None)
    return ScreenEvidence(hide_userinfo(page.url), (title,), text, elements, requests)
