"""The tabs of one browser context: which one is shown, which dialogs are open, and what failed.

Everything here runs in the event loop's thread. Whoever awaits a page's answer does so through `Tabs.race()`, so that
no dialog, crash or hung page can block it.
"""

from __future__ import annotations

import asyncio
import base64
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Dialog, Error, Page, Request, Response

from actions import SurfaceError
from envs.chromium.activity import Activity
from envs.chromium.dialog import SignIn, describe, quoted
from envs.chromium.navigation import AUTHENTICATION_FAILED
from envs.chromium.request_log import RequestLog
from envs.chromium.sign_in import load_with, load_without, part_notice, site_origin
from envs.network.proxy import NetworkProxy

MAX_TABS = 10  # a page may open tabs without limit
MAX_NOTICES = 20
TERMINATE_S = 1.0
CLOSE_S = 8.0
OPEN_S = 20.0  # for the browser to open an empty page, whatever the limit of a page's answers
ABORTED = "net::ERR_ABORTED"  # by another navigation, a download or a script
SCREENSHOT_RETRY_S = 1.5  # an answer may get lost while a navigation replaces the page's process


class Tabs:
    """A stack of pages, the last one shown: a new tab goes on top, and closing it shows the one below."""

    def __init__(self, context: BrowserContext, width: int, height: int, scale: float, proxy: NetworkProxy) -> None:
        self.context = context
        self.proxy = proxy
        self.refusals = 0  # documents that the network rules refused
        self._refused: set[str] = set()  # their URLs, since the last action
        self.requested: weakref.WeakKeyDictionary[Page, str] = weakref.WeakKeyDictionary()  # URLs of documents
        self.pages: list[Page] = []  # the shown one last
        self.order: list[Page] = []  # in the order of opening, as a tab strip shows them
        self.dialogs: list[Dialog | SignIn] = []  # the last one is drawn
        self.loading: dict[Page, Request] = {}  # the document request of a page that navigates
        self.activity = Activity()
        self.requests = RequestLog(context)
        self.navigating: set[Page] = set()  # by an action that reports failures itself
        self.page_failure = ""  # of the shown page: "crashed", "closed itself"
        self.browser_failure = ""
        self.notices: list[str] = []
        self._early_failures: list[Request] = []  # of documents whose tabs are not reported yet
        self._signing_in: dict[Page, str] = {}  # pages that are loaded with credentials, and for which origin
        self._discarded: weakref.WeakSet[Page] = weakref.WeakSet()  # closing; their dialogs are dismissed
        self._abandoned: list[Page] = []  # left by Back, the oldest first
        self._is_opening = False  # a page is being opened here, not by another page
        self._changed = asyncio.Event()
        self._size = (width, height)
        self._scale = scale
        self._sessions: dict[Page, CDPSession] = {}
        self._background: set[asyncio.Future[Any]] = set()
        context.on("page", self._on_page)
        context.on("dialog", self._on_dialog)
        context.on("requestfailed", self._on_early_failure)
        context.on("requestfailed", self._count_refusal)
        context.on("close", lambda _: self._on_browser_failure("the browser was closed"))
        if context.browser:
            context.browser.on("disconnected", lambda _: self._on_browser_failure("the browser ended"))

    @property
    def shown(self) -> Page | None:
        """The page that is shown."""
        return self.pages[-1] if self.pages else None

    def add_notice(self, notice: str) -> None:
        """Keep a notice, unless it is "", until `pop_notices()`; the oldest are dropped when there are too many."""
        if notice and notice not in self.notices:
            self.notices = [*self.notices, notice][-MAX_NOTICES:]

    def pop_notices(self) -> str:
        """Return the notices since the last call in one line, and forget them."""
        notices, self.notices = self.notices, []
        return "; ".join(notices)

    # events

    def _on_page(self, page: Page) -> None:
        if len(self.pages) >= MAX_TABS and not self._is_opening and not self._close_abandoned():
            self.add_notice(f"a new tab was refused, as {MAX_TABS} are open")
            self.run_in_background(page.close())
            return
        self.pages.append(page)
        self.order.append(page)
        page.on("close", self._on_close)
        page.on("crash", self._on_crash)
        page.on("filechooser", lambda _: self.add_notice("the page asks for a file; files cannot be given here"))
        page.on(
            "download", lambda file: self.add_notice(f"a download was refused: {quoted(file.suggested_filename, 80)}")
        )
        page.on("request", lambda request: self._on_request(page, request))
        page.on("response", lambda response: self._on_response(page, response))
        page.on("requestfailed", lambda request: self._on_request_failed(page, request))
        page.on("requestfinished", lambda request: self._on_loaded(page, request))
        page.on("domcontentloaded", lambda _: self._on_loaded(page, None))
        if not self._is_opening:
            self.add_notice(f"a new tab opened and is shown: {quoted(page.url, 200)}")
        for request in [request for request in self._early_failures if is_document_of(request, page)]:
            self._early_failures.remove(request)
            self._report_failed_document(page, request)
        self._changed.set()

    def _on_close(self, page: Page) -> None:
        is_shown = self.shown is page
        self._forget(page)
        if is_shown and not self._is_opening:
            if self.pages:
                self.add_notice("the tab was closed; the one before it is shown")
            else:
                self.page_failure = "closed itself"
        self._changed.set()

    def _on_crash(self, page: Page) -> None:
        if self.shown is page:
            self.page_failure = "crashed"
        else:
            self._forget(page)
            self.run_in_background(page.close())
        self._changed.set()

    def _on_dialog(self, dialog: Dialog) -> None:
        if dialog.page in self._discarded:
            self.run_in_background(dialog.dismiss())
        else:
            self._add_dialog(dialog)

    def _add_dialog(self, dialog: Dialog | SignIn) -> None:
        self.dialogs.append(dialog)
        self.add_notice(describe(dialog))
        self._changed.set()

    def _on_browser_failure(self, reason: str) -> None:
        self.browser_failure = self.browser_failure or reason
        self._changed.set()

    def _on_request(self, page: Page, request: Request) -> None:
        self.activity.add(page, request)
        try:
            if request.is_navigation_request() and request.frame.parent_frame is None:
                self.loading[page] = request
                self.dialogs = [
                    dialog for dialog in self.dialogs if not (isinstance(dialog, SignIn) and dialog.page is page)
                ]
                self.requested[page] = request.url
        except Error:  # the request is older than its frame: the tab is about to open
            pass

    def _on_response(self, page: Page, response: Response) -> None:
        if self.loading.get(page) is response.request:
            self.activity.replace_document(page, response)

    def _on_request_failed(self, page: Page, request: Request) -> None:
        is_document = self.loading.get(page) is request
        self._on_loaded(page, request)
        if is_document:
            self._report_failed_document(page, request)
        elif request.failure == AUTHENTICATION_FAILED and page is self.shown:
            self.add_notice(part_notice(request.url))

    def _on_early_failure(self, request: Request) -> None:
        """Keep a failed request of a tab that is about to open."""
        try:
            is_early = request.is_navigation_request() and request.frame.page not in self.order
        except Error:  # it is older than its frame
            is_early = True
        if is_early:
            self._early_failures = [*self._early_failures, request][-MAX_TABS:]

    def _report_failed_document(self, page: Page, request: Request) -> None:
        if request.failure == AUTHENTICATION_FAILED:
            origin = site_origin(request.url)
            if page not in self._discarded:
                self._add_dialog(SignIn(page, origin, is_repeated=self._signing_in.get(page) == origin))
        elif page not in self.navigating and request.failure not in (None, ABORTED):
            reason = self.proxy.explain(request.url, request.failure or "")
            self.add_notice(f"{quoted(request.url, 200)} was not opened ({reason})")

    def _count_refusal(self, request: Request) -> None:
        """Count a document that the network rules refused, once per action: Chromium tries some again by itself."""
        failure = self.proxy.failure(request.url) if request.is_navigation_request() else None
        if failure is None or not failure.is_refusal or request.url in self._refused:
            return
        with suppress(Error):  # the document of a tab that is about to open
            if request.frame.parent_frame is not None:
                return
        self._refused.add(request.url)
        self.refusals += 1

    def start_action(self) -> None:
        """Begin an action: what is refused from now on counts again."""
        self.activity.start()
        self._refused.clear()

    def _on_loaded(self, page: Page, request: Request | None) -> None:
        if request is not None:
            self.activity.remove(request)
        if request is None or self.loading.get(page) is request:
            self.loading.pop(page, None)

    def _forget(self, page: Page) -> None:
        for pages in (self.pages, self.order, self._abandoned):
            if page in pages:
                pages.remove(page)
        self.dialogs = [dialog for dialog in self.dialogs if dialog.page is not page]
        self.loading.pop(page, None)
        self._sessions.pop(page, None)
        self.activity.forget(page)

    def _close_abandoned(self) -> bool:
        """Close the tab that Back left first; return False if there is none."""
        page = next((page for page in self._abandoned if page is not self.shown), None)
        if page is None:
            return False
        session = self._sessions.get(page)
        self._discarded.add(page)
        self._forget(page)
        self.run_in_background(_close_page(page, session))
        return True

    # called by the session

    def run_in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine beside everything else, at most `CLOSE_S`, and ignore its result."""
        task = asyncio.ensure_future(asyncio.wait_for(work, CLOSE_S))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(ignore_result)

    async def race(self, task: asyncio.Future[Any], timeout_s: float) -> None:
        """Wait until the task is done, a dialog opens, the shown page fails or the browser ends.

        The task is left as it is: the caller inspects or cancels it.

        Raises:
            TimeoutError: None of these happened in time.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + timeout_s
        while not (task.done() or self.dialogs or self.page_failure or self.browser_failure):
            self._changed.clear()
            change = asyncio.ensure_future(self._changed.wait())
            left_s = deadline - clock.time()
            await asyncio.wait({task, change}, timeout=max(left_s, 0), return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
            if left_s <= 0:
                raise TimeoutError

    async def open_page(self, replaced: list[Page]) -> Page:
        """Open a page on top; the `replaced` ones, hung or not, are closed in the background.

        Raises:
            SurfaceError: The browser opened none within `OPEN_S`.
        """
        self._is_opening = True
        try:
            sessions = {page: self._sessions.get(page) for page in replaced}
            page = await asyncio.wait_for(self.context.new_page(), OPEN_S)
            for old_page in replaced:
                self._discarded.add(old_page)
                self._forget(old_page)
                self.run_in_background(_close_page(old_page, sessions[old_page]))
            self.page_failure = ""
            return page
        except TimeoutError:
            raise SurfaceError(f"the browser opened no page within {OPEN_S:.0f} s") from None
        finally:
            self._is_opening = False

    def dismiss_dialogs(self) -> None:
        """Dismiss all dialogs; for a page that is replaced."""
        for dialog in self.dialogs:
            if not isinstance(dialog, SignIn):
                self.run_in_background(dialog.dismiss())
        self.dialogs.clear()

    def pop_sign_in(self, url: str) -> SignIn | None:
        """Remove and return the request for credentials of an address's origin, None if there is none."""
        dialog = self.dialogs[-1] if self.dialogs else None
        if not isinstance(dialog, SignIn) or dialog.origin != site_origin(url):
            return None
        self.dialogs.pop()
        self.pop_notices()
        return dialog

    async def sign_in(
        self, dialog: SignIn, credentials: tuple[str, str] | None, timeout_s: float, address: str = ""
    ) -> None:
        """Load the page that asked for credentials, or an address, with a name and a password or without any."""
        page = dialog.page
        self.navigating.add(page)
        try:
            session = await self.session(page)
            if credentials is None:
                notice = await load_without(page, session, dialog.origin, timeout_s)
            else:
                self._signing_in[page] = dialog.origin
                notice = await load_with(credentials, page, session, dialog.origin, timeout_s, address)
        finally:
            self.navigating.discard(page)
            self._signing_in.pop(page, None)
        if notice:
            self.add_notice(notice)

    async def close_shown(self) -> None:
        """Close the shown page, hung or not; the one below it is shown then."""
        page = self.pages[-1]
        session = self._sessions.get(page)
        self._discarded.add(page)
        self._forget(page)
        self.page_failure = ""
        await asyncio.wait_for(_close_page(page, session), CLOSE_S)

    async def show(self, page: Page) -> None:
        """Show an open page."""
        self.pages.remove(page)
        self.pages.append(page)
        if page in self._abandoned:
            self._abandoned.remove(page)
        await page.bring_to_front()

    async def leave_shown(self) -> None:
        """Show the page below the shown one, which stays open."""
        page = self.pages[-1]
        await self.show(self.pages[-2])
        self._abandoned.append(page)

    async def screenshot(self, page: Page) -> bytes:
        """Return a PNG of the page, in pixels of the surface; a request without an answer is repeated once."""
        requests = {asyncio.ensure_future(self._request_screenshot(page))}
        try:
            done, _ = await asyncio.wait(requests, timeout=SCREENSHOT_RETRY_S)
            if not done:
                requests.add(asyncio.ensure_future(self._request_screenshot(page)))
                done, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for request in requests:
                request.add_done_callback(ignore_result)
                request.cancel()

    async def _request_screenshot(self, page: Page) -> bytes:
        """Return a PNG of the page.

        Without a clip a screenshot of 1920x1080 arrives 7 ms sooner; a scale other than 1 needs a clip, with the
        device's scale. Setting the device metrics in this session instead gives the same pixels, but Chromium 156 then
        reverts them after each screenshot, and 1 to 10 % of the clicks that follow land at x / scale.
        """
        session = await self.session(page)
        width, height = self._size
        options: dict[str, Any] = {"format": "png", "optimizeForSpeed": True}
        if self._scale != 1:
            options["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": self._scale}
        result = await session.send("Page.captureScreenshot", options)
        return base64.b64decode(result["data"])

    async def session(self, page: Page) -> CDPSession:
        """Return the page's CDP session. The first call sets the page's size: a popup has the one its opener chose."""
        if page not in self._sessions:
            width, height = self._size
            await page.set_viewport_size({"width": width, "height": height})
            session = await self.context.new_cdp_session(page)
            await page.bring_to_front()
            self._sessions[page] = session
        return self._sessions[page]


def is_document_of(request: Request, page: Page) -> bool:
    """Return whether a navigation request is for the page itself, not for a frame in it."""
    try:
        return request.frame.page is page and request.frame.parent_frame is None
    except Error:  # its frame is gone
        return False


def ignore_result(task: asyncio.Future[Any]) -> None:
    """Mark a task's exception as retrieved; a done-callback for work whose result does not matter."""
    if not task.cancelled():
        task.exception()


async def _close_page(page: Page, session: CDPSession | None) -> None:
    """Close a page, whatever its scripts do: an endless one is terminated first, so that its opener survives."""
    if session is not None:
        try:
            await asyncio.wait_for(session.send("Runtime.terminateExecution"), TERMINATE_S)
        except Exception:  # the page is gone already
            pass
    await page.close()
