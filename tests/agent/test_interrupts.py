"""Deferring Ctrl-C, SIGTERM and SIGHUP: while an action is carried out, between actions, and in other threads."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.agent_fakes import program_arguments, program_environment, start_program
from helpers.command import Agent

from agent.safety.signals import (
    HINT,
    STOP_COMMAND,
    InterruptShield,
    StopRequestedError,
    defer_interrupts,
    raise_on_termination,
)
from agent.trace import new_folder, read_trace


@pytest.fixture(autouse=True)
def hangup_signal() -> Iterator[None]:
    """Give SIGHUP its default effect: `nohup` ignores it, and the command respects that."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


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


def test_termination_signal_raises_outside_runs() -> None:
    with pytest.raises(StopRequestedError) as caught, raise_on_termination():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.request.cause == "signal"
    assert caught.value.request.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_command_ended_by_signal_reports_it(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, code: int
) -> None:
    from agent.ui import run_report

    monkeypatch.setattr(run_report, "format_runs", lambda root: signal.raise_signal(signal.Signals[name]))
    assert agent("runs", "list")[0] == code


def test_ignored_hangup_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raise_on_termination(), defer_interrupts() as shield:
            signal.raise_signal(signal.SIGHUP)
        assert not shield.pending
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_stop_from_thread_wakes_main_thread() -> None:
    with pytest.raises(StopRequestedError) as caught, defer_interrupts() as shield:
        thread = threading.Thread(target=shield.stop, args=(STOP_COMMAND,))
        with shield.allow_interrupts():
            thread.start()
            threading.Event().wait(60)
    thread.join()
    assert caught.value.request is STOP_COMMAND


def test_stop_of_loop_in_thread_waits() -> None:
    shield = InterruptShield()
    shield.stop(STOP_COMMAND)
    with pytest.raises(StopRequestedError), shield.allow_interrupts():
        raise AssertionError("the block ran")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(("mode", "first"), [("think", "thinking"), ("act", "acting")])
def test_signal_finishes_started_action_first(tmp_path: Path, name: str, mode: str, first: str) -> None:
    folder = new_folder(tmp_path)
    process = start_program(folder, mode)
    assert process.stdout is not None
    while process.stdout.readline().strip() != first:
        pass
    process.send_signal(signal.Signals[name])
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1]) == ["stopped", "signal", 1, False]
    record = read_trace(folder)
    assert record.first("end")["cause"] == "signal"
    assert name in record.first("end")["message"]
    assert record.pending_action is None


def test_second_signal_ends_action_at_once(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    process = start_program(folder, "hang")
    assert process.stdout is not None
    assert process.stdout.readline() == "acting\n"
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while b"second signal" not in process.stderr.readline().encode():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    record = read_trace(folder)
    assert record.status == "stopped"
    assert record.pending_action is not None


def test_closed_terminal_leaves_end_in_trace(tmp_path: Path) -> None:
    """The program goes on to print after its terminal is gone, until it stops."""
    folder = new_folder(tmp_path)
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - replaced by the program
        os.execve(sys.executable, [sys.executable, *program_arguments(folder, "act")], program_environment())
    output = b""
    while b"acting" not in output:
        output += os.read(terminal, 1000)
    os.close(terminal)  # the kernel sends SIGHUP
    os.waitpid(child, 0)
    end = read_trace(folder).first("end")
    assert (end["status"], end["cause"]) == ("stopped", "signal")
    assert end["steps"] == 1
