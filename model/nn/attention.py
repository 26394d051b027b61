"""Attention as an agent's context needs it: new tokens behind a long past, windows of many sizes. Knows tensors only.

Two names, each with paths for the CPU, for CUDA and for the rest: `causal` for the decoder, `windows` for the encoder.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512  # queries at a time: the mask is [ROWS, T] at most, and what lies behind the last of them is not computed
WIDE = 1024  # patches that see each other, from which on plain products pay in half precision


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q [B, heads, S, D] are the last S of the T tokens in k and v [B, kv heads, T, D]; each sees itself and before.

    Query heads share a head of keys by being its rows or its batch: no key is copied. Returns [B, heads, S, D].
    """
    batch, heads, length, size = q.shape
    if q.is_cuda:
        return _causal_cuda(q, k, v)
    if length == 1:
        kv_heads = k.shape[1]
        folded = q.reshape(batch, kv_heads, heads // kv_heads, size)
        return F.scaled_dot_product_attention(folded, k, v).view(batch, heads, 1, size)
    return _prefix_attention_cpu(q, k, v) if q.device.type == "cpu" else _masked(q, k, v)


def _causal_cuda(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """causal for CUDA: torch's own bias, whose kernels need no mask."""
    from torch.nn.attention.bias import causal_lower_right

    length, total = q.shape[2], k.shape[2]
    bias = None if length == 1 else causal_lower_right(length, total)
    return F.scaled_dot_product_attention(q, k, v, bias, enable_gqa=q.shape[1] > k.shape[1])


def _masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """causal for any device, by a mask for each block of rows."""
    batch, heads, length, size = q.shape
    kv_heads, total = k.shape[1], k.shape[2]
    spread = (batch * kv_heads, heads // kv_heads, total, size)
    keys, values = (part.flatten(0, 1)[:, None].expand(spread) for part in (k, v))
    queries = q.reshape(batch * kv_heads, heads // kv_heads, length, size)
    parts = []
    for start in range(0, length, ROWS):
        rows = queries[:, :, start : start + ROWS]
        seen = total - length + start + rows.shape[2]
        places = torch.arange(seen - rows.shape[2], seen, device=q.device)
        mask = torch.arange(seen, device=q.device) <= places[:, None]  # [rows, seen]
        parts.append(F.scaled_dot_product_attention(rows, keys[:, :, :seen], values[:, :, :seen], mask))
    return torch.cat(parts, dim=2).reshape(batch, heads, length, size)


def _prefix_attention_cpu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """causal on the CPU, without a mask: the past, which all rows see whole, and the new tokens' own triangle.

    Each part comes with the logarithm of its sum of exponentials, which says how much of the whole it is. Over the past
    the heads of a group are rows of one product; of the triangle torch's kernel skips what lies behind it.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    batch, heads, length, size = q.shape
    kv_heads, past = k.shape[1], k.shape[2] - length
    group = heads // kv_heads
    spread = (batch * kv_heads, group, length, size)
    keys, values = (part[:, :, past:].flatten(0, 1)[:, None].expand(spread) for part in (k, v))
    queries = q.reshape(spread)
    own, own_sum = attend(queries, keys, values, is_causal=True)  # [B * kv heads, group, S, D] and [.., S]
    if past:
        rows = queries.reshape(batch, kv_heads, group * length, size)
        old, old_sum = attend(rows, k[:, :, :past], v[:, :, :past])
        share = (own_sum - old_sum.reshape(spread[:3])).sigmoid()[..., None]
        own = torch.lerp(old.reshape(spread).float(), own.float(), share).to(q.dtype)
    return own.reshape(batch, heads, length, size)


def windowed_attention(q: Tensor, k: Tensor, v: Tensor, spans: tuple[tuple[int, int], ...]) -> Tensor:
    """Attention within windows: q, k, v [F, S, heads, D], spans ((windows, size), ...) side by side along S.

    One batched call for each size; on CUDA one call over all of them. Returns [F, S, heads, D].
    """
    if q.is_cuda and len(spans) > 1 and q.dtype in (torch.float16, torch.bfloat16) and _varlen() is not None:
        return _windows_varlen(q, k, v, spans)
    frames, _, heads, size = q.shape
    parts, start = [], 0
    for count, width in spans:
        piece = slice(start, start + count * width)
        query, key, value = (
            part[:, piece].reshape(frames * count, width, heads, size).transpose(1, 2) for part in (q, k, v)
        )
        if q.requires_grad and not q.is_cuda:
            out = _products(query, key, value)
        elif width >= WIDE and not q.is_cuda and q.dtype != torch.float32:
            out = _by_rows(query, key, value)
        else:
            out = F.scaled_dot_product_attention(query, key, value)
        # [F * count, heads, width, D]
        parts.append(out.transpose(1, 2).reshape(frames, count * width, heads, size))
        start = piece.stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of q, k, v [N, heads, S, D] by plain products, for training on the CPU.

    In half precision, there and back torch's own kernel takes two to seven times as long (docs/log.md).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(-1) @ v


def _by_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of q, k, v [N, heads, S, D] by plain products over blocks of queries, in half precision on the CPU.

    torch's own kernel there is no faster in half precision than in float32; the products are. Scores are rounded to
    half precision, as transformers' eager attention rounds them.
    """
    out = torch.empty_like(q)
    for number in range(len(q)):
        for head in range(q.shape[1]):
            keys, values = k[number, head].t().contiguous(), v[number, head].contiguous()
            queries = q[number, head] * q.shape[-1] ** -0.5
            for start in range(0, q.shape[2], ROWS):
                scores = queries[start : start + ROWS] @ keys
                out[number, head, start : start + ROWS] = scores.softmax(-1) @ values
    return out


@lru_cache(maxsize=1)
def _varlen() -> object | None:
    """torch's attention over rows of varying length; None in versions of torch that lack it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    found: object = varlen_attn
    return found


@lru_cache(maxsize=64)
def ends(frames: int, spans: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, int]:
    """Where each window begins, int32 [windows + 1], in rows of all frames one after the other; and the widest one."""
    one = [width for count, width in spans for _ in range(count)]
    with torch.inference_mode(False):  # kept: training may meet it later
        starts = torch.tensor([0, *one * frames], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return starts.to(device), max(one)


def _windows_varlen(q: Tensor, k: Tensor, v: Tensor, spans: tuple[tuple[int, int], ...]) -> Tensor:
    attend = _varlen()
    assert callable(attend)
    starts, widest = ends(len(q), spans, q.device)
    flat = [part.flatten(0, 1) for part in (q, k, v)]  # [F * S, heads, D]
    out: Tensor = attend(*flat, starts, starts, widest, widest)
    return out.view(q.shape)
