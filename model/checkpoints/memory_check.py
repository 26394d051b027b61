"""Check that a checkpoint fits into free memory."""

from __future__ import annotations

from actions import UsageError


def available_bytes(device: str) -> int:
    """Return the free memory of "cpu" or of a CUDA device, in bytes."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_fits(required: int, device: str, description: str) -> None:
    """Raise UsageError when the device has less free memory than required."""
    free = available_bytes(device)
    if required > free:
        raise UsageError(
            f"{description} needs {required / 1e9:.1f} GB on {device}, where {free / 1e9:.1f} GB are free; "
            "use --dtype bfloat16 (half) or int8 (a quarter), a smaller model, or close other programs"
        )
