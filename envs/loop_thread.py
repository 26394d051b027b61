"""One thread with one asyncio event loop, called from outside with a bound on every call. Knows no browser."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from actions import SurfaceError

T = TypeVar("T")
STOP_S = 5.0


class LoopThread:
    """Owns its thread until stop()."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        """Run to its end in the thread. SurfaceError when the time passes; the coroutine is then cancelled."""
        if threading.current_thread() is self._thread or not self.alive:
            coroutine.close()
            raise SurfaceError(f"{what} was called after the surface was closed, or from inside of it")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise  # the coroutine's own
            future.cancel()
            raise SurfaceError(f"{what} took more than {timeout_s:.0f} s and was given up") from None
        except BaseException:
            future.cancel()  # Ctrl-C while waiting
            raise

    def stop(self) -> None:
        """Cancel what still runs, and end the thread. Safe to call twice."""
        if not self.alive:
            return
        self.loop.call_soon_threadsafe(self._end)
        self._thread.join(STOP_S)
        if not self.alive:
            self.loop.close()

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        # One more round for the cancelled tasks to end before the loop does.
        self.loop.call_soon(lambda: self.loop.call_soon(self.loop.stop))
