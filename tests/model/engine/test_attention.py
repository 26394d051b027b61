"""The fast ways of attending come to what the plain way comes to."""

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
def test_new_tokens_see_the_past_and_no_later_one(heads: int, kv_heads: int, length: int, total: int) -> None:
    q, k, v, mask = behind(2, heads, kv_heads, length, total)
    expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    for way in (
        causal_attention,
        attention._causal_cuda,
        attention._masked,
    ):  # the CPU's, CUDA's, and that of all others
        assert torch.allclose(way(q, k, v), expected, atol=1e-5)


def behind(batch: int, heads: int, kv_heads: int, length: int, total: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v as a cache gives them, and what each row may see."""
    torch.manual_seed(length)
    q = torch.randn(batch, length, heads, 16).transpose(1, 2)
    room = torch.randn(2, batch, kv_heads, total + 40, 16)  # keys and values stand in a larger room
    mask = torch.arange(total) <= torch.arange(total - length, total)[:, None]
    return q, room[0][:, :, :total], room[1][:, :, :total], mask


def test_a_past_that_outweighs_the_new_tokens_and_one_that_weighs_nothing() -> None:
    for scale in (60.0, -60.0):
        q, k, v, mask = behind(1, 4, 2, 9, 50)
        q, k = q.abs(), torch.cat([scale * k[:, :, :41].abs(), k[:, :, 41:]], dim=2)
        expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
        assert torch.allclose(causal_attention(q, k, v), expected, atol=1e-5)


def test_behind_a_past_half_precision_is_as_near_to_float32_as_torch_is() -> None:
    q, k, v, mask = behind(1, 4, 2, 90, 700)
    exact = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    q, k, v = (part.bfloat16() for part in (q, k, v))
    theirs = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    off = [(one.float() - exact).abs().mean() for one in (causal_attention(q, k, v), theirs)]
    assert off[0] < 1.2 * off[1]


def per_window(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, _: Tensor, *widest: int) -> Tensor:
    """torch.nn.attention.varlen's varlen_attn, said plainly: rows [T, heads, D], windows from starts to starts."""
    out = torch.empty_like(q)
    bounds = starts.tolist()
    assert starts.dtype == torch.int32 and max(b - a for a, b in pairwise(bounds)) == widest[0]
    for a, b in pairwise(bounds):
        one = (part[a:b].transpose(0, 1) for part in (q, k, v))
        out[a:b] = F.scaled_dot_product_attention(*one).transpose(0, 1)
    return out


def test_windows_in_groups_and_windows_of_varying_length_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that CUDA gets, put to a plain stand-in with varlen_attn's arguments."""
    spans = ((6, 16), (3, 12), (2, 8), (1, 4))
    q, k, v = torch.randn(3, 2, sum(count * width for count, width in spans), 4, 10).unbind(0)
    monkeypatch.setattr(attention, "_varlen", lambda: per_window)
    expected = attention._windowed_varlen(q, k, v, spans)
    assert torch.allclose(windowed_attention(q, k, v, spans), expected, atol=1e-6)


def test_varlen_takes_the_arguments_that_it_is_given() -> None:
    import inspect

    varlen: Any = attention._varlen()
    if varlen is None:
        pytest.skip("this torch has no torch.nn.attention.varlen")
    names = list(inspect.signature(varlen).parameters)
    assert names[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


def test_where_windows_begin_counts_all_frames() -> None:
    starts, widest = cu_seqlens(2, ((2, 8), (1, 4)), torch.device("cpu"))
    assert starts.tolist() == [0, 8, 16, 20, 28, 36, 40] and widest == 8


def test_a_wide_window_in_half_precision_comes_to_what_torch_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    q, k, v = (torch.randn(1, 1100, 2, 16, dtype=torch.bfloat16) for _ in range(3))
    wide = windowed_attention(q, k, v, ((1, 1100),))
    monkeypatch.setattr(attention, "WIDE", 10_000)
    plain = windowed_attention(q, k, v, ((1, 1100),))
    assert not torch.equal(wide, plain)  # two ways, not one twice
    torch.testing.assert_close(wide, plain, atol=0.01, rtol=0.05)
