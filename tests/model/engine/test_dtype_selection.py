"""bfloat16 is picked only on request, and where a measurement shows that it is faster."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actions import UsageError
from model.chat_model import load_chat
from model.engine import dtype_selection


@pytest.mark.parametrize(("half_s", "expected"), [(0.1, torch.bfloat16), (0.9, torch.float32), (3.0, torch.float32)])
def test_faster_dtype_is_picked(monkeypatch: pytest.MonkeyPatch, half_s: float, expected: torch.dtype) -> None:
    times = {torch.float32: 1.0, torch.bfloat16: half_s}
    monkeypatch.setattr(dtype_selection, "_product_s", times.__getitem__)
    assert dtype_selection.pick_dtype("cpu") == expected
    assert dtype_selection.pick_dtype("cuda") == torch.bfloat16


def test_auto_dtype_stays_float32_on_cpu(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype_selection, "pick_dtype", lambda device: torch.bfloat16)
    assert load_chat(tiny_folder, "cpu", "fast").model.dtype == torch.bfloat16
    assert load_chat(tiny_folder, "cpu").model.dtype == torch.float32
    with pytest.raises(UsageError, match="dtype must be one of auto, fast"):
        load_chat(tiny_folder, "cpu", "half")


def test_product_time_is_positive() -> None:
    assert dtype_selection._product_s(torch.float32) > 0
