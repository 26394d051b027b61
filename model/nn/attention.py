"""Attention kernels for the two halves of the model: causal over a long cache, and windowed.

`causal_attention` serves the decoder and `windowed_attention` the vision encoder. Each picks a path for the CPU, for
CUDA or for other devices.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512  # queries per block: bounds the mask to [ROWS, T], and skips the keys after the last query of a block
WIDE = 1024  # window size from which explicit matrix products are faster in half precision on the CPU


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention of the last S of T tokens.

    Query heads that share a key head are folded into its rows or its batch, so no key is copied.

    Args:
        q: Queries [B, heads, S, D]; each attends to its own position and all positions before it.
        k: Keys [B, kv heads, T, D].
        v: Values [B, kv heads, T, D].

    Returns:
        [B, heads, S, D].
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
    """Compute `causal_attention` on CUDA with torch's lower-right causal bias, whose kernels need no mask tensor."""
    from torch.nn.attention.bias import causal_lower_right

    length, total = q.shape[2], k.shape[2]
    bias = None if length == 1 else causal_lower_right(length, total)
    return F.scaled_dot_product_attention(q, k, v, bias, enable_gqa=q.shape[1] > k.shape[1])


def _masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute `causal_attention` on any device, with one mask per block of rows."""
    batch, heads, length, size = q.shape
    kv_heads, total = k.shape[1], k.shape[2]
    expanded = (batch * kv_heads, heads // kv_heads, total, size)
    keys, values = (part.flatten(0, 1)[:, None].expand(expanded) for part in (k, v))
    queries = q.reshape(batch * kv_heads, heads // kv_heads, length, size)
    parts = []
    for start in range(0, length, ROWS):
        rows = queries[:, :, start : start + ROWS]
        visible = total - length + start + rows.shape[2]
        positions = torch.arange(visible - rows.shape[2], visible, device=q.device)
        mask = torch.arange(visible, device=q.device) <= positions[:, None]  # [rows, visible]
        parts.append(F.scaled_dot_product_attention(rows, keys[:, :, :visible], values[:, :, :visible], mask))
    return torch.cat(parts, dim=2).reshape(batch, heads, length, size)


def _prefix_attention_cpu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute `causal_attention` on the CPU without a mask: the prefix and the new tokens apart, then merged.

    All rows see the whole prefix, so the heads of a group become rows of one product over it. Over the new tokens
    torch's causal kernel skips the upper triangle. The log-sum-exp that each kernel returns weighs the two results.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    batch, heads, length, size = q.shape
    kv_heads, past = k.shape[1], k.shape[2] - length
    group = heads // kv_heads
    expanded = (batch * kv_heads, group, length, size)
    keys, values = (part[:, :, past:].flatten(0, 1)[:, None].expand(expanded) for part in (k, v))
    queries = q.reshape(expanded)
    new, new_lse = attend(queries, keys, values, is_causal=True)  # [B * kv heads, group, S, D] and [.., S]
    if past:
        rows = queries.reshape(batch, kv_heads, group * length, size)
        prefix, prefix_lse = attend(rows, k[:, :, :past], v[:, :, :past])
        weight = (new_lse - prefix_lse.reshape(expanded[:3])).sigmoid()[..., None]
        new = torch.lerp(prefix.reshape(expanded).float(), new.float(), weight).to(q.dtype)
    return new.reshape(batch, heads, length, size)


def windowed_attention(q: Tensor, k: Tensor, v: Tensor, windows: tuple[tuple[int, int], ...]) -> Tensor:
    """Return attention within windows that lie side by side along the sequence.

    Windows of one size are one batched call; on CUDA in half precision all sizes are one variable-length call.

    Args:
        q: Queries [F, S, heads, D], F frames.
        k: Keys [F, S, heads, D].
        v: Values [F, S, heads, D].
        windows: Groups (count, size) of equal windows in their order along S; the sizes add up to S.

    Returns:
        [F, S, heads, D].
    """
    if q.is_cuda and len(windows) > 1 and q.dtype in (torch.float16, torch.bfloat16) and _varlen() is not None:
        return _windowed_varlen(q, k, v, windows)
    frames, _, heads, size = q.shape
    parts, start = [], 0
    for count, width in windows:
        group = slice(start, start + count * width)
        query, key, value = (
            part[:, group].reshape(frames * count, width, heads, size).transpose(1, 2) for part in (q, k, v)
        )
        if q.requires_grad and not q.is_cuda:
            out = _products(query, key, value)
        elif width >= WIDE and not q.is_cuda and q.dtype != torch.float32:
            out = _by_rows(query, key, value)
        else:
            out = F.scaled_dot_product_attention(query, key, value)
        # [F * count, heads, width, D]
        parts.append(out.transpose(1, 2).reshape(frames, count * width, heads, size))
        start = group.stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention of q, k, v [N, heads, S, D] by explicit products, for training on the CPU.

    In half precision, forward and backward through torch's own kernel takes 2 to 7 times as long (docs/lab/log.md).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(-1) @ v


def _by_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention of q, k, v [N, heads, S, D] by products over blocks of queries, in half precision on the CPU.

    torch's own kernel is no faster in half precision than in float32 there; matrix products are. Scores are rounded to
    half precision, as in transformers' eager attention.
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
    """Return torch's variable-length attention, or None in versions of torch that lack it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: object = varlen_attn
    return kernel


@lru_cache(maxsize=64)
def cu_seqlens(frames: int, windows: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, int]:
    """Return cumulative window lengths, int32 [windows + 1], over the rows of all frames, and the largest window."""
    widths = [width for count, width in windows for _ in range(count)]
    with torch.inference_mode(False):  # the cached tensor must also work in training
        starts = torch.tensor([0, *widths * frames], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return starts.to(device), max(widths)


def _windowed_varlen(q: Tensor, k: Tensor, v: Tensor, windows: tuple[tuple[int, int], ...]) -> Tensor:
    attend = _varlen()
    assert callable(attend)
    starts, widest = cu_seqlens(len(q), windows, q.device)
    flat = [part.flatten(0, 1) for part in (q, k, v)]  # [F * S, heads, D]
    out: Tensor = attend(*flat, starts, starts, widest, widest)
    return out.view(q.shape)
