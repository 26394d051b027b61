"""Ctrl-C, held back while a machine acts and a trace is written. Knows signals; knows no loop.

A click that is cut in half is worse than a click: what it did would be unknown, and a browser driver that is left in
the middle of a call cannot be closed. So the first Ctrl-C waits for the next place that says it may be interrupted
(the model thinks, a person is asked); a second one does not wait.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HINT = b"\nstopping when this is done; Ctrl-C again stops at once\n"


class InterruptShield:
    """Whether Ctrl-C waits now (held) and whether one is waiting (pending)."""

    def __init__(self) -> None:
        self.held = True
        self.pending = False

    @contextmanager
    def allow_interrupts(self) -> Iterator[None]:
        """A stretch that Ctrl-C may cut; one that came before it raises KeyboardInterrupt at its door."""
        before, self.held = self.held, False
        try:
            if self.pending:
                raise KeyboardInterrupt
            yield
        finally:
            self.held = before

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """The signal handler: raise now, or remember it for the next released stretch."""
        if self.held and not self.pending:
            self.pending = True
            os.write(2, HINT)  # print is not safe inside a signal handler
            return
        self.pending = True
        raise KeyboardInterrupt


_current: InterruptShield | None = None


@contextmanager
def defer_interrupts() -> Iterator[InterruptShield]:
    """Hold Ctrl-C back within; nested uses share one Hold. Outside the main thread signals never arrive: no effect."""
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield InterruptShield()
        return
    if _current is not None:
        yield _current
        return
    hold = InterruptShield()
    previous = signal.signal(signal.SIGINT, hold.handle)
    _current = hold
    try:
        yield hold
    finally:
        _current = None
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
