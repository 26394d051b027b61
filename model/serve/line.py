"""Who is served when: one at a time, the others in a line of bounded length. Knows asyncio and one worker thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model.serve.refusal import Refused
from model.serve.say import Said

Work = Callable[[Callable[[str], None]], Said]


class Gone(Exception):
    """Nobody listens any more."""


class Line:
    """The turns of one worker. most: how many may wait beside the one that is served."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0
        self._turn = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, "pixelhand-serve")
        self._open: set[Turn] = set()

    @property
    def running(self) -> bool:
        """Whether the worker has something to do."""
        return self._turn.locked()

    def enter(self, work: Work) -> Turn:
        """A turn for some work, in the order of entering; Refused (429) when the line is full."""
        if self.waiting >= self.most and self.running:
            raise Refused(
                429, f"{self.waiting} requests are waiting already; try again in a moment", code="line_is_full"
            )
        return Turn(self, work)

    def close(self) -> None:
        """End what is being said, and take no more."""
        for turn in list(self._open):
            turn.leave()
        self._worker.shutdown(wait=False, cancel_futures=True)


class Turn:
    """One request's place in the line. leave() gives it up, at any time."""

    def __init__(self, line: Line, work: Work) -> None:
        self._line, self._work = line, work
        self._left = threading.Event()

    def leave(self) -> None:
        """Stop at the next token. The slot is free as soon as the worker has noticed."""
        self._left.set()

    async def pieces(self) -> AsyncIterator[str | Said]:
        """The reply's pieces as they come, and last the whole. What the work raises, this raises."""
        line, loop = self._line, asyncio.get_running_loop()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        line.waiting += 1
        try:
            await line._turn.acquire()
        finally:
            line.waiting -= 1

        def on_piece(piece: str) -> None:
            if self._left.is_set():
                raise Gone
            if piece:
                loop.call_soon_threadsafe(heard.put_nowait, piece)

        def done(future: asyncio.Future[Said]) -> None:
            line._open.discard(self)
            line._turn.release()
            heard.put_nowait(future)
            if not future.cancelled():
                future.exception()  # seen, also where nobody waits for it any more

        try:
            future = loop.run_in_executor(line._worker, self._work, on_piece)
        except RuntimeError:  # the worker was closed
            line._turn.release()
            raise Refused(503, "the server is closing") from None
        line._open.add(self)
        future.add_done_callback(done)
        try:
            while (item := await heard.get()) is not future:
                yield item
            try:
                yield future.result()
            except Gone:
                raise Refused(503, "the server is closing") from None
        finally:
            self.leave()
