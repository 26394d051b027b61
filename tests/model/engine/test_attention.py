"""Every attention kernel equals torch's plain attention with a mask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.nn import attention
from model.nn.attention import causal_attention, cu_seqlens, windowed_attention


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize(("length", "total"), [(1, 1), (1, 70), (5, 5), (5, 70), (600, 600), (530, 1100)])
def test_causal_attention_matches_masked_attention(heads: int, kv_heads: int, length: int, total: int) -> None:
    q, k, v, mask = cached_tensors(2, heads, kv_heads, length, total)
    expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    for kernel in (causal_attention, attention._causal_cuda, attention._masked):
        assert torch.allclose(kernel(q, k, v), expected, atol=1e-5)


def cached_tensors(
    batch: int, heads: int, kv_heads: int, length: int, total: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return q, k and v as a cache gives them, and the causal mask."""
    torch.manual_seed(length)
    q = torch.randn(batch, length, heads, 16).transpose(1, 2)
    cache = torch.randn(2, batch, kv_heads, total + 40, 16)  # with spare capacity
    mask = torch.arange(total) <= torch.arange(total - length, total)[:, None]
    return q, cache[0][:, :, :total], cache[1][:, :, :total], mask


def test_prefix_of_extreme_weight_is_merged_exactly() -> None:
    for scale in (60.0, -60.0):
        q, k, v, mask = cached_tensors(1, 4, 2, 9, 50)
        q, k = q.abs(), torch.cat([scale * k[:, :, :41].abs(), k[:, :, 41:]], dim=2)
        expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
        assert torch.allclose(causal_attention(q, k, v), expected, atol=1e-5)


def test_bfloat16_prefix_error_is_near_torch() -> None:
    q, k, v, mask = cached_tensors(1, 4, 2, 90, 700)
    exact = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    q, k, v = (part.bfloat16() for part in (q, k, v))
    reference = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    errors = [(output.float() - exact).abs().mean() for output in (causal_attention(q, k, v), reference)]
    assert errors[0] < 1.2 * errors[1]


def varlen_reference(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, _: Tensor, *widest: int) -> Tensor:
    """Compute torch's varlen_attn plainly: rows [T, heads, D], windows between consecutive starts."""
    out = torch.empty_like(q)
    bounds = starts.tolist()
    assert starts.dtype == torch.int32
    assert max(b - a for a, b in pairwise(bounds)) == widest[0]
    for a, b in pairwise(bounds):
        window = (part[a:b].transpose(0, 1) for part in (q, k, v))
        out[a:b] = F.scaled_dot_product_attention(*window).transpose(0, 1)
    return out


def test_varlen_windows_equal_grouped_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments of the CUDA call are passed to a reference implementation."""
    windows = ((6, 16), (3, 12), (2, 8), (1, 4))
    q, k, v = torch.randn(3, 2, sum(count * width for count, width in windows), 4, 10).unbind(0)
    monkeypatch.setattr(attention, "_varlen", lambda: varlen_reference)
    expected = attention._windowed_varlen(q, k, v, windows)
    assert torch.allclose(windowed_attention(q, k, v, windows), expected, atol=1e-6)


def test_varlen_signature_is_unchanged() -> None:
    import inspect

    varlen: Any = attention._varlen()
    if varlen is None:
        pytest.skip("this torch has no torch.nn.attention.varlen")
    names = list(inspect.signature(varlen).parameters)
    assert names[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


def test_cu_seqlens_covers_all_frames() -> None:
    starts, widest = cu_seqlens(2, ((2, 8), (1, 4)), torch.device("cpu"))
    assert starts.tolist() == [0, 8, 16, 20, 28, 36, 40]
    assert widest == 8


def test_wide_bfloat16_window_matches_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    q, k, v = (torch.randn(1, 1100, 2, 16, dtype=torch.bfloat16) for _ in range(3))
    wide = windowed_attention(q, k, v, ((1, 1100),))
    monkeypatch.setattr(attention, "WIDE", 10_000)
    plain = windowed_attention(q, k, v, ((1, 1100),))
    assert not torch.equal(wide, plain)  # both kernels were used
    torch.testing.assert_close(wide, plain, atol=0.01, rtol=0.05)
