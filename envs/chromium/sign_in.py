"""HTTP authentication: what a page requests, and how it is loaded with credentials.

Chromium draws its prompt around the page, where screenshots and input do not reach, and headless it fails the
navigation instead. The prompt is drawn as dialogs are. Requests are intercepted only while the page loads again with
what was entered; Chromium then keeps the credentials for the origin, until the browser ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, CDPSession, Error, Page, Request, Route

from envs.chromium.dialog import quoted
from envs.chromium.navigation import open_address, reload

MAX_ASKED, ASK_S = 2, 1.5

# The body is decoded already, and cookies are stored when the response arrives.
REPLACED_HEADERS = frozenset({"www-authenticate", "content-encoding", "content-length", "set-cookie"})


def site_origin(url: str) -> str:
    """Return scheme, host and port of an address, without the credentials that it may contain."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def load_with(
    credentials: tuple[str, str], page: Page, session: CDPSession, origin: str, timeout_s: float, address: str = ""
) -> str:
    """Load a page and answer the first challenge of an origin; return what failed, "" if nothing did.

    Args:
        credentials: User name and password.
        page: The page.
        session: Its CDP session.
        origin: Scheme, host and port of the only challenge that is answered.
        timeout_s: Seconds until the load counts as failed.
        address: What to load, while the page has not failed to its end and cannot be loaded again; "" for the page.
    """
    is_answered = False
    sent: set[asyncio.Future[Any]] = set()

    def send(method: str, options: dict[str, Any]) -> None:
        task = asyncio.ensure_future(session.send(method, options))
        sent.add(task)
        task.add_done_callback(sent.discard)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # the request may be gone

    def pass_on(event: dict[str, Any]) -> None:
        send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def answer(event: dict[str, Any]) -> None:
        nonlocal is_answered
        response = {"response": "Default"}  # the load fails, and a new prompt is drawn
        if not is_answered and event["authChallenge"]["origin"].rstrip("/") == origin:
            is_answered = True
            response = {"response": "ProvideCredentials", "username": credentials[0], "password": credentials[1]}
        send("Fetch.continueWithAuth", {"requestId": event["requestId"], "authChallengeResponse": response})

    session.on("Fetch.requestPaused", pass_on)
    session.on("Fetch.authRequired", answer)
    try:
        await session.send("Fetch.enable", {"handleAuthRequests": True, "patterns": [{"urlPattern": f"{origin}/*"}]})
        if address:
            return await open_address(page, session, address, timeout_s, str)
        return await reload(page, session, timeout_s)
    finally:
        session.remove_listener("Fetch.requestPaused", pass_on)
        session.remove_listener("Fetch.authRequired", answer)
        with contextlib.suppress(Error):  # the page was closed
            await session.send("Fetch.disable")


async def load_without(page: Page, session: CDPSession, origin: str, timeout_s: float) -> str:
    """Load a page again as the server sends it without credentials; return what failed, "" if nothing did.

    Headless Chromium fails on a challenge without an answer, so the response is passed on without its challenge.
    """

    async def give(route: Route) -> None:
        try:
            response = await route.fetch(max_redirects=0)
            headers = {name: value for name, value in response.headers.items() if name not in REPLACED_HEADERS}
            await route.fulfill(response=response, headers=headers)
        except Error:
            await route.continue_()

    def is_asked(url: str) -> bool:
        return site_origin(url) == origin

    await page.route(is_asked, give)
    try:
        return await reload(page, session, timeout_s)
    finally:
        with contextlib.suppress(Error):  # the page was closed
            await page.unroute(is_asked, give)


async def find_challenge(context: BrowserContext, requests: Sequence[Request]) -> str:
    """Return a notice of the first request that waits for credentials, "" if none does.

    Chromium prompts for them outside of the page and reports nothing about it, so the requests are repeated.
    """
    for request in [request for request in requests if request.method == "GET"][:MAX_ASKED]:
        try:
            response = await context.request.get(request.url, max_redirects=0, timeout=ASK_S * 1000)
        except Error:
            continue
        if response.status == 401 and "www-authenticate" in response.headers:
            return part_notice(request.url)
    return ""


def part_notice(url: str) -> str:
    """Return the notice of a frame, an image or a script's request that needs credentials."""
    return (
        f"a part of the page asks for a user name and password: open {quoted(url, 200)} to enter them, "
        "then come back and load the page again"
    )
