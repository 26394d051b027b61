"""Ctrl-C: held back during an act, answered in between, and never lost."""

from __future__ import annotations

import signal
import threading

import pytest

from agent.safety.signals import InterruptShield, defer_interrupts


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_held_back_until_the_next_place_that_may_be_interrupted(capfd: pytest.CaptureFixture[str]) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), defer_interrupts() as hold:
        ctrl_c()
        done.append("the act is finished")
        with hold.allow_interrupts():
            done.append("never")
    assert done == ["the act is finished"] and "Ctrl-C again stops at once" in capfd.readouterr().err


def test_answered_at_once_where_it_may_be() -> None:
    with pytest.raises(KeyboardInterrupt), defer_interrupts() as hold, hold.allow_interrupts():
        ctrl_c()
        raise AssertionError("it went on")


def test_a_second_one_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), defer_interrupts():
        ctrl_c()
        ctrl_c()
        raise AssertionError("it went on")


def test_what_is_released_is_held_again_after() -> None:
    done = []
    with defer_interrupts() as hold:
        with hold.allow_interrupts():
            pass
        ctrl_c()
        done.append("finished")
    assert done == ["finished"] and hold.pending


def test_nested_uses_share_one() -> None:
    with defer_interrupts() as outer, defer_interrupts() as inner:
        assert inner is outer


def test_the_handler_of_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with defer_interrupts() as hold:
        assert signal.getsignal(signal.SIGINT) == hold.handle
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(ZeroDivisionError), defer_interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) == before


def test_in_another_thread_nothing_is_touched() -> None:
    seen: list[object] = []

    def work() -> None:
        with defer_interrupts() as hold, hold.allow_interrupts():
            seen.extend([type(hold), signal.getsignal(signal.SIGINT)])

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [InterruptShield, before]
