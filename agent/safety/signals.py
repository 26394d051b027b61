"""Stop a run by Ctrl-C, SIGTERM, SIGHUP or `agent stop`, after the action in progress is finished and recorded.

An interrupted click leaves the machine in an unknown state, and a browser driver interrupted within a call cannot be
closed. The first request to stop therefore waits for the next block marked as interruptible (the model generates, the
user is asked); a second one takes effect at once.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Literal

HINT = b"\nstopping after the current action; press Ctrl-C again to stop at once\n"
SIGNAL_HINT = b"\nstopping after the current action; a second signal stops at once\n"
SIGNAL_EXIT_CODE = 128  # plus the number of the signal, as shells report it
TERMINATION_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)


@dataclass(frozen=True)
class StopRequest:
    """Why a run is to stop.

    Args:
        cause: As in the trace: "interrupted" by the user, or "signal".
        message: Why, as a sentence.
        exit_code: The exit code of a process that ends for this reason.
    """

    cause: Literal["interrupted", "signal"]
    message: str
    exit_code: int


CTRL_C = StopRequest("interrupted", "the user stopped the run", SIGNAL_EXIT_CODE + signal.SIGINT)
STOP_COMMAND = StopRequest("interrupted", "the user stopped the run by `agent stop`", SIGNAL_EXIT_CODE + signal.SIGINT)
HOTKEY = StopRequest("interrupted", "the user stopped the run by its hotkey", SIGNAL_EXIT_CODE + signal.SIGINT)
VIEWER_STOP = StopRequest("interrupted", "the user stopped the run in its viewer", SIGNAL_EXIT_CODE + signal.SIGINT)


class StopRequestedError(KeyboardInterrupt):
    """The process is asked to stop, as by Ctrl-C.

    Attributes:
        request: Why.
    """

    def __init__(self, request: StopRequest) -> None:
        super().__init__(request.message)
        self.request = request


def request_of_signal(signum: int) -> StopRequest:
    """Return the request that a signal stands for."""
    if signum == signal.SIGINT:
        return CTRL_C
    name = signal.Signals(signum).name
    return StopRequest("signal", f"the signal {name} stopped the run", SIGNAL_EXIT_CODE + signum)


def request_of_error(error: BaseException | None) -> StopRequest:
    """Return the request behind an exception or one of its causes; Ctrl-C where none is known."""
    while error is not None:
        if isinstance(error, StopRequestedError):
            return error.request
        error = error.__cause__ or error.__context__
    return CTRL_C


class InterruptShield:
    """State of requests to stop: whether they are deferred now, and whether one is pending.

    Attributes:
        deferred: Whether a first request waits for the next interruptible block.
        request: The request that was made last; None before any.
        is_installed: Whether signals are delivered to this object.
    """

    def __init__(self) -> None:
        self.deferred = True
        self.is_installed = False
        self.request: StopRequest | None = None
        self._from_thread: StopRequest | None = None

    @property
    def pending(self) -> bool:
        """Whether the run was asked to stop."""
        return self.request is not None

    @contextmanager
    def allow_interrupts(self) -> Iterator[None]:
        """Let a request raise StopRequestedError within the block; a pending one raises on entry."""
        previous, self.deferred = self.deferred, False
        try:
            if self.request is not None:
                raise StopRequestedError(self.request)
            yield
        finally:
            self.deferred = previous

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: raise now, or remember it until the next interruptible block."""
        _drop_lost_terminal()
        global _last_request
        request, self._from_thread = self._from_thread or request_of_signal(signum), None
        _last_request = request
        is_first, self.request = self.request is None, request
        if self.deferred and is_first:
            with suppress(OSError):  # standard error may be closed
                os.write(2, HINT if signum == signal.SIGINT and request is CTRL_C else SIGNAL_HINT)
            return  # print is not safe inside a signal handler
        raise StopRequestedError(request)

    def stop(self, request: StopRequest) -> None:
        """Make a request from another thread; it takes effect like a signal, or at the next interruptible block."""
        if not self.is_installed:
            self.request = request
            return
        self._from_thread = request
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # wakes it from system calls
        else:
            import _thread

            _thread.interrupt_main()


_current: InterruptShield | None = None
_last_request: StopRequest | None = None  # of any shield, as the parser of the command line hides the exception


@contextmanager
def defer_interrupts() -> Iterator[InterruptShield]:
    """Defer requests to stop within the block; nested blocks share one shield.

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
    with _handlers((signal.SIGINT, *_unignored()), shield):
        _current = shield
        try:
            yield shield
        finally:
            _current = None


def interrupted_exit_code() -> int:
    """Return the exit code of a process that is ended by a KeyboardInterrupt: that of the last request, or Ctrl-C's."""
    return (_last_request or CTRL_C).exit_code


@contextmanager
def raise_on_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise StopRequestedError within the block, so that resources are closed as at Ctrl-C.

    A signal that is ignored, as SIGHUP under nohup, stays ignored. Has no effect outside the main thread.
    """
    global _last_request
    _last_request = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    shield = InterruptShield()
    shield.deferred = False
    with _handlers(_unignored(), shield):
        yield


@contextmanager
def exit_on_signals(close: Callable[[StopRequest], None]) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP close resources and end the process, whatever its threads wait for.

    `close` returns once the action in progress is finished. A second signal ends the process at once. Has no effect
    outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, *_unignored())

    def handle(signum: int, frame: FrameType | None) -> None:
        _drop_lost_terminal()
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        request = request_of_signal(signum)
        try:
            close(request)
        finally:
            os._exit(request.exit_code)  # a thread that reads standard input cannot be woken

    previous = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def _handlers(signals: tuple[signal.Signals, ...], shield: InterruptShield) -> Iterator[None]:
    """Handle signals by a shield within the block."""
    previous = {number: signal.signal(number, shield.handle) for number in signals}
    shield.is_installed = True
    try:
        yield
    finally:
        shield.is_installed = False
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _unignored() -> tuple[signal.Signals, ...]:
    """Return the termination signals that the parent process does not want to be ignored."""
    return tuple(number for number in TERMINATION_SIGNALS if signal.getsignal(number) != signal.SIG_IGN)


def _drop_lost_terminal() -> None:
    """Send the output of a terminal that was closed to the null device, or the next line of output would fail."""
    if os.name != "posix":
        return
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            information = os.fstat(descriptor)
            is_device = stat.S_ISCHR(information.st_mode) and information.st_rdev != os.stat(os.devnull).st_rdev
            if is_device and not os.isatty(descriptor):  # a terminal that hung up answers no terminal request
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, descriptor)
                os.close(null)
