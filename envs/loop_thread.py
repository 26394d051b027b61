"""LoopThread: an asyncio event loop in a thread of its own, whose calls are bounded in time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from actions import SurfaceError, SurfaceTimeout

T = TypeVar("T")
STOP_S = 5.0


class LoopThread:
    """A daemon thread that runs an event loop until `stop()`."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float, description: str) -> T:
        """Run a coroutine in the thread and return its result.

        Args:
            coroutine: What to run; cancelled on a timeout and on KeyboardInterrupt.
            timeout_s: Seconds to wait for it.
            description: Subject of error messages.

        Raises:
            SurfaceTimeout: The coroutine took longer.
            SurfaceError: The thread has ended, or it is the caller.
        """
        if threading.current_thread() is self._thread or not self.alive:
            coroutine.close()
            raise SurfaceError(f"{description} was called after the surface was closed, or from its own thread")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise  # raised by the coroutine itself
            future.cancel()
            raise SurfaceTimeout(f"{description} took more than {timeout_s:.0f} s and was cancelled") from None
        except BaseException:
            future.cancel()  # KeyboardInterrupt while waiting
            raise

    def stop(self) -> None:
        """Cancel what still runs and end the thread. Safe to call twice."""
        if not self.alive:
            return
        self.loop.call_soon_threadsafe(self._stop_loop)
        self._thread.join(STOP_S)
        if not self.alive:
            self.loop.close()

    def _stop_loop(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        # The cancelled tasks end in one more iteration, before the loop does.
        self.loop.call_soon(lambda: self.loop.call_soon(self.loop.stop))
