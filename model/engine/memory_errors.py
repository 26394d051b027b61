"""Turn out-of-memory errors of torch into a UsageError with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actions import UsageError

_MARKERS = (  # in the message of a plain RuntimeError: two of the CPU, cuBLAS, and the driver or MPS
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "out of memory",
)


class OutOfMemoryError(UsageError):
    """The device has no memory for a context; a shorter one may fit."""


class ContextLengthError(OutOfMemoryError):
    """A context exceeds the token budget; nothing was computed."""

    def __init__(self, tokens: int, budget: int) -> None:
        super().__init__(
            f"the conversation has {tokens} tokens and the budget is {budget}; lower pictures or history_steps in "
            "pixelhand.json, let the run do so with --auto-shrink-history, or raise --budget-tokens"
        )


@contextmanager
def translate_out_of_memory(tokens: int, device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError when the block runs out of memory.

    Args:
        tokens: Length of the context, for the message.
        device: Where it is computed.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_memory_error = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not is_memory_error and not any(marker in str(error) for marker in _MARKERS):
            raise
        raise OutOfMemoryError(
            f"no memory on {device} for a context of {tokens} tokens; lower pictures in pixelhand.json, let the run "
            "do so with --auto-shrink-history, or use --dtype int8 or int4"
        ) from None


def release_cached_memory(device: torch.device) -> None:
    """Return unused memory of torch's allocator to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
