"""The vision encoder: layouts, batching and blockwise evaluation."""

from __future__ import annotations

import pytest
import torch

from model.nn import vision_encoder
from model.nn.qwen25vl import Qwen25VL
from model.nn.vision_encoder import layout


def test_layout_from_inference_works_in_training(tiny_model: Qwen25VL) -> None:
    layout.cache_clear()
    patches = torch.randn(6 * 4, 1176)
    with torch.inference_mode():
        tiny_model.visual(patches, [(1, 6, 4)])
    tiny_model.visual(patches, [(1, 6, 4)]).sum().backward()
    assert tiny_model.visual.patch_embed.proj.weight.grad is not None


def test_images_do_not_attend_to_each_other(tiny_model: Qwen25VL) -> None:
    grids = [(1, 6, 4), (1, 2, 2), (1, 6, 4), (2, 8, 10)]
    patches = [torch.randn(t * h * w, 1176) for t, h, w in grids]
    together = tiny_model.visual(torch.cat(patches), grids)
    alone = torch.cat(
        [tiny_model.visual(image_patches, [grid]) for image_patches, grid in zip(patches, grids, strict=True)]
    )
    assert torch.allclose(together, alone, atol=1e-5)


def test_windows_cover_frame_in_four_sizes() -> None:
    for grid_h, grid_w in ((2, 2), (26, 20), (78, 138), (8, 8), (10, 2)):
        window_layout = layout(grid_h, grid_w, 2, 4, torch.device("cpu"))
        merged_count = grid_h * grid_w // 4
        assert sorted(window_layout.order.tolist()) == list(range(merged_count))
        assert window_layout.order[window_layout.inverse].tolist() == list(range(merged_count))
        assert len(window_layout.groups) <= 4
        assert sum(count * size for count, size in window_layout.groups) == merged_count


@pytest.mark.parametrize("rows", [7, 50, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blockwise_output_equals_full_output(
    tiny_model: Qwen25VL, monkeypatch: pytest.MonkeyPatch, rows: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(vision_encoder, "ROWS", rows)
    torch.manual_seed(3)
    encoder, grids = tiny_model.visual.to(dtype), [(1, 10, 6), (1, 10, 6), (2, 4, 14)]
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 1176)
    expected = encoder(patches, grids)
    assert expected.requires_grad
    with torch.inference_mode():
        blockwise = encoder(patches, grids)
    assert torch.allclose(blockwise, expected, atol=1e-4 if dtype == torch.float32 else 0.2)
