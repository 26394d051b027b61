"""How much memory there is, and whether a checkpoint fits. Knows bytes only."""

from __future__ import annotations

from actions import UsageError


def available_bytes(device: str) -> int:
    """Free memory of "cpu" or a CUDA device, in bytes."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_fits(needed: int, device: str, what: str) -> None:
    """UsageError when the device has fewer free bytes than needed."""
    free = available_bytes(device)
    if needed > free:
        raise UsageError(
            f"{what} needs {needed / 1e9:.1f} GB on {device}, where {free / 1e9:.1f} GB are free; "
            "halve it with --dtype bfloat16 or quarter it with int8, take a smaller model, or close other programs"
        )
