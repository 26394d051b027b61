"""Navigation of one page: open, back, forward and reload, with failures as sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import CDPSession, Error, Page
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from envs.chromium.dialog import quoted

SWAP_ATTEMPTS, SWAP_PAUSE_S = 20, 0.05
AUTHENTICATION_FAILED = "net::ERR_INVALID_AUTH_CREDENTIALS"  # a prompt is drawn then
LOAD_S = 5.0  # for images and scripts after the document; a slower page is shown as far as it got


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without the log that Playwright appends."""
    message = (error.message if isinstance(error, Error) else str(error)).strip()
    return message.splitlines()[0] if message else type(error).__name__


async def open_address(
    page: Page,
    session: CDPSession,
    address: str,
    timeout_s: float,
    explain: Callable[[str], str],
    shown_as: str = "",
) -> str:
    """Navigate to `address` and wait until it answers; return what failed, "" if nothing did.

    Args:
        page: The page.
        session: Its CDP session.
        address: What to open.
        timeout_s: Seconds to wait for the answer.
        explain: Returns the text of a network error from Chromium's error code.
        shown_as: The address in messages, if it is another.
    """
    try:
        await page.goto(address, wait_until="commit", timeout=timeout_s * 1000)
    except PlaywrightTimeoutError:
        await _send(session, "Page.stopLoading")  # else the page is replaced whenever the answer arrives
        return f"{quoted(shown_as or address, 200)} did not answer within {timeout_s:.0f} s"
    except Error as error:
        reason = first_line(error)
        if "Download is starting" in reason:
            return f"{quoted(shown_as or address, 200)} is a download, and was refused"
        if AUTHENTICATION_FAILED in reason:
            return ""
        return f"{quoted(shown_as or address, 200)} was not opened ({explain(_error_code(reason))})"
    return ""


async def wait_loaded(page: Page, timeout_s: float) -> None:
    """Wait for the page's load event, at most `timeout_s`."""
    try:
        await page.wait_for_load_state("load", timeout=timeout_s * 1000)
    except PlaywrightTimeoutError:
        pass


async def go_back(page: Page, session: CDPSession, timeout_s: float) -> str | None:
    """Go one step back in the tab's history; return what failed, "" if nothing did, None if there is no step."""
    current, entries = await _history(session)
    if current == 0 or (current == 1 and entries[0]["url"] == "about:blank"):  # every tab starts with an empty page
        return None
    work = page.go_back(wait_until="commit", timeout=timeout_s * 1000)
    return await _navigate(work, session, timeout_s, "the page before")


async def go_forward(page: Page, session: CDPSession, timeout_s: float) -> str | None:
    """Go one step forward in the tab's history; return what failed, "" if nothing did, None if there is no step."""
    current, entries = await _history(session)
    if current + 1 >= len(entries):
        return None
    work = page.go_forward(wait_until="commit", timeout=timeout_s * 1000)
    return await _navigate(work, session, timeout_s, "the next page")


async def reload(page: Page, session: CDPSession, timeout_s: float) -> str:
    """Load the page again; return what failed, "" if nothing did."""
    return await _navigate(page.reload(wait_until="commit", timeout=timeout_s * 1000), session, timeout_s, "the page")


async def _navigate(work: Awaitable[object], session: CDPSession, timeout_s: float, subject: str) -> str:
    try:
        await work
    except PlaywrightTimeoutError:
        await _send(session, "Page.stopLoading")
        return f"{subject} did not answer within {timeout_s:.0f} s"
    except Error as error:
        reason = first_line(error)
        return "" if AUTHENTICATION_FAILED in reason else f"the page stayed ({_error_code(reason)})"
    return ""


async def _history(session: CDPSession) -> tuple[int, list[dict[str, Any]]]:
    """Return the index of the current entry and all entries."""
    history = await _send(session, "Page.getNavigationHistory")
    return history["currentIndex"], history["entries"]


async def _send(session: CDPSession, method: str) -> dict[str, Any]:
    """Send a command, again if the session is detached for a moment while one document replaces another."""
    for _ in range(SWAP_ATTEMPTS):
        try:
            return await session.send(method)
        except Error as error:
            if "Not attached" not in error.message:
                raise
        await asyncio.sleep(SWAP_PAUSE_S)
    return await session.send(method)


def _error_code(reason: str) -> str:
    """Return "net::ERR_NAME_NOT_RESOLVED" out of a longer line, or the line."""
    return next((word for word in reason.split() if word.startswith("net::")), reason)
