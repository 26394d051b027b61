"""Deferring Ctrl-C: while an action is carried out, between actions, and in other threads."""

from __future__ import annotations

import signal
import threading

import pytest

from agent.safety.signals import HINT, InterruptShield, defer_interrupts


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_waits_for_interruptible_block(capfd: pytest.CaptureFixture[str]) -> None:
    events = []
    with pytest.raises(KeyboardInterrupt), defer_interrupts() as shield:
        press_ctrl_c()
        events.append("the action is finished")
        with shield.allow_interrupts():
            events.append("unreachable")
    assert events == ["the action is finished"]
    assert HINT.decode() in capfd.readouterr().err


def test_ctrl_c_raises_at_once_where_allowed() -> None:
    with pytest.raises(KeyboardInterrupt), defer_interrupts() as shield, shield.allow_interrupts():
        press_ctrl_c()
        raise AssertionError("Ctrl-C did not raise")


def test_second_ctrl_c_raises_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), defer_interrupts():
        press_ctrl_c()
        press_ctrl_c()
        raise AssertionError("the second Ctrl-C did not raise")


def test_ctrl_c_is_deferred_again_after_block() -> None:
    events = []
    with defer_interrupts() as shield:
        with shield.allow_interrupts():
            pass
        press_ctrl_c()
        events.append("finished")
    assert events == ["finished"]
    assert shield.pending


def test_nested_blocks_share_one_shield() -> None:
    with defer_interrupts() as outer, defer_interrupts() as inner:
        assert inner is outer


def test_previous_signal_handler_is_restored() -> None:
    previous = signal.getsignal(signal.SIGINT)
    with defer_interrupts() as shield:
        assert signal.getsignal(signal.SIGINT) == shield.handle
    assert signal.getsignal(signal.SIGINT) == previous
    with pytest.raises(ZeroDivisionError), defer_interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) == previous


def test_other_threads_leave_signal_handler_alone() -> None:
    observed: list[object] = []

    def work() -> None:
        with defer_interrupts() as shield, shield.allow_interrupts():
            observed.extend([type(shield), signal.getsignal(signal.SIGINT)])

    previous = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert observed == [InterruptShield, previous]
