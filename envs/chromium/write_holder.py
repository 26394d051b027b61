"""WriteHolder: holds the requests of one browser that would change something until they are sent or dropped.

Chromium pauses every request of the browser for one session that is attached to the browser itself, not to a page:
frames, popups and workers are included from their first request on, and a page that closes does not end the session,
which would send what is paused. Reads go on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag, urlsplit

from playwright.async_api import Browser, CDPSession, Error, Request

from actions import SurfaceError
from actions.held_writes import HeldWrite, WriteOutcome
from envs.chromium.dialog import quoted
from envs.chromium.navigation import first_line
from envs.chromium.write_preview import describe_write

READS = frozenset({"GET", "HEAD", "OPTIONS"})
SCHEMES = frozenset({"http", "https"})  # others, such as blob:, do not leave the browser
ANSWER_S = 15.0  # for the answer to a request that was sent
COMMAND_S = 10.0
CLOSE_S = 3.0
GONE = "Invalid InterceptionId"  # of Chromium's error for a request that is not paused any more

RequestKind = tuple[str, str, str]  # method, host and port, path


@dataclass(frozen=True)
class PausedRequest:
    """A request that Chromium has paused.

    Args:
        write: Its description.
        request_id: Its id at Chromium.
        url: Its whole address.
        kind: What it has in common with requests that are alike.
        is_document: Whether it is a navigation.
    """

    write: HeldWrite
    request_id: str
    url: str
    kind: RequestKind
    is_document: bool


class WriteHolder:
    """The held requests of a browser. Everything runs in the thread of the browser's event loop.

    Args:
        on_notice: Called with a sentence for each request that is held and that a page waits for.
    """

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self._on_notice = on_notice
        self._held: dict[int, PausedRequest] = {}  # by number
        self._count = 0
        self._approved: set[RequestKind] = set()
        self._answers: dict[str, asyncio.Future[tuple[int, str]]] = {}  # by id: HTTP status and network error
        self._outcomes: deque[WriteOutcome] = deque()  # filled in the loop's thread, emptied in another
        self._tasks: set[asyncio.Future[Any]] = set()
        self._session: CDPSession | None = None
        self._is_closed = False

    async def start(self, browser: Browser) -> None:
        """Hold the browser's requests from now on; call it before the browser has a page.

        Raises:
            SurfaceError: The browser cannot do this.
        """
        try:
            self._session = await browser.new_browser_cdp_session()
            self._session.on("Fetch.requestPaused", self._on_paused)
            await self._session.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        except Error as error:
            raise SurfaceError(f"this browser cannot hold writes (--hold-writes): {first_line(error)}") from None

    @property
    def held(self) -> tuple[HeldWrite, ...]:
        """The requests that wait, the oldest first."""
        return tuple(paused.write for paused in self._held.values())

    def holds_document(self, request: Request) -> bool:
        """Return whether a navigation waits."""
        url = urldefrag(request.url).url
        return any(paused.is_document and paused.url == url for paused in self._held.values())

    def pop_outcomes(self) -> tuple[WriteOutcome, ...]:
        """Return what became of requests that nobody asked about, and forget it."""
        outcomes = []
        while self._outcomes:
            outcomes.append(self._outcomes.popleft())
        return tuple(outcomes)

    async def send(self, numbers: Sequence[int], alike: bool = False) -> tuple[WriteOutcome, ...]:
        """Send held requests unchanged, in their order, and return their outcomes; at most `ANSWER_S` after the last.

        Args:
            numbers: Their numbers.
            alike: Whether later requests of the same method, host and path are sent at once.
        """
        requests = self._pop(numbers)
        if alike:
            self._approved |= {paused.kind for paused in requests}
        sent = [(paused, await self._continue(paused)) for paused in requests]
        return tuple(await asyncio.gather(*(self._outcome(paused, answer) for paused, answer in sent)))

    async def drop(self, numbers: Sequence[int]) -> tuple[WriteOutcome, ...]:
        """Let held requests fail."""
        requests = self._pop(numbers)
        await asyncio.gather(*(self._fail(paused) for paused in requests))
        return tuple(WriteOutcome(paused.write, "dropped") for paused in requests)

    async def close(self) -> None:
        """Drop all held requests and every later one; at most `CLOSE_S`, as the browser may have ended."""
        self._is_closed = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.drop(list(self._held)), CLOSE_S)

    # events

    def _on_paused(self, event: Mapping[str, Any]) -> None:
        request, request_id = event["request"], str(event["requestId"])
        if "responseStatusCode" in event or "responseErrorReason" in event:  # the answer to a request that was sent
            answer = self._answers.pop(request_id, None)
            if answer is not None and not answer.done():
                answer.set_result((event.get("responseStatusCode", 0), event.get("responseErrorReason", "")))
            self._send_command("Fetch.continueRequest", request_id)
            return
        parts = urlsplit(request["url"])
        if request["method"] in READS or parts.scheme not in SCHEMES:
            self._send_command("Fetch.continueRequest", request_id)
            return
        self._count += 1
        kind = request["method"], parts.netloc.rpartition("@")[2], parts.path
        is_document = event.get("resourceType") == "Document"
        paused = PausedRequest(describe_write(self._count, event), request_id, request["url"], kind, is_document)
        if self._is_closed:
            self._send_command("Fetch.failRequest", request_id, errorReason="Aborted")
        elif kind in self._approved:
            self._run(self._send_approved(paused))
        else:
            self._held[self._count] = paused
            if paused.write.is_awaited:
                self._on_notice(f"not sent, but held: {paused.write.method} {quoted(paused.write.url, 200)}")

    def _send_command(self, method: str, request_id: str, **options: object) -> None:
        self._run(self._command(method, request_id, **options))

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_approved(self, paused: PausedRequest) -> None:
        self._outcomes.append(await self._outcome(paused, await self._continue(paused)))

    # commands

    def _pop(self, numbers: Sequence[int]) -> list[PausedRequest]:
        return [self._held.pop(number) for number in sorted(numbers) if number in self._held]

    async def _command(self, method: str, request_id: str, **options: object) -> bool:
        """Send a command about a paused request; return False if its page is gone, or gave it up."""
        assert self._session is not None
        try:
            await asyncio.wait_for(self._session.send(method, {"requestId": request_id, **options}), COMMAND_S)
        except TimeoutError:  # the browser is slow or gone: it may have done it
            return True
        except Error as error:
            return GONE not in error.message
        return True

    async def _continue(self, paused: PausedRequest) -> asyncio.Future[tuple[int, str]] | None:
        """Let a request go on; return its answer to come, None if its page gave it up before."""
        answer = asyncio.get_running_loop().create_future()
        self._answers[paused.request_id] = answer
        if await self._command("Fetch.continueRequest", paused.request_id, interceptResponse=True):
            return answer
        self._answers.pop(paused.request_id, None)
        return None

    async def _outcome(self, paused: PausedRequest, answer: asyncio.Future[tuple[int, str]] | None) -> WriteOutcome:
        if answer is None:
            return WriteOutcome(paused.write, "withdrawn", "its page did not wait for it any more")
        try:
            status, error = await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            self._answers.pop(paused.request_id, None)
            return WriteOutcome(paused.write, "unanswered", f"no answer within {ANSWER_S:.0f} s")
        if error:
            return WriteOutcome(paused.write, "failed", error)
        return WriteOutcome(paused.write, "sent", str(status))

    async def _fail(self, paused: PausedRequest) -> None:
        await self._command("Fetch.failRequest", paused.request_id, errorReason="Aborted")
