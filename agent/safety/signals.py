"""Defer Ctrl-C while an action is carried out and the trace is written.

An interrupted click leaves the machine in an unknown state, and a browser driver interrupted within a call cannot be
closed. The first Ctrl-C therefore waits for the next block marked as interruptible (the model generates, the user is
asked); a second one takes effect at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HINT = b"\nstopping after the current action; press Ctrl-C again to stop at once\n"


class InterruptShield:
    """State of Ctrl-C handling: whether it is deferred now, and whether one is pending."""

    def __init__(self) -> None:
        self.deferred = True
        self.pending = False

    @contextmanager
    def allow_interrupts(self) -> Iterator[None]:
        """Let Ctrl-C raise KeyboardInterrupt within the block; a pending one raises on entry."""
        previous, self.deferred = self.deferred, False
        try:
            if self.pending:
                raise KeyboardInterrupt
            yield
        finally:
            self.deferred = previous

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handle SIGINT: raise now, or remember it until the next interruptible block."""
        if self.deferred and not self.pending:
            self.pending = True
            os.write(2, HINT)  # print is not safe inside a signal handler
            return
        self.pending = True
        raise KeyboardInterrupt


_current: InterruptShield | None = None


@contextmanager
def defer_interrupts() -> Iterator[InterruptShield]:
    """Defer Ctrl-C within the block; nested blocks share one shield.

    Has no effect outside the main thread, where Python never delivers signals.
    """
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield InterruptShield()
        return
    if _current is not None:
        yield _current
        return
    shield = InterruptShield()
    previous = signal.signal(signal.SIGINT, shield.handle)
    _current = shield
    try:
        yield shield
    finally:
        _current = None
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
