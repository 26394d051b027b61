"""When memory runs out, or what is allowed of it: one sentence, and what helps. Knows torch's ways of saying so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actions import UsageError

_SIGNS = (  # in the words of a plain RuntimeError: the CPU's two, cuBLAS, the driver, and Apple's
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "out of memory",
)


class OutOfMemoryError(UsageError):
    """The device had no room for a context; with a shorter one it may have."""


class ContextLengthError(OutOfMemoryError):
    """A context is longer than was allowed; the device was not asked."""

    def __init__(self, tokens: int, budget: int) -> None:
        super().__init__(
            f"the conversation takes {tokens} tokens and the budget is {budget}; show fewer pictures or steps "
            "(pictures, history_steps in pixelhand.json, or --shrink, which lets the run do so), or raise "
            "--budget-tokens"
        )


@contextmanager
def translate_out_of_memory(tokens: int, device: torch.device) -> Iterator[None]:
    """Around work on a context of so many tokens: OutOfMemory where there is no memory for it."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(sign in str(error) for sign in _SIGNS):
            raise
        raise OutOfMemoryError(
            f"there is no memory on {device} for a context of {tokens} tokens; show fewer pictures (pictures in "
            "pixelhand.json, or --shrink to let the run do so by itself), or take --dtype int8 or int4"
        ) from None


def release_cached_memory(device: torch.device) -> None:
    """Let others have what torch holds for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
