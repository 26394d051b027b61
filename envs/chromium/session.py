"""BrowserSession: one browser with its tabs and dialogs; captures, acts, and recovers from pages that fail.

Everything here runs in the event loop's thread; `envs/surfaces/browser.py` calls it from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Coroutine
from typing import Any

from playwright.async_api import Browser, Dialog, Error, Page, Playwright

from actions import Action, Back, Click, Home, InvalidActionError, Open, Point, PressKeys, SurfaceError, TypeText, Wait
from actions.facts import ActionFacts
from envs.chromium import input
from envs.chromium.address import split_credentials
from envs.chromium.dialog import DialogPage, DialogReply, SignIn, button_labels, check_text
from envs.chromium.facts import FactsReader, mask_dialog, read_dialog
from envs.chromium.launch import launch, open_context
from envs.chromium.loading import is_loading
from envs.chromium.native_requests import tooltip_notice
from envs.chromium.navigation import LOAD_S, first_line, go_back, open_address, wait_loaded
from envs.chromium.png import Pixels, decode_png, is_blank
from envs.chromium.shortcuts import NO_CONTEXT_MENU, find_shortcut, is_handled_by_page
from envs.chromium.tab_shortcuts import run_shortcut
from envs.chromium.tabs import Tabs, ignore_result
from envs.chromium.typed_text import TypedTextCheck
from envs.chromium.virtual_time import VirtualTime, has_virtual_time
from envs.chromium.write_holder import WriteHolder
from envs.miniwob import pages
from envs.network.proxy import NetworkProxy
from envs.network.rules import NetworkRules

MAX_FAILURES = 2  # of the page in a row: then it cannot be used
EVALUATE_ATTEMPTS = 6  # of a script whose page is replaced by the next one
PAUSE_S = 0.1
NAVIGATION_S = 2.0  # added to the limit of navigations, whose own timeout must come first: that page is not hung
CLOSE_S = 10.0
NO_SCRIPT = "a script cannot run in the page while its dialog is open or a request of it is held"


class BrowserSession:
    """A browser that shows one page or dialog at a time.

    Args:
        home: Address that Home opens.
        size: Width and height of the viewport, CSS pixels.
        scale: Device pixels per CSS pixel.
        timeout_s: Seconds after which a page that does not answer counts as hung.
        rules: What the browser may connect to, besides the addresses that `goto` opens.
        holds_writes: Whether requests that would change something are held.
    """

    proxy: NetworkProxy
    tabs: Tabs
    dialog_page: DialogPage
    browser: Browser
    playwright: Playwright

    def __init__(
        self,
        home: str,
        size: tuple[int, int],
        scale: float,
        timeout_s: float,
        rules: NetworkRules,
        holds_writes: bool = False,
    ) -> None:
        self._start, self.home = home, split_credentials(home)[0]
        self.writes = WriteHolder(self._add_early_notice) if holds_writes else None
        self._rules = rules
        self._width, self._height = size
        self.scale, self._timeout_s = scale, timeout_s
        self._pointer: input.CssPoint = (0.0, 0.0)
        self._pending: asyncio.Future[Any] | None = None  # an action that waits for a dialog
        self._drawn_dialog: Dialog | SignIn | None = None
        self._png: bytes | None = None  # the last screenshot of a page
        self._pixels: Pixels | None = None  # decoded from it
        self.facts_reader = FactsReader(timeout_s)
        self._is_seen = False  # what the last capture showed is remembered
        self._captured: Page | Dialog | SignIn | None = None  # what the last screenshot showed
        self._failures, self._has_miniwob_script = 0, False

    async def start(self, executable: str | None, headed: bool) -> None:
        """Start the browser and open the home address."""
        decoder = asyncio.ensure_future(asyncio.to_thread(importlib.import_module, "cv2"))  # while the browser starts
        loop = asyncio.get_running_loop()

        def report(refusal: str) -> None:  # called in the proxy's thread
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._add_early_notice, refusal)

        self.proxy = NetworkProxy(self._rules, on_refusal=report, refuses_sockets=self.writes is not None)
        self.playwright, self.browser = await launch(executable, headed, self.proxy)
        if self.writes is not None:
            await self.writes.start(self.browser)
        await decoder
        context = await open_context(self.browser, (self._width, self._height), self.scale, self._add_early_notice)
        self.tabs = Tabs(context, self._width, self._height, self.scale, self.proxy)
        self._time = VirtualTime(self.tabs)
        self.dialog_page = DialogPage(self.browser, self._width, self._height, self.scale)
        await self.goto(self._start)

    async def stop(self) -> None:
        """End the browser and its driver."""
        if self.writes is not None and hasattr(self, "proxy"):
            self.proxy.close()  # first: nothing that a closing page sends leaves the machine
            await self.writes.close()
        if hasattr(self, "browser"):
            for close in (self.browser.close, self.playwright.stop):
                with contextlib.suppress(Error, TimeoutError):  # it may have ended already
                    await asyncio.wait_for(close(), CLOSE_S / 2)
        if hasattr(self, "proxy"):
            self.proxy.close()

    def _add_early_notice(self, notice: str) -> None:
        if hasattr(self, "tabs"):  # otherwise the browser itself asked for it at its start
            self.tabs.add_notice(notice)

    def _waits_for_person(self) -> bool:
        """Return whether a held request is to replace the shown page: until then Chromium runs no script in it."""
        page = self.tabs.shown
        request = self.tabs.loading.get(page) if page is not None else None
        return self.writes is not None and request is not None and self.writes.holds_document(request)

    @property
    def scriptable_page(self) -> Page | None:
        """The shown page; None while its dialog is open, or a request that is to replace it is held."""
        return None if self.tabs.dialogs or self._waits_for_person() else self.tabs.shown

    def failure(self) -> str:
        """Return why the browser cannot be used any more, "" if it can."""
        reason = self.tabs.browser_failure if hasattr(self, "tabs") else ""
        return f"{reason}; start the run again" if reason else ""

    async def capture(self) -> Pixels:
        """Return the pixels of the shown page, or of the open dialog drawn over the page's last screenshot."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        while True:  # ends: _recover() raises when it is called twice in a row
            self._check_alive()
            if self.tabs.dialogs:
                return await self._capture_dialog(self.tabs.dialogs[-1])
            page = self.tabs.shown
            if self.tabs.page_failure or page is None:
                await self._recover(self.tabs.page_failure or "closed itself")
                deadline = clock() + self._timeout_s
                continue
            task = asyncio.ensure_future(self._screenshot(page))
            task.add_done_callback(ignore_result)
            try:
                await self.tabs.race(task, max(deadline - clock(), PAUSE_S))
            except TimeoutError:
                task.cancel()
                self.tabs.page_failure = "stopped responding"
                continue
            if not task.done():  # a dialog opened or the page failed
                task.cancel()
                continue
            if task.exception():  # the page navigates, has not painted yet, or crashed and the event is on its way
                if clock() > deadline:
                    self.tabs.page_failure = "gave no screenshot"
                await asyncio.sleep(PAUSE_S)
                continue
            png, pixels = task.result(), self._pixels
            if not self._is_seen or png != self._png:
                await self._remember(page)
            if pixels is None or png != self._png:  # equal screens give equal bytes
                pixels = decode_png(png)
            size = round(self._width * self.scale), round(self._height * self.scale)
            if pixels.shape[:2] != size[::-1]:
                raise SurfaceError(f"the screenshot is {pixels.shape[1]}x{pixels.shape[0]}, not {size[0]}x{size[1]}")
            self._png, self._pixels, self._captured = png, pixels, page
            return pixels

    async def _screenshot(self, page: Page) -> bytes:
        await self._time.draw_loaded(page)
        return await self.tabs.screenshot(page)

    async def _capture_dialog(self, dialog: Dialog | SignIn) -> Pixels:
        if self._drawn_dialog is not dialog:
            await asyncio.wait_for(self.dialog_page.show(dialog, self._png), self._timeout_s)
            self._drawn_dialog = dialog
        png = await asyncio.wait_for(self.dialog_page.page.screenshot(caret="initial"), self._timeout_s)
        self._captured = dialog
        return decode_png(png)

    async def _remember(self, page: Page) -> None:
        """Remember what the page shows, to notice when something else is there as an action is due."""
        self._is_seen = True
        if not has_virtual_time(page) and not self._waits_for_person():
            await self.facts_reader.remember(page, await self.tabs.session(page))

    async def facts(self, action: Action) -> ActionFacts:
        """Return what an action would touch now, compared with the last capture."""
        self._check_alive()
        self._is_seen = False
        dialog, page = self.tabs.dialogs[-1] if self.tabs.dialogs else None, self.tabs.shown
        points = [self._css(point) for point in action.points()]
        url, current = page.url if page else "", dialog or page
        changes = () if self._captured in (None, current) else ("another page or dialog is shown",)
        if dialog is not None and not changes:
            return await asyncio.wait_for(read_dialog(self.dialog_page.page, dialog, url, points), self._timeout_s)
        if page is None or self.tabs.page_failure or changes or has_virtual_time(page) or self._waits_for_person():
            return ActionFacts(url, document=str(id(current)), changes=changes)
        return await self.facts_reader.read(page, await self.tabs.session(page), action, points)

    async def mask_field(self) -> bool:
        """Hide the text of the focused field in screenshots; return whether that worked."""
        if self.tabs.dialogs:
            return await mask_dialog(self.dialog_page.page, self._timeout_s)
        page = self.scriptable_page
        return page is not None and await self.facts_reader.mask(page, await self.tabs.session(page))

    async def busy(self) -> bool:
        """Return whether the shown page loads its next document, or has not ended what the last action started.

        After `activity.CAP_S` it is not awaited any more, and a notice says so. Practice pages start nothing.
        """
        if self.writes is not None and self.writes.held:  # nothing ends before a person decides
            return False
        return await is_loading(self.tabs, is_blank(self._pixels, self.scale))

    def is_frozen(self) -> bool:
        """Return whether the shown page cannot change before the next action, as its time is virtual."""
        tabs, page = self.tabs, self.tabs.shown
        is_usual = not (tabs.dialogs or tabs.page_failure or tabs.browser_failure or page in tabs.loading)
        return is_usual and has_virtual_time(page)

    async def perform(self, action: Action, address: str, own_s: float) -> str:
        """Perform an action and return the notices.

        Args:
            action: The action, already validated.
            address: What Open and Home open.
            own_s: Seconds the action takes on the fastest page.
        """
        self._check_alive()
        if isinstance(action, Wait):
            if self.is_frozen() and self.tabs.shown is not None:
                await self._do(self._time.wait(self.tabs.shown, action.seconds), own_s)
            else:
                await asyncio.sleep(action.seconds)
            return self.tabs.pop_notices()
        self.tabs.start_action()
        if self.tabs.page_failure or self.tabs.shown is None:
            await self._recover(self.tabs.page_failure or "closed itself")
            self.tabs.add_notice(f"'{action.verb}' was not done; look again")
            return self.tabs.pop_notices()
        dialog = self.tabs.dialogs[-1] if self.tabs.dialogs else None
        is_unseen_page = self._captured not in (None, self.tabs.shown)  # before the first capture any page will do
        if self._captured is not dialog if dialog else is_unseen_page:
            self.tabs.add_notice(f"the screen changed before '{action.verb}', which was not done; look again")
            return self.tabs.pop_notices()
        if dialog is not None:
            await self._perform_on_dialog(dialog, action, own_s)
        elif self._waits_for_person() and not isinstance(action, Open | Home | Back):
            self.tabs.add_notice(f"'{action.verb}' was not done: the page waits for a request that is held")
        else:
            failures = self._failures
            await self._do(self._perform_on_page(self.tabs.shown, action, address), own_s)
            if self._failures == failures:
                self._failures = 0
        return self.tabs.pop_notices()

    async def _perform_on_page(self, page: Page, action: Action, address: str) -> None:
        shortcut = find_shortcut(action.keys) if isinstance(action, PressKeys) else None
        if isinstance(action, Open | Home):
            await self._open(page, address)
        elif isinstance(action, Back):
            await self._back(page)
        elif shortcut is not None:
            if shortcut.is_reserved or not await is_handled_by_page(page, lambda: self._input(page, action), "keydown"):
                self.tabs.add_notice(
                    await run_shortcut(self.tabs, page, shortcut, self._timeout_s, lambda: self._back(page))
                )
        elif isinstance(action, Click) and action.button == "right":
            if not await is_handled_by_page(page, lambda: self._input(page, action), "contextmenu"):
                self.tabs.add_notice(NO_CONTEXT_MENU)
        else:
            await self._input(page, action)
        await self._time.settle(self.tabs.shown)

    async def _input(self, page: Page, action: Action) -> None:
        pointer = self._pointer
        if points := action.points():
            self._pointer = self._css(points[-1])
        check = TypedTextCheck(page, action if not has_virtual_time(page) else None)
        await check.start()
        async with self._time.awaiting_wheel(page, action):
            await input.act(page, action, self._css, pointer, lambda seconds: self._time.pause(page, seconds))
        self.tabs.add_notice(await check.notice())
        self.tabs.add_notice(await tooltip_notice(page, self._pointer) if action.verb == "move" else "")

    async def _perform_on_dialog(self, dialog: Dialog | SignIn, action: Action, own_s: float) -> None:
        ok, cancel = button_labels(dialog)
        if isinstance(action, Open | Home | Back):
            choices = f"{ok} or {cancel}" if cancel else ok
            raise InvalidActionError(
                f"a dialog is open; answer it first with {choices}, then '{action.verb}' can be done"
            )
        if isinstance(action, TypeText):
            check_text(action.text)
        await asyncio.wait_for(self._input(self.dialog_page.page, action), self._timeout_s + own_s)
        reply = await asyncio.wait_for(self.dialog_page.reply(), self._timeout_s)
        if dialog not in self.tabs.dialogs:
            self.tabs.add_notice("the dialog is gone: its page was closed")
            return
        if reply is None:
            self.tabs.add_notice("the dialog is still open")
            return
        self.tabs.dialogs.remove(dialog)
        self._drawn_dialog = None
        self.tabs.add_notice(f"{ok if reply.ok else cancel or ok} was chosen in the dialog")
        await self._answer(dialog, reply)
        if self._pending:
            await self._await_pending(self._timeout_s)

    async def _answer(self, dialog: Dialog | SignIn, reply: DialogReply) -> None:
        if isinstance(dialog, SignIn):
            credentials = (reply.text, reply.password) if reply.ok else None
            await self._do(self.tabs.sign_in(dialog, credentials, self._timeout_s), NAVIGATION_S)
            return
        text = reply.text if dialog.type == "prompt" else None
        try:
            await asyncio.wait_for(dialog.accept(text) if reply.ok else dialog.dismiss(), self._timeout_s)
        except Error as error:
            self.tabs.add_notice(f"the page had closed its dialog already ({first_line(error)})")

    # pages that navigate, hang and crash

    async def _do(self, work: Coroutine[Any, Any, None], own_s: float) -> None:
        """Run an action to its end, or until a dialog opens; it then continues when the dialog is answered."""
        if self._pending:
            self._pending.cancel()
        self._pending = asyncio.ensure_future(work)
        self._pending.add_done_callback(ignore_result)
        await self._await_pending(self._timeout_s + own_s)

    async def _await_pending(self, timeout_s: float) -> None:
        task = self._pending
        assert task is not None
        try:
            await self.tabs.race(task, timeout_s)
        except TimeoutError:
            task.cancel()
            self._pending = None
            await self._recover("stopped responding")
            return
        self._check_alive()
        if not task.done() and not self.tabs.page_failure:
            return  # a dialog is open
        self._pending = None
        error = task.exception() if task.done() else None
        if isinstance(error, Error):
            await asyncio.sleep(PAUSE_S)  # the event that explains it may be on its way
            self._check_alive()
        if self.tabs.page_failure:
            task.cancel()
            await self._recover(self.tabs.page_failure)
        elif isinstance(error, Error) and "has been closed" not in error.message:
            raise SurfaceError(f"the browser refused the action: {first_line(error)}")
        elif error is not None and not isinstance(error, Error):
            raise error

    async def _recover(self, failure: str) -> None:
        """Replace a page that crashed, hung or closed itself by the one below it, or by a new one at its address."""
        self._failures += 1
        page = self.tabs.shown
        address = page.url if page else self.home
        if self._failures >= MAX_FAILURES:
            self._failures = 0
            raise SurfaceError(f"the page at {address[:200]} {failure}, twice in a row; it cannot be used")
        self._drop_pending()
        if address == "about:blank" and len(self.tabs.pages) > 1:  # a tab that only its opener can fill
            await self.tabs.close_shown()
            self.tabs.add_notice(f"the tab {failure}; the one before it is shown")
            return
        self.tabs.add_notice(f"the page {failure} and was opened again at {address[:200]}")
        replacement = await self.tabs.open_page([page] if page else [])
        await self._load(replacement, address)

    def _drop_pending(self) -> None:
        if self._pending:
            self._pending.cancel()
        self._pending = self._drawn_dialog = None

    async def goto(self, url: str) -> None:
        """Open an address in a new tab, close all others and dismiss their dialogs; sign in if its origin asks.

        Its host and port are allowed from then on.

        Raises:
            UsageError: The rules have a list of hosts, which does not contain the address.
            SurfaceError: The address did not open.
        """
        self._check_alive()
        url, credentials = split_credentials(url)
        self.proxy.allow_address(url)
        self._failures = 0
        self.tabs.start_action()
        self._drop_pending()
        self.tabs.dismiss_dialogs()
        page = await self.tabs.open_page(list(self.tabs.pages))
        self._pointer, self._captured, self._png, self._pixels = (0.0, 0.0), None, None, None
        self.tabs.pop_notices()
        if failure := await self._load(page, url):
            raise SurfaceError(failure)
        if credentials and (dialog := self.tabs.pop_sign_in(url)):
            await self._do(self.tabs.sign_in(dialog, credentials, self._timeout_s, url), NAVIGATION_S)

    async def _load(self, page: Page, url: str) -> str:
        """Load a page and return what failed; a dialog or crash meanwhile is left to the next capture."""
        task = asyncio.ensure_future(self._open_and_wait(page, url))
        task.add_done_callback(ignore_result)
        try:
            await self.tabs.race(task, self._timeout_s + LOAD_S)
        except TimeoutError:
            task.cancel()
            return f"{url[:200]} did not answer within {self._timeout_s:.0f} s"
        if not task.done():
            self._pending = task
            return ""
        return task.result()

    async def _open_and_wait(self, page: Page, url: str) -> str:
        if failure := await self._open(page, url):
            return failure
        await wait_loaded(page, min(LOAD_S, self._timeout_s))
        return ""

    async def _open(self, page: Page, address: str) -> str:
        """Navigate until the address answers; what failed becomes a notice and is returned."""
        url = address
        if pages.is_miniwob_address(address):
            url = pages.page(pages.task_name(address)).url
            if not self._has_miniwob_script:
                await self.tabs.context.add_init_script(pages.init_js())
                self._has_miniwob_script = True
        session = await self.tabs.session(page)
        await self._time.prepare(page, pages.is_miniwob_address(address))
        self.tabs.navigating.add(page)
        try:
            failure = await open_address(
                page,
                session,
                url,
                self._timeout_s,
                lambda code: self.proxy.explain(self.tabs.requested.get(page, url), code),  # of the last redirect
                shown_as=address,
            )
        finally:
            self.tabs.navigating.discard(page)
        self.tabs.add_notice(failure)
        return failure

    async def _back(self, page: Page) -> None:
        failure = await go_back(page, await self.tabs.session(page), self._timeout_s)
        if failure is None and len(self.tabs.pages) > 1:
            await self.tabs.leave_shown()
            self.tabs.add_notice("the tab has no page before this one and stays open; the tab before it is shown")
        else:
            self.tabs.add_notice("there is no page to go back to" if failure is None else failure)

    async def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression in the shown page; promises are awaited."""
        for attempts_left in reversed(range(EVALUATE_ATTEMPTS)):
            self._check_alive()
            if self.tabs.page_failure or self.tabs.shown is None:
                await self._recover(self.tabs.page_failure or "closed itself")
            if (page := self.scriptable_page) is None:
                raise SurfaceError(NO_SCRIPT)
            task = asyncio.ensure_future(page.evaluate(js))
            task.add_done_callback(ignore_result)
            try:
                await self.tabs.race(task, self._timeout_s)
            except TimeoutError:
                task.cancel()
                raise SurfaceError(f"a script in the page did not end within {self._timeout_s:.0f} s") from None
            if not task.done():
                raise SurfaceError(
                    f"a script in the page was interrupted: it {self.tabs.page_failure or 'opened a dialog'}"
                )
            error = task.exception()
            if not (isinstance(error, Error) and "context was destroyed" in error.message and attempts_left):
                break
            await asyncio.sleep(PAUSE_S)  # the page was replaced by the next one meanwhile
        return task.result()

    def _check_alive(self) -> None:
        if reason := self.failure():
            raise SurfaceError(reason)

    def _css(self, point: Point) -> input.CssPoint:
        """Return the CSS pixel under the middle of a screen pixel; Chromium rounds (39.5, y) to 40."""
        return float((point.x + 0.5) // self.scale), float((point.y + 0.5) // self.scale)
