"""One tab's picture, mouse and keys: real Chromium through Playwright. Knows pages and dialogs; no model, no goal.

Playwright runs in a thread of its own; every call from outside is bounded in time. What a page does on its own account
(a dialog, a new tab, a crash) is seen on the next capture and told in words by perform() or news().
Screen pixels are CSS pixels times scale; a point stands for the CSS pixel under the middle of its screen pixel.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from playwright.async_api import BrowserContext, Dialog, Error, Page

from actions import (
    Back,
    Home,
    InvalidActionError,
    Open,
    Point,
    PressKeys,
    Screen,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
)
from envs.chromium import input
from envs.chromium.address import model_address, person_address
from envs.chromium.dialog import DialogPage, check_text, labels
from envs.chromium.launch import START_S, launch
from envs.chromium.navigation import LOAD_S, first_line, go_back, loaded, open_address
from envs.chromium.tabs import Tabs, ignore_result
from envs.closing import Closing
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.options import SurfaceOptions

T = TypeVar("T")
VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "open", "back", "home", "wait"})
PAGE_JS = Path(__file__).parent.parent / "chromium" / "page.js"
DEFAULT_SIZE, DEFAULT_SCALE = (1288, 728), 1.0
MAX_SIDE = 8192
MAX_LOSSES = 2  # in a row: then the page is beyond help
TRIES = 6  # of a script whose page gives way to the next one
PAUSE_S = 0.1
TRAVEL_S = 2.0  # more than an address may take to answer: its own timeout comes first, and is no hung page
GRACE_S = 5.0
CLOSE_S = 10.0


class Surface(Closing):
    """A browser with a screen of fixed size. SurfaceError when the machine fails, UsageError when it cannot start.

    url: where it starts, and what Home goes back to; "practice:<task>" brings its own size and scale.
    width, height: CSS pixels, by default 1288 x 728; scale: device pixels per CSS pixel, by default 1.
    timeout_s: how long a page may take to answer one call before it counts as hung.
    """

    name = "browser"
    is_user_owned = False  # a browser of its own, without the user's cookies

    def __init__(
        self,
        url: str = "about:blank",
        *,
        width: int | None = None,
        height: int | None = None,
        scale: float | None = None,
        headed: bool = False,
        executable: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.home = person_address(url)
        page = pages.page(self.home.removeprefix(pages.PREFIX)) if _is_practice(self.home) else None
        default_width, default_height = (page.width, page.height) if page else DEFAULT_SIZE
        self._width = default_width if width is None else width
        self._height = default_height if height is None else height
        self._scale = (page.scale if page else DEFAULT_SCALE) if scale is None else float(scale)
        self._size = _screen_size(self._width, self._height, self._scale)
        self._timeout_s = timeout_s
        self._pointer: input.CssPoint = (0.0, 0.0)
        self._pending: asyncio.Future[Any] | None = None  # an action that a dialog holds up
        self._asked: Dialog | None = None  # the dialog that is drawn
        self._behind: bytes | None = None  # the last picture of a page
        self._pixels: np.ndarray[Any, np.dtype[np.uint8]] | None = None  # of it
        self._seen: Page | Dialog | None = None  # what the last captured Screen showed
        self._losses = 0
        self._practice_ready = False
        self._closed = False
        self._tabs: Tabs
        self._thread = LoopThread("pixelhand-browser")
        atexit.register(self.close)
        try:
            self._call(self._start(executable, headed), START_S + self._timeout_s + LOAD_S, "starting the browser")
        except BaseException:
            self.close()
            raise

    # the contract of a surface

    def verbs(self) -> frozenset[str]:
        """Everything but what only the loop does."""
        return VERBS

    def capture(self) -> Screen:
        """The shown page, or the dialog that waits, drawn over the page's last picture."""
        pixels = self._call(self._capture(), self._bound_s(), "a picture of the page")
        return Screen(pixels)

    def perform(self, action: Any) -> str:
        """Carry out one action. A dialog that opens on it ends the call; the note tells what it asks.

        BadCall: nothing was done. When something else came on the screen since the last capture, nothing is done
        either, and the note says so: a click must not land on what nobody has seen.
        """
        own_s = action.seconds if isinstance(action, Wait) else input.duration_s(action)
        return self._call(self._perform(action), self._bound_s() + own_s, f"'{action.verb}'")

    def close(self) -> None:
        """End the browser and its thread. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.call(self._shut(), CLOSE_S + GRACE_S, "closing the browser")
        except SurfaceError:
            pass  # its driver sees the pipe break when we end, and ends the browser
        self._thread.stop()

    # beyond it

    @property
    def url(self) -> str:
        """The address of the shown page."""
        shown = self._tabs.shown
        return shown.url if shown else ""

    @property
    def asking(self) -> bool:
        """Whether a dialog waits for its answer."""
        return bool(self._tabs.dialogs)

    def busy(self) -> bool:
        """Whether the shown page waits for its next document: a screen that is still may not be the last."""
        shown = self._tabs.shown
        return shown is not None and shown in self._tabs.loading

    def pop_notices(self) -> str:
        """What happened since perform() returned: a late dialog, a new tab, a crash; "" if nothing."""
        return self._tabs.pop_notices()

    def goto(self, url: str) -> None:
        """Start afresh at an address, for a person or a task, never for a model: one tab, open dialogs dismissed."""
        self._call(self._goto(person_address(url)), self._bound_s() + LOAD_S, f"opening {url}")

    def evaluate(self, js: str) -> Any:
        """The JSON value of an expression in the shown page, promises awaited; never for a model."""
        return self._call(self._evaluate(js), self._bound_s(), "a script in the page")

    # inside: the thread's side

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        if self._closed:
            coroutine.close()
            raise SurfaceError(f"{what} is not possible: the browser surface is closed")
        try:
            return self._thread.call(coroutine, timeout_s, what)
        except Error as error:
            raise SurfaceError(self._dead() or f"{what} failed in the browser: {first_line(error)}") from None
        except TimeoutError:
            raise SurfaceError(f"{what} got no answer from the browser") from None

    def _bound_s(self) -> float:
        """One call's outermost bound: hang, replacement and second hang each have their own inside of it."""
        return 2 * self._timeout_s + 2 * (self._timeout_s + LOAD_S) + GRACE_S

    def _dead(self) -> str:
        why = self._tabs.browser_failure if hasattr(self, "_tabs") else ""
        return f"{why}; start the run again" if why else ""

    def _require_alive(self) -> None:
        if why := self._dead():
            raise SurfaceError(why)

    async def _start(self, executable: str | None, headed: bool) -> None:
        decoder = asyncio.ensure_future(asyncio.to_thread(importlib.import_module, "cv2"))  # while the browser starts
        self._playwright, self._browser = await launch(executable, headed)
        await decoder
        context: BrowserContext = await self._browser.new_context(
            viewport={"width": self._width, "height": self._height},
            device_scale_factor=self._scale,
            accept_downloads=False,
        )
        await context.add_init_script(path=PAGE_JS)
        self._tabs = Tabs(context, self._width, self._height, self._scale)
        self._dialog_page = DialogPage(self._browser, self._width, self._height, self._scale)
        await self._goto(self.home)

    async def _shut(self) -> None:
        if hasattr(self, "_browser"):
            for close in (self._browser.close, self._playwright.stop):
                with contextlib.suppress(Error, TimeoutError):  # it may be gone already
                    await asyncio.wait_for(close(), CLOSE_S / 2)

    async def _capture(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        while True:  # recovery ends it: it helps once, and raises the second time
            self._require_alive()
            if self._tabs.dialogs:
                return await self._capture_dialog(self._tabs.dialogs[-1])
            page = self._tabs.shown
            if self._tabs.page_failure or page is None:
                await self._recover(self._tabs.page_failure or "closed itself")
                deadline = clock() + self._timeout_s
                continue
            task = asyncio.ensure_future(self._tabs.picture(page))
            task.add_done_callback(ignore_result)
            try:
                await self._tabs.race(task, max(deadline - clock(), PAUSE_S))
            except TimeoutError:
                task.cancel()
                self._tabs.page_failure = "stopped responding"
                continue
            if not task.done():  # a dialog or a loss came first
                task.cancel()
                continue
            if task.exception():  # mid-navigation, or not painted yet; or a crash whose event is on its way
                if clock() > deadline:
                    self._tabs.page_failure = "gave no picture"
                await asyncio.sleep(PAUSE_S)
                continue
            png, pixels = task.result(), self._pixels
            if pixels is None or png != self._behind:  # a screen at rest gives the same bytes again
                pixels = _decode(png)
            if pixels.shape[:2] != self._size[::-1]:
                raise SurfaceError(f"the page's picture is {pixels.shape[1]}x{pixels.shape[0]}, not {self._size}")
            self._behind, self._pixels = png, pixels
            self._seen = page
            return pixels

    async def _capture_dialog(self, dialog: Dialog) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if self._asked is not dialog:
            await asyncio.wait_for(self._dialog_page.show(dialog, self._behind), self._timeout_s)
            self._asked = dialog
        png = await asyncio.wait_for(self._dialog_page.page.screenshot(caret="initial"), self._timeout_s)
        self._seen = dialog
        return _decode(png)

    async def _perform(self, action: Any) -> str:
        self._require_alive()
        if isinstance(action, Wait):
            await asyncio.sleep(action.seconds)
            return self._tabs.pop_notices()
        if action.verb not in VERBS:
            raise InvalidActionError(f"the browser surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        if isinstance(action, PressKeys):
            input.check_keys(action)
        address = model_address(action.target) if isinstance(action, Open) else self.home
        if self._tabs.page_failure or self._tabs.shown is None:
            await self._recover(self._tabs.page_failure or "closed itself")
            self._tabs.add_notice(f"'{action.verb}' was not done; look again")
            return self._tabs.pop_notices()
        dialog = self._tabs.dialogs[-1] if self._tabs.dialogs else None
        unseen_page = self._seen not in (None, self._tabs.shown)  # with no capture yet there is nothing to mistake
        if self._seen is not dialog if dialog else unseen_page:
            self._tabs.add_notice(f"the screen changed before '{action.verb}', which was not done; look again")
            return self._tabs.pop_notices()
        if dialog is not None:
            await self._perform_on_dialog(dialog, action)
        else:
            losses = self._losses
            travel_s = TRAVEL_S if isinstance(action, Open | Home | Back) else 0.0
            work = self._verb(self._tabs.shown, action, address)
            await self._do(work, input.duration_s(action) + travel_s)
            if self._losses == losses:
                self._losses = 0
        return self._tabs.pop_notices()

    async def _verb(self, page: Page, action: Any, address: str) -> None:
        if isinstance(action, Open | Home):
            await self._open(page, address)
        elif isinstance(action, Back):
            await self._back(page)
        else:
            pointer = self._pointer
            if points := action.points():
                self._pointer = self._css(points[-1])
            await input.act(page, action, self._css, pointer)

    async def _perform_on_dialog(self, dialog: Dialog, action: Any) -> None:
        yes, no = labels(dialog)
        if isinstance(action, Open | Home | Back):
            choices = f"{yes} or {no}" if no else yes
            raise InvalidActionError(
                f"a dialog is open; answer it first with {choices}, then '{action.verb}' can be done"
            )
        if isinstance(action, TypeText):
            check_text(action.text)
        work = input.act(self._dialog_page.page, action, self._css, self._pointer)
        await asyncio.wait_for(work, self._timeout_s + input.duration_s(action))
        if points := action.points():
            self._pointer = self._css(points[-1])
        reply = await asyncio.wait_for(self._dialog_page.reply(), self._timeout_s)
        if dialog not in self._tabs.dialogs:
            self._tabs.add_notice("the dialog is gone: its page was closed")
            return
        if reply is None:
            self._tabs.add_notice("the dialog is still open")
            return
        self._tabs.dialogs.remove(dialog)
        self._asked = None
        self._tabs.add_notice(f"{yes if reply.ok else no or yes} was chosen in the dialog")
        typed = reply.text if dialog.type == "prompt" else None
        try:
            await asyncio.wait_for(dialog.accept(typed) if reply.ok else dialog.dismiss(), self._timeout_s)
        except Error as error:
            self._tabs.add_notice(f"the page had closed its dialog already ({first_line(error)})")
        if self._pending:
            await self._follow(self._timeout_s)

    # inside: pages that navigate, hang and crash

    async def _do(self, work: Coroutine[Any, Any, None], own_s: float) -> None:
        """Let an action run to its end, or until a dialog holds it up; it then goes on when the dialog is answered."""
        if self._pending:
            self._pending.cancel()
        self._pending = asyncio.ensure_future(work)
        self._pending.add_done_callback(ignore_result)
        await self._follow(self._timeout_s + own_s)

    async def _follow(self, timeout_s: float) -> None:
        task = self._pending
        assert task is not None
        try:
            await self._tabs.race(task, timeout_s)
        except TimeoutError:
            task.cancel()
            self._pending = None
            await self._recover("stopped responding")
            return
        self._require_alive()
        if not task.done() and not self._tabs.page_failure:
            return  # a dialog waits
        self._pending = None
        error = task.exception() if task.done() else None
        if isinstance(error, Error):
            await asyncio.sleep(PAUSE_S)  # the event that explains it may still be on its way
            self._require_alive()
        if self._tabs.page_failure:
            task.cancel()
            await self._recover(self._tabs.page_failure)
        elif isinstance(error, Error) and "has been closed" not in error.message:
            raise SurfaceError(f"the browser refused the action: {first_line(error)}")
        elif error is not None and not isinstance(error, Error):
            raise error

    async def _recover(self, befell: str) -> None:
        """A page that crashed, hung or closed itself gives way to the one below it, or to a new one at its address."""
        self._losses += 1
        page = self._tabs.shown
        where = page.url if page else self.home
        if self._losses >= MAX_LOSSES:
            self._losses = 0
            raise SurfaceError(f"the page at {where[:200]} {befell}, twice in a row; it cannot be used")
        self._drop_pending()
        if where == "about:blank" and len(self._tabs.pages) > 1:  # a tab that only its opener can fill
            await self._tabs.drop_shown()
            self._tabs.add_notice(f"the tab {befell}; the one before it is shown")
            return
        others = len(self._tabs.pages) - 1
        also = f"; {others} other tab{'s were' if others > 1 else ' was'} closed with it" if others > 0 else ""
        self._tabs.add_notice(f"the page {befell} and was opened again at {where[:200]}{also}")
        await self._arrive(await self._fresh(), where)

    def _drop_pending(self) -> None:
        if self._pending:
            self._pending.cancel()
        self._pending = None
        self._asked = None

    async def _fresh(self) -> Page:
        return await asyncio.wait_for(self._tabs.fresh(), self._timeout_s)

    async def _goto(self, url: str) -> None:
        self._require_alive()
        self._losses = 0
        self._drop_pending()
        for dialog in self._tabs.dialogs:
            self._tabs.run_in_background(dialog.dismiss())
        self._tabs.dialogs.clear()
        page = await self._fresh()
        self._pointer, self._seen, self._behind, self._pixels = (0.0, 0.0), None, None, None
        self._tabs.pop_notices()
        trouble = await self._arrive(page, url)
        if trouble:
            raise SurfaceError(trouble)

    async def _arrive(self, page: Page, url: str) -> str:
        """Load a page as far as it goes; a dialog or crash on the way is left to the next capture. Says what failed."""
        task = asyncio.ensure_future(self._load(page, url))
        task.add_done_callback(ignore_result)
        try:
            await self._tabs.race(task, self._timeout_s + LOAD_S)
        except TimeoutError:
            task.cancel()
            return f"{url[:200]} did not answer within {self._timeout_s:.0f} s"
        if not task.done():
            self._pending = task
            return ""
        return task.result()

    async def _load(self, page: Page, url: str) -> str:
        if trouble := await self._open(page, url):
            return trouble
        await loaded(page, min(LOAD_S, self._timeout_s))
        return ""

    async def _open(self, page: Page, address: str) -> str:
        """Until the address answered. What failed is told, and returned."""
        target = address
        if _is_practice(address):
            target = pages.page(address.removeprefix(pages.PREFIX)).url
            if not self._practice_ready:
                await self._tabs.context.add_init_script(pages.init_js())
                self._practice_ready = True
        session = await self._tabs.session(page)
        if trouble := await open_address(page, session, target, self._timeout_s, shown_as=address):
            self._tabs.add_notice(trouble)
        return trouble

    async def _back(self, page: Page) -> None:
        trouble = await go_back(page, await self._tabs.session(page), self._timeout_s)
        if trouble is None and len(self._tabs.pages) > 1:
            await self._tabs.drop_shown()
            self._tabs.add_notice("the tab had no page before this one and was closed; the tab before it is shown")
        elif trouble is None:
            self._tabs.add_notice("there is no page to go back to")
        elif trouble:
            self._tabs.add_notice(trouble)

    async def _evaluate(self, js: str) -> Any:
        for tries_left in reversed(range(TRIES)):
            self._require_alive()
            if self._tabs.page_failure or self._tabs.shown is None:
                await self._recover(self._tabs.page_failure or "closed itself")
            if self._tabs.dialogs or self._tabs.shown is None:
                raise SurfaceError("no script can run in the page while its dialog waits")
            task = asyncio.ensure_future(self._tabs.shown.evaluate(js))
            task.add_done_callback(ignore_result)
            try:
                await self._tabs.race(task, self._timeout_s)
            except TimeoutError:
                task.cancel()
                raise SurfaceError(f"a script in the page did not end within {self._timeout_s:.0f} s") from None
            if not task.done():
                raise SurfaceError(
                    f"a script in the page was held up: it {self._tabs.page_failure or 'opened a dialog'}"
                )
            error = task.exception()
            if not (isinstance(error, Error) and "context was destroyed" in error.message and tries_left):
                break
            await asyncio.sleep(PAUSE_S)  # the page gave way to the next one meanwhile
        return task.result()

    def _css(self, point: Point) -> input.CssPoint:
        """The CSS pixel under the middle of a screen pixel. Whole: Chromium lets (39.5, y) hit what begins at 40."""
        return float((point.x + 0.5) // self._scale), float((point.y + 0.5) // self._scale)


def open_surface(opening: SurfaceOptions) -> Surface:
    """A browser at opening.url. UsageError for what belongs to other screens."""
    for what, value in (("where", opening.where), ("window", opening.window), ("program", opening.program)):
        if value:
            raise UsageError(f"the browser has no {what} to choose ('{value}'); leave it out, or choose another screen")
    url = opening.url or "about:blank"
    if _is_practice(url):
        return Surface(url, headed=opening.headed)  # the page brings its own size
    return Surface(url, width=opening.width, height=opening.height, headed=opening.headed)


def _is_practice(url: str) -> bool:
    return url.startswith(pages.PREFIX)


def _screen_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Pixels of the Screen. UsageError unless they are whole: half a pixel has no place for a click."""
    size = width * scale, height * scale
    if not all(1 <= side <= MAX_SIDE and side == int(side) for side in size) or scale <= 0:
        raise UsageError(
            f"a browser of {width}x{height} CSS pixels at scale {scale} has a screen of {size[0]}x{size[1]} pixels; "
            f"both sides must be whole and 1 to {MAX_SIDE}"
        )
    return int(size[0]), int(size[1])


def _decode(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """[height, width, 3], read-only, which a Screen takes without a copy."""
    import cv2  # reads a picture of 1920 x 1080 in half of Pillow's time

    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise SurfaceError(f"the browser gave {len(png)} bytes that are no picture; start it anew")
    pixels.flags.writeable = False
    return np.asarray(pixels, np.uint8)
