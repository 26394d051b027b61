"""Calls into the loop's thread end, one way or the other."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from actions import SurfaceError
from envs.loop_thread import LoopThread


@pytest.fixture
def thread():
    made = LoopThread("test-loop")
    yield made
    made.stop()


async def value(what):
    return what, threading.current_thread().name


def test_call_runs_in_thread(thread):
    assert thread.call(value(7), 5, "it") == (7, "test-loop")


def test_call_raises_original_error(thread):
    async def fail(error):
        raise error

    for error in (KeyError("x"), TimeoutError("its own")):
        with pytest.raises(type(error)) as caught:
            thread.call(fail(error), 5, "it")
        assert caught.value.args == error.args


def test_call_timeout_cancels_and_thread_survives(thread):
    ended = threading.Event()

    async def endless():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    began = time.monotonic()
    with pytest.raises(SurfaceError, match="counting sheep took more than"):
        thread.call(endless(), 0.1, "counting sheep")
    assert time.monotonic() - began < 2
    assert ended.wait(2)
    assert thread.call(value(1), 5, "it")[0] == 1


def test_call_after_stop_raises(thread):
    thread.stop()
    thread.stop()
    assert not thread.alive
    with pytest.raises(SurfaceError, match="it was called after"):
        thread.call(value(1), 5, "it")
