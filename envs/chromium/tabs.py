"""The tabs of one browser context: which is shown, which dialogs wait, what was lost. Knows Playwright's events.

Everything here runs in the event loop's thread. Whoever awaits a page's answer does it through race(), so that neither
a dialog nor a crash nor a hung page can hold it up.
"""

from __future__ import annotations

import asyncio
import base64
import weakref
from collections.abc import Coroutine
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Dialog, Error, Page, Request

from envs.chromium.dialog import describe, quoted

MAX_TABS = 10  # a page may open tabs without end
MAX_NEWS = 20
KILL_S = 1.0
CLOSE_S = 8.0


class Tabs:
    """A stack of pages, the last one shown: a new tab goes on top, and closing it shows the one below."""

    def __init__(self, context: BrowserContext, width: int, height: int, scale: float) -> None:
        self.context = context
        self.pages: list[Page] = []
        self.dialogs: list[Dialog] = []  # the last is shown
        self.loading: dict[Page, Request] = {}  # the page's own navigation, not its pictures
        self.page_failure = ""  # what befell the shown page: "crashed", "closed itself"
        self.browser_failure = ""  # what befell the browser
        self.news: list[str] = []
        self._given_up: weakref.WeakSet[Page] = weakref.WeakSet()  # closing; what they still ask is nobody's business
        self._ours = False  # we ourselves open and close pages just now
        self._stir = asyncio.Event()
        self._size = (width, height)
        self._scale = scale
        self._sessions: dict[Page, CDPSession] = {}
        self._chores: set[asyncio.Future[Any]] = set()
        context.on("page", self._opened)
        context.on("dialog", self._asked)
        context.on("close", lambda _: self._died("the browser was closed"))
        if context.browser:
            context.browser.on("disconnected", lambda _: self._died("the browser ended"))

    @property
    def shown(self) -> Page | None:
        return self.pages[-1] if self.pages else None

    def add_notice(self, note: str) -> None:
        """Keep a note for whoever asks next; the oldest go when there are too many."""
        if note not in self.news:
            self.news = [*self.news, note][-MAX_NEWS:]

    def pop_notices(self) -> str:
        """The notes since the last time, as one line."""
        news, self.news = self.news, []
        return "; ".join(news)

    # events

    def _opened(self, page: Page) -> None:
        if len(self.pages) >= MAX_TABS and not self._ours:
            self.add_notice(f"a new tab was refused, as {MAX_TABS} are open")
            self.run_in_background(page.close())
            return
        self.pages.append(page)
        page.on("close", self._closed)
        page.on("crash", self._crashed)
        page.on("filechooser", lambda _: self.add_notice("the page asks for a file; files cannot be given here"))
        page.on(
            "download", lambda file: self.add_notice(f"a download was refused: {quoted(file.suggested_filename, 80)}")
        )
        page.on("request", lambda request: self._requested(page, request))
        page.on("requestfailed", lambda request: self._arrived(page, request))
        page.on("requestfinished", lambda request: self._arrived(page, request))
        page.on("domcontentloaded", lambda _: self._arrived(page, None))
        if not self._ours:
            self.add_notice(f"a new tab opened and is shown: {quoted(page.url, 200)}")
        self._stir.set()

    def _closed(self, page: Page) -> None:
        shown = self.shown is page
        self._forget(page)
        if shown and not self._ours:
            if self.pages:
                self.add_notice("the tab was closed; the one before it is shown")
            else:
                self.page_failure = "closed itself"
        self._stir.set()

    def _crashed(self, page: Page) -> None:
        if self.shown is page:
            self.page_failure = "crashed"
        else:
            self._forget(page)
            self.run_in_background(page.close())
        self._stir.set()

    def _asked(self, dialog: Dialog) -> None:
        if dialog.page in self._given_up:
            self.run_in_background(dialog.dismiss())
            return
        self.dialogs.append(dialog)
        self.add_notice(describe(dialog))
        self._stir.set()

    def _died(self, why: str) -> None:
        self.browser_failure = self.browser_failure or why
        self._stir.set()

    def _requested(self, page: Page, request: Request) -> None:
        try:
            if request.is_navigation_request() and request.frame.parent_frame is None:
                self.loading[page] = request
        except Error:  # a request older than its frame: of a tab that is about to open
            pass

    def _arrived(self, page: Page, request: Request | None) -> None:
        if request is None or self.loading.get(page) is request:
            self.loading.pop(page, None)

    def _forget(self, page: Page) -> None:
        if page in self.pages:
            self.pages.remove(page)
        self.dialogs = [dialog for dialog in self.dialogs if dialog.page is not page]
        self.loading.pop(page, None)
        self._sessions.pop(page, None)

    # what the surface asks for

    def run_in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let it run beside everything else; how it ends does not matter."""
        task = asyncio.ensure_future(asyncio.wait_for(work, CLOSE_S))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        task.add_done_callback(ignore_result)

    async def race(self, task: asyncio.Future[Any], timeout_s: float) -> None:
        """Until the task is done, a dialog waits, the shown page is lost or the browser ends.

        TimeoutError when none of them comes. The task is left as it is: whoever called looks at it.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + timeout_s
        while not (task.done() or self.dialogs or self.page_failure or self.browser_failure):
            self._stir.clear()
            stirred = asyncio.ensure_future(self._stir.wait())
            left = deadline - clock.time()
            await asyncio.wait({task, stirred}, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
            stirred.cancel()
            if left <= 0:
                raise TimeoutError

    async def fresh(self) -> Page:
        """A new page on top; every other one is closed, hung or not, beside the rest of the work."""
        self._ours = True
        try:
            old = list(self.pages)
            sessions = {page: self._sessions.get(page) for page in old}
            page = await self.context.new_page()
            for one in old:
                self._given_up.add(one)
                self._forget(one)
                self.run_in_background(_end(one, sessions[one]))
            self.page_failure = ""
            return page
        finally:
            self._ours = False

    async def drop_shown(self) -> None:
        """Give up the shown page for the one below it."""
        page = self.pages[-1]
        session = self._sessions.get(page)
        self._given_up.add(page)
        self._forget(page)
        self.page_failure = ""
        await asyncio.wait_for(_end(page, session), CLOSE_S)

    async def picture(self, page: Page) -> bytes:
        """PNG of what the page shows now, in pixels of the surface.

        Without a clip a picture of 1920 x 1080 comes 7 ms earlier; another scale needs one. The clip's scale is the
        device's. To set the device metrics in this session instead gives the same picture, but Chromium 156 then undoes
        them after each one, and 1 to 10 % of the clicks that follow land at x / scale.
        """
        session = await self.session(page)
        width, height = self._size
        what: dict[str, Any] = {"format": "png", "optimizeForSpeed": True}
        if self._scale != 1:
            what["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": self._scale}
        shot = await session.send("Page.captureScreenshot", what)
        return base64.b64decode(shot["data"])

    async def session(self, page: Page) -> CDPSession:
        """The page's own line to the browser. Its size is set here: a popup brings the size that its opener wished."""
        if page not in self._sessions:
            width, height = self._size
            await page.set_viewport_size({"width": width, "height": height})
            session = await self.context.new_cdp_session(page)
            await page.bring_to_front()
            self._sessions[page] = session
        return self._sessions[page]


def ignore_result(task: asyncio.Future[Any]) -> None:
    """Done-callback for work whose end was looked at, or does not matter."""
    if not task.cancelled():
        task.exception()


async def _end(page: Page, session: CDPSession | None) -> None:
    """Close a page, whatever its scripts do: an endless one is stopped first, so that its opener lives on."""
    if session is not None:
        try:
            await asyncio.wait_for(session.send("Runtime.terminateExecution"), KILL_S)
        except Exception:  # a page that is gone already
            pass
    await page.close()
