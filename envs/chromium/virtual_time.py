"""Virtual time of the browser surface's practice pages: their clock stands still until an action advances it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator

from playwright.async_api import Error, Page

from actions import Action, Scroll
from envs.chromium.clock import DRAW_JS, RECEIVED_JS, SETTLE_JS, clock_commands, receive_js, wait_js
from envs.chromium.tabs import Tabs
from envs.miniwob import pages

LOAD_POLL_S = 0.01


def has_virtual_time(page: Page | None) -> bool:
    """Return whether a page is a practice page."""
    folder = pages.folder_url()
    return page is not None and bool(folder) and page.url.startswith(folder)


class VirtualTime:
    """Advances the clocks of practice pages, and stops there what the clock cannot reach."""

    def __init__(self, tabs: Tabs) -> None:
        self._tabs = tabs
        self._stopped: weakref.WeakSet[Page] = weakref.WeakSet()

    async def prepare(self, page: Page, is_practice: bool) -> None:
        """Stop or resume CSS animations of the page's present and next document, and set or reset the time zone."""
        if is_practice == (page in self._stopped):
            return
        (self._stopped.add if is_practice else self._stopped.discard)(page)
        session = await self._tabs.session(page)
        for method, parameters in clock_commands(is_practice):
            await session.send(method, parameters)

    async def settle(self, page: Page | None) -> None:
        """Advance a practice page to the end of what an action started; leave other and loading pages alone."""
        if page is None or page in self._tabs.loading:
            return
        is_practice = has_virtual_time(page)
        await self.prepare(page, is_practice)
        if is_practice:
            try:
                await page.evaluate(SETTLE_JS)
            except Error as error:
                if "context was destroyed" not in error.message:  # else the next document takes its place
                    raise

    async def wait(self, page: Page, seconds: float) -> None:
        """Advance by `seconds`."""
        await page.evaluate(wait_js(seconds))

    @contextlib.asynccontextmanager
    async def awaiting_wheel(self, page: Page, action: Action) -> AsyncIterator[None]:
        """Return from the block when a practice page has handled its wheel event, which Chromium does not await."""
        turns_wheel = isinstance(action, Scroll) and bool(action.down or action.right)
        received = await page.evaluate(RECEIVED_JS) if turns_wheel and has_virtual_time(page) else None
        yield
        if received is not None and has_virtual_time(page):
            await page.evaluate(receive_js("wheel", received.get("wheel", 0) + 1))

    async def pause(self, page: Page, seconds: float) -> None:
        """Let seconds of the page's time pass, real or virtual."""
        await (self.wait(page, seconds) if has_virtual_time(page) else asyncio.sleep(seconds))

    async def draw_loaded(self, page: Page) -> None:
        """Return when everything that a practice page requested is drawn."""
        activity = self._tabs.activity
        if not has_virtual_time(page) or not activity.is_loading(page):
            return
        while activity.is_loading(page) and not activity.is_late():
            await asyncio.sleep(LOAD_POLL_S)
        await page.evaluate(DRAW_JS)
