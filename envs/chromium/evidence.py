"""Evidence of the browser: what the shown page contains, and which requests its server answered."""

from __future__ import annotations

from contextlib import suppress

from playwright.async_api import Error

from actions.evidence import ScreenEvidence
from envs.chromium.address import hide_userinfo
from envs.chromium.session import BrowserSession


async def read_evidence(session: BrowserSession) -> ScreenEvidence:
    """Return what the shown page and the requests of all pages tell; no content where no script runs in the page."""
    tabs, page = session.tabs, session.tabs.shown
    requests = tabs.requests.records
    if page is None:
        return ScreenEvidence(url="", requests=requests)
    content, title = None, ""
    if session.scriptable_page is not None:
        content = await session.facts_reader.content(page, await tabs.session(page))
        with suppress(Error):  # the page navigates
            title = await page.title()
    text, elements = content if content is not None else (None, None)
    return ScreenEvidence(hide_userinfo(page.url), (title,), text, elements, requests)
