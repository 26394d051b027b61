"""Polling for a condition that another process or thread brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def eventually(condition: Callable[[], Value], timeout_s: float = 90.0, interval_s: float = 0.02) -> Value:
    """Return the first truthy value of `condition`; raise AssertionError after `timeout_s`.

    The limit is generous on purpose: it ends a test that can never pass, and measures nothing.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"condition still {value!r} after {timeout_s:g} s")
        time.sleep(interval_s)
