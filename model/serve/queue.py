"""Serve one request at a time on a worker thread, with a bounded queue for the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from model.serve.completion import Completion
from model.serve.errors import ApiError

Work = Callable[[Callable[[str], None]], Completion]  # called with a function that takes each text delta


class ClientGoneError(Exception):
    """The client disconnected, or the server is closing."""


class RequestQueue:
    """A first-in, first-out queue for one worker thread.

    Args:
        max_waiting: Most requests that wait beside the running one.
    """

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._size = 0  # submitted requests that have not ended, the running one included
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "pixelhand-serve")
        self._running: set[QueuedRequest] = set()

    @property
    def running(self) -> bool:
        """Whether a request is being served."""
        return self._lock.locked()

    @property
    def waiting(self) -> int:
        """Requests that wait beside the running one."""
        return self._size - self.running

    def reserve(self) -> Slot:
        """Reserve a slot before a request is prepared; it must be released, or passed to `submit`.

        Raises:
            ApiError: The queue is full (429).
        """
        if self._size > self.max_waiting:
            raise ApiError(429, f"{self.waiting} requests are waiting already; try again later", code="line_is_full")
        return Slot(self)

    def submit(self, work: Work, slot: Slot | None = None) -> QueuedRequest:
        """Queue a request; it occupies a slot until its work is done or it is canceled.

        Requests are served in the order in which their `stream` is started. Every request must be canceled in the end.

        Raises:
            ApiError: The queue is full (429); never with a reserved slot.
        """
        return QueuedRequest(self, work, slot or self.reserve())

    def close(self) -> None:
        """Cancel the running request and stop the worker."""
        for request in list(self._running):
            request.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)


class Slot:
    """A place in a queue."""

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._callbacks: list[Callable[[], None]] = []
        self._is_released = False
        queue._size += 1

    def on_release(self, callback: Callable[[], None]) -> None:
        """Call a function when the slot is released."""
        self._callbacks.append(callback)

    def release(self) -> None:
        """Release the slot, once."""
        if not self._is_released:
            self._is_released = True
            self._queue._size -= 1
            for callback in self._callbacks:
                callback()


class QueuedRequest:
    """A request in a queue; `cancel` may be called at any time."""

    def __init__(self, queue: RequestQueue, work: Work, slot: Slot) -> None:
        self._queue, self._work, self._slot = queue, work, slot
        self._canceled = threading.Event()
        self._is_started = False

    def cancel(self) -> None:
        """Stop at the next token; the slot is released once the worker has stopped."""
        self._canceled.set()
        if not self._is_started:
            self._slot.release()

    async def stream(self) -> AsyncIterator[str | Completion]:
        """Wait for the worker, then yield the text deltas of the reply and last the whole completion.

        Raises:
            ApiError: The server is closing (503).
            Exception: Any exception of the work.
        """
        queue, loop = self._queue, asyncio.get_running_loop()
        items: asyncio.Queue[str | asyncio.Future[Completion]] = asyncio.Queue()
        self._is_started = True
        try:
            await queue._lock.acquire()
        except BaseException:
            self._slot.release()
            raise

        def on_delta(delta: str) -> None:
            if self._canceled.is_set():
                raise ClientGoneError
            if delta:
                loop.call_soon_threadsafe(items.put_nowait, delta)

        def on_done(done: asyncio.Future[Completion]) -> None:
            queue._running.discard(self)
            self._slot.release()
            queue._lock.release()
            items.put_nowait(done)
            if not done.cancelled():
                done.exception()  # mark it as retrieved, also when the client has gone

        try:
            future = loop.run_in_executor(queue._executor, self._work, on_delta)
        except RuntimeError:  # the executor is shut down
            self._slot.release()
            queue._lock.release()
            raise ApiError(503, "the server is closing") from None
        queue._running.add(self)
        future.add_done_callback(on_done)
        try:
            while isinstance(item := await items.get(), str):
                yield item
            try:
                yield future.result()
            except ClientGoneError:
                raise ApiError(503, "the server is closing") from None
        finally:
            self.cancel()
