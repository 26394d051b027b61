"""What an action started in a page and has not ended: requests, timers, messages to workers, the drawing of a PDF."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from playwright.async_api import Error, Frame, Page, Request, Response

LATE_S = 120.0  # a request that is open for longer is a poll or lost
CAP_S = 10.0  # from the action on; a page that is still loading is shown as it is
DRAWN_S = 0.1  # from a response to the screen
PDF_DRAWN_S = 0.4  # from the first page that the PDF viewer draws to its text
QUERY_S = 0.25
MAX_FRAMES = 8  # whose timers are looked at
MAX_REPEATS = 4  # requests of one address after one action; more are polls
# A stream, a beacon and a video are open without end.
ENDLESS_TYPES = frozenset({"eventsource", "websocket", "ping", "beacon", "cspviolationreport", "media", "prefetch"})
_IS_BUSY_JS = "startedAt => window[Symbol.for('pixelhand.activity')]?.isBusy(startedAt) ?? false"  # of activity.js
_GIVE_UP_JS = "() => window[Symbol.for('pixelhand.activity')]?.giveUp()"


class Activity:
    """The requests of all pages since the last action."""

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.wall_time = time.time()  # the same in the clock that pages have
        self.is_reported = False  # what was open at the end of its time was reported
        self._open: dict[Request, Page] = {}
        self._counts: Counter[str] = Counter()
        self._polls: set[str] = set()  # addresses whose requests stay open
        self._late: dict[Request, tuple[Page, float]] = {}  # requests that are not awaited any more, and since when
        self._ended_at = 0.0  # of the last counted request
        self._pdfs: dict[Page, float | None] = {}  # when its first page was seen

    def start(self) -> None:
        """Begin an action: what older ones started does not count any more."""
        self.started_at, self.wall_time = time.monotonic(), time.time()
        self.is_reported = False
        self._open.clear()
        self._counts.clear()

    def add(self, page: Page, request: Request) -> None:
        """Count a request that began."""
        address = request.url.partition("?")[0]
        self._counts[address] += 1
        if self._counts[address] > MAX_REPEATS or address in self._polls or request.resource_type in ENDLESS_TYPES:
            return
        if not address.startswith(("data:", "blob:")):
            self._open[request] = page

    def remove(self, request: Request) -> None:
        """Count a request that ended or failed."""
        self._late.pop(request, None)
        if self._open.pop(request, None):
            self._ended_at = time.monotonic()

    def replace_document(self, page: Page, response: Response) -> None:
        """Forget the requests of the document that this response replaces."""
        self._open = {
            request: owner for request, owner in self._open.items() if owner is not page or request is response.request
        }
        self._late = {request: late for request, late in self._late.items() if late[0] is not page}
        self._pdfs.pop(page, None)
        if response.headers.get("content-type", "").startswith("application/pdf"):
            self._pdfs[page] = None

    def forget(self, page: Page) -> None:
        """Forget a closed page."""
        self._late = {request: late for request, late in self._late.items() if late[0] is not page}
        self._open = {request: owner for request, owner in self._open.items() if owner is not page}
        self._pdfs.pop(page, None)

    def is_late(self) -> bool:
        """Return whether the action's time is over."""
        return time.monotonic() - self.started_at >= CAP_S

    def has_requests(self, page: Page) -> bool:
        """Return whether a request of the page is open, or ended so recently that its effect may not be drawn."""
        now = time.monotonic()
        if page in self._open.values():
            return True
        return self._ended_at > self.started_at and now - self._ended_at < DRAWN_S

    def is_working(self, page: Page) -> bool:
        """Return whether a request of the page that is not awaited any more is open, for LATE_S at most."""
        now = time.monotonic()
        return any(owner is page and now - since < LATE_S for owner, since in self._late.values())

    def is_loading(self, page: Page) -> bool:
        """Return whether a request of the page is open."""
        return page in self._open.values()

    def is_drawing_pdf(self, page: Page, is_blank: bool) -> bool:
        """Return whether the page is a PDF that is not drawn yet; `is_blank` is that of the last screenshot."""
        if page not in self._pdfs:
            return False
        now = time.monotonic()
        if is_blank:
            return True
        seen_at = self._pdfs[page]
        if seen_at is None:
            self._pdfs[page] = seen_at = now
        return now - seen_at < PDF_DRAWN_S

    def give_up(self, page: Page) -> list[Request]:
        """Do not await the page's open requests again, nor later ones of the same addresses; return them."""
        requests = [request for request, owner in self._open.items() if owner is page]
        for request in requests:
            if request.resource_type in ("fetch", "xhr"):
                self._polls.add(request.url.partition("?")[0])
            self._late[request] = page, time.monotonic()
            del self._open[request]
        self._pdfs.pop(page, None)
        return requests


async def is_busy(page: Page, started_at: float) -> bool:
    """Return whether work that input started after a time of `time.time()` is open in any frame of the page."""
    frames = page.frames[:MAX_FRAMES]
    results = await asyncio.gather(*(_evaluate(frame, _IS_BUSY_JS, started_at * 1000) for frame in frames))
    return any(results)


async def forget_work(page: Page) -> None:
    """Do not await the page's open work again, nor connections that never answer."""
    await asyncio.gather(*(_evaluate(frame, _GIVE_UP_JS) for frame in page.frames[:MAX_FRAMES]))


async def _evaluate(frame: Frame, js: str, argument: float | None = None) -> bool:
    try:
        return await asyncio.wait_for(frame.evaluate(js, argument), QUERY_S) is True
    except TimeoutError:  # its scripts run
        return frame.parent_frame is None
    except Error:  # it navigates, or is gone
        return False
