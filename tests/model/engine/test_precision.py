"""Half precision is taken where it was seen to be quick, and only when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actions import UsageError
from model.chat_model import load_chat
from model.engine import dtype_selection


@pytest.mark.parametrize(("half_s", "chosen"), [(0.1, torch.bfloat16), (0.9, torch.float32), (3.0, torch.float32)])
def test_the_measured_times_decide(monkeypatch: pytest.MonkeyPatch, half_s: float, chosen: torch.dtype) -> None:
    times = {torch.float32: 1.0, torch.bfloat16: half_s}
    monkeypatch.setattr(dtype_selection, "_product_s", times.__getitem__)
    assert dtype_selection.pick_dtype("cpu") == chosen
    assert dtype_selection.pick_dtype("cuda") == torch.bfloat16


def test_fast_is_asked_for_and_auto_stays_exact(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype_selection, "pick_dtype", lambda device: torch.bfloat16)
    assert load_chat(tiny_folder, "cpu", "fast").model.dtype == torch.bfloat16
    assert load_chat(tiny_folder, "cpu").model.dtype == torch.float32
    with pytest.raises(UsageError, match="dtype must be one of auto, fast"):
        load_chat(tiny_folder, "cpu", "half")


def test_a_product_takes_time() -> None:
    assert dtype_selection._product_s(torch.float32) > 0
