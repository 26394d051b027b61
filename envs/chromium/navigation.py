"""From address to address in one page: open and back. Knows Playwright's ways of failing; says them in words."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import CDPSession, Error, Page
from playwright.async_api import TimeoutError as LateError

from envs.chromium.dialog import quoted

SWAP_TRIES, SWAP_PAUSE_S = 20, 0.05
LOAD_S = 5.0  # for pictures and scripts after a page came; a slower one is shown as far as it got


def first_line(error: BaseException) -> str:
    """What an error says, without the log that Playwright adds."""
    message = (error.message if isinstance(error, Error) else str(error)).strip()
    return message.splitlines()[0] if message else type(error).__name__


async def open_address(page: Page, session: CDPSession, address: str, timeout_s: float, shown_as: str = "") -> str:
    """Until the address answered. What failed, in words; "" when nothing did."""
    try:
        await page.goto(address, wait_until="commit", timeout=timeout_s * 1000)
    except LateError:
        await _send(session, "Page.stopLoading")  # else the page is held, and gives way whenever the answer comes
        return f"{quoted(shown_as or address, 200)} did not answer within {timeout_s:.0f} s"
    except Error as error:
        reason = first_line(error)
        if "Download is starting" in reason:
            return f"{quoted(shown_as or address, 200)} is a download, and was refused"
        return f"{quoted(shown_as or address, 200)} was not opened ({_code(reason)})"
    return ""


async def loaded(page: Page, timeout_s: float) -> None:
    """Until the page has all its parts, or the time passed."""
    try:
        await page.wait_for_load_state("load", timeout=timeout_s * 1000)
    except LateError:
        pass


async def go_back(page: Page, session: CDPSession, timeout_s: float) -> str | None:
    """One step back in the tab's history: what failed in words, "" when nothing did, None when there is no step."""
    history = await _send(session, "Page.getNavigationHistory")
    now, entries = history["currentIndex"], history["entries"]
    if now == 0 or (now == 1 and entries[0]["url"] == "about:blank"):  # every tab begins with an empty page
        return None
    try:
        await page.go_back(wait_until="commit", timeout=timeout_s * 1000)
    except LateError:
        await _send(session, "Page.stopLoading")
        return f"the page before did not answer within {timeout_s:.0f} s"
    except Error as error:
        return f"the page stayed ({_code(first_line(error))})"
    return ""


async def _send(session: CDPSession, method: str) -> dict[str, Any]:
    """The answer of the page's own line, which is cut for a moment while one document gives way to the next."""
    for _ in range(SWAP_TRIES):
        try:
            return await session.send(method)
        except Error as error:
            if "Not attached" not in error.message:
                raise
        await asyncio.sleep(SWAP_PAUSE_S)
    return await session.send(method)


def _code(reason: str) -> str:
    """ "net::ERR_NAME_NOT_RESOLVED" of a longer line."""
    return next((word for word in reason.split() if word.startswith("net::")), reason)
