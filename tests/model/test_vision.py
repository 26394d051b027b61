"""The picture encoder's own promises, beside its parity."""

from __future__ import annotations

import pytest
import torch

from model.nn import vision_encoder
from model.nn.qwen25vl import Qwen25VL
from model.nn.vision_encoder import layout


def test_a_layout_made_while_generating_serves_training_later(tiny_model: Qwen25VL) -> None:
    layout.cache_clear()
    patches = torch.randn(6 * 4, 1176)
    with torch.inference_mode():
        tiny_model.visual(patches, [(1, 6, 4)])
    tiny_model.visual(patches, [(1, 6, 4)]).sum().backward()
    assert tiny_model.visual.patch_embed.proj.weight.grad is not None


def test_pictures_of_several_sizes_do_not_see_each_other(tiny_model: Qwen25VL) -> None:
    grids = [(1, 6, 4), (1, 2, 2), (1, 6, 4), (2, 8, 10)]
    patches = [torch.randn(t * h * w, 1176) for t, h, w in grids]
    together = tiny_model.visual(torch.cat(patches), grids)
    alone = torch.cat([tiny_model.visual(one, [grid]) for one, grid in zip(patches, grids, strict=True)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_windows_cover_every_cell_once_and_come_in_at_most_four_sizes() -> None:
    for grid_h, grid_w in ((2, 2), (26, 20), (78, 138), (8, 8), (10, 2)):
        plan = layout(grid_h, grid_w, 2, 4, torch.device("cpu"))
        cells = grid_h * grid_w // 4
        assert sorted(plan.order.tolist()) == list(range(cells))
        assert plan.order[plan.inverse].tolist() == list(range(cells))
        assert len(plan.groups) <= 4 and sum(count * size for count, size in plan.groups) == cells


@pytest.mark.parametrize("rows", [7, 50, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_few_rows_at_a_time_come_to_what_all_at_once_come_to(
    tiny_model: Qwen25VL, monkeypatch: pytest.MonkeyPatch, rows: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(vision_encoder, "ROWS", rows)
    torch.manual_seed(3)
    encoder, grids = tiny_model.visual.to(dtype), [(1, 10, 6), (1, 10, 6), (2, 4, 14)]
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 1176)
    learned = encoder(patches, grids)
    assert learned.requires_grad
    with torch.inference_mode():
        seen = encoder(patches, grids)
    assert torch.allclose(seen, learned, atol=1e-4 if dtype == torch.float32 else 0.2)
