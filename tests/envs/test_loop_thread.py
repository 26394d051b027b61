"""Calls into the loop's thread return, raise, or time out."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actions import SurfaceError, SurfaceTimeout
from envs.loop_thread import LoopThread


@pytest.fixture
def thread():
    loop_thread = LoopThread("test-loop")
    yield loop_thread
    loop_thread.stop()


async def echo(value):
    return value, threading.current_thread().name


def test_call_runs_in_thread(thread):
    assert thread.call(echo(7), 5, "the call") == (7, "test-loop")


def test_call_raises_original_error(thread):
    async def fail(error):
        raise error

    for error in (KeyError("x"), TimeoutError("its own")):
        with pytest.raises(type(error)) as caught:
            thread.call(fail(error), 5, "the call")
        assert caught.value.args == error.args


def test_call_timeout_cancels_and_thread_survives(thread):
    ended = threading.Event()

    async def endless():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(SurfaceTimeout, match="counting sheep took more than"):
        thread.call(endless(), 0.1, "counting sheep")
    assert ended.wait(30)
    assert thread.call(echo(1), 5, "the call")[0] == 1


def test_call_after_stop_raises(thread):
    thread.stop()
    thread.stop()
    assert not thread.alive
    with pytest.raises(SurfaceError, match="the call was called after"):
        thread.call(echo(1), 5, "the call")
