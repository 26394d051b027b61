"""When the memory runs out: one sentence, and what helps. Knows torch's ways of saying so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actions import UsageError

_CPU = ("can't allocate memory", "not enough memory")  # of torch's RuntimeError


class OutOfMemory(UsageError):
    """The device had no room for a context; with a shorter one it may have."""


@contextmanager
def enough(tokens: int, device: torch.device) -> Iterator[None]:
    """Around work on a context of so many tokens: OutOfMemory where there is no memory for it."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(sign in str(error) for sign in _CPU):
            raise
        raise OutOfMemory(
            f"there is no memory on {device} for a context of {tokens} tokens; show fewer pictures (pictures in "
            "pixelhand.json, or --shrink to let the run do so by itself), or take --dtype int8 or int4"
        ) from None


def give_back(device: torch.device) -> None:
    """Let others have what torch holds for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
