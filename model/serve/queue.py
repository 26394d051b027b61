"""Who is served when: one at a time, the others in a line of bounded length. Knows asyncio and one worker thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model.serve.completion import Completion
from model.serve.errors import ApiError

Work = Callable[[Callable[[str], None]], Completion]


class ClientGoneError(Exception):
    """Nobody listens any more."""


class RequestQueue:
    """The turns of one worker. most: how many may wait beside the one that is served."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._places = 0  # turns that were entered and are not over
        self._turn = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, "pixelhand-serve")
        self._open: set[QueuedRequest] = set()

    @property
    def running(self) -> bool:
        """Whether the worker has something to do."""
        return self._turn.locked()

    @property
    def waiting(self) -> int:
        """How many are in line beside the one that is served."""
        return self._places - self.running

    def submit(self, work: Work) -> QueuedRequest:
        """A turn for some work, in the order of asking for its pieces; Refused (429) when the line is full.

        It has its place from here on, until its work is done or it is left: every turn must be left in the end.
        """
        if self._places > self.most:
            raise ApiError(
                429, f"{self.waiting} requests are waiting already; try again in a moment", code="line_is_full"
            )
        self._places += 1
        return QueuedRequest(self, work)

    def close(self) -> None:
        """End what is being said, and take no more."""
        for turn in list(self._open):
            turn.leave()
        self._worker.shutdown(wait=False, cancel_futures=True)


class QueuedRequest:
    """One request's place in the line. leave() gives it up, at any time."""

    def __init__(self, line: RequestQueue, work: Work) -> None:
        self._line, self._work = line, work
        self._left = threading.Event()
        self._begun = self._over = False

    def leave(self) -> None:
        """Stop at the next token. The slot is free as soon as the worker has noticed."""
        self._left.set()
        if not self._begun:
            self._end()

    def _end(self) -> None:
        """Give the place back, once."""
        if not self._over:
            self._over = True
            self._line._places -= 1

    async def pieces(self) -> AsyncIterator[str | Completion]:
        """The reply's pieces as they come, and last the whole. What the work raises, this raises."""
        line, loop = self._line, asyncio.get_running_loop()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        self._begun = True
        try:
            await line._turn.acquire()
        except BaseException:
            self._end()
            raise

        def on_piece(piece: str) -> None:
            if self._left.is_set():
                raise ClientGoneError
            if piece:
                loop.call_soon_threadsafe(heard.put_nowait, piece)

        def done(future: asyncio.Future[Completion]) -> None:
            line._open.discard(self)
            self._end()
            line._turn.release()
            heard.put_nowait(future)
            if not future.cancelled():
                future.exception()  # seen, also where nobody waits for it any more

        try:
            future = loop.run_in_executor(line._worker, self._work, on_piece)
        except RuntimeError:  # the worker was closed
            self._end()
            line._turn.release()
            raise ApiError(503, "the server is closing") from None
        line._open.add(self)
        future.add_done_callback(done)
        try:
            while (item := await heard.get()) is not future:
                yield item
            try:
                yield future.result()
            except ClientGoneError:
                raise ApiError(503, "the server is closing") from None
        finally:
            self.leave()
