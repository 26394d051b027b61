"""The gated delta rule: linear attention over a state of fixed size.

The state of a head is a matrix S [Dk, Dv] that maps keys to values. Each token scales it by a decay, replaces the share
beta of what it returns for the token's key, and reads it with the token's query:

    S <- decay * S;  S <- S + k^T beta (v - k S);  output = q S

Token by token this is one product after the other. In blocks of tokens all corrections beta (v - k S) of a block
follow from the state before it: each depends on the earlier ones through products of keys, a triangular system. Source:
arXiv 2412.06464, section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 64  # tokens whose corrections are solved together


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, heads, S, Dv], and the state after the last token.

    Args:
        q: Queries, float32 [B, heads, S, Dk].
        k: Keys, float32 [B, heads, S, Dk].
        v: Values, float32 [B, heads, S, Dv].
        log_decay: Logarithms of the decays, float32 [B, heads, S], at most 0.
        beta: Shares of the corrections, float32 [B, heads, S].
        state: float32 [B, heads, Dk, Dv]; not changed.
    """
    if q.shape[2] == 1:
        return recurrent_delta_rule(q, k, v, log_decay, beta, state)
    return blockwise_delta_rule(q, k, v, log_decay, beta, state)


def recurrent_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `delta_rule` token by token."""
    outputs: list[Tensor] = []
    for index in range(q.shape[2]):
        token = slice(index, index + 1)
        state = state * log_decay[..., token, None].exp()
        correction = (v[:, :, token] - k[:, :, token] @ state) * beta[..., token, None]
        state = state + k[:, :, token].transpose(-1, -2) @ correction
        outputs.append(q[:, :, token] @ state)
    return torch.cat(outputs, dim=2), state


def blockwise_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `delta_rule` in blocks; the last one is filled with tokens that change nothing."""
    length, size = q.shape[2], min(BLOCK, q.shape[2])
    padding = -length % size
    q, k, v = (F.pad(part, (0, 0, 0, padding)).unflatten(2, (-1, size)) for part in (q, k, v))  # [B, heads, N, size, D]
    log_decay, beta = (F.pad(part, (0, padding)).unflatten(2, (-1, size)) for part in (log_decay, beta))
    total = log_decay.cumsum(-1)  # [B, heads, N, size]: logarithm of the decay since the start of the block
    later = torch.ones(size, size, dtype=torch.bool, device=q.device).triu(1)
    # decay from token j to token i [.., i, j], 0 where j is later
    between = (total[..., :, None] - total[..., None, :]).masked_fill(later, float("-inf")).exp()
    since_start, until_end = total.exp()[..., None], (total[..., -1:] - total).exp()[..., None]
    system = k @ k.transpose(-1, -2) * between * beta[..., None]  # what is on and above its diagonal is not read
    # corrections = of_values - of_state @ state
    right = torch.cat([v * beta[..., None], k * since_start * beta[..., None]], dim=-1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    of_values, of_state = solved.split([v.shape[-1], k.shape[-1]], dim=-1)
    within = q @ k.transpose(-1, -2) * between
    from_state, into_state = q * since_start, (k * until_end).transpose(-1, -2)
    block_decay = total[..., -1:].exp()[..., None]
    outputs: list[Tensor] = []
    for index in range(q.shape[2]):
        corrections = of_values[:, :, index] - of_state[:, :, index] @ state
        outputs.append(from_state[:, :, index] @ state + within[:, :, index] @ corrections)
        state = state * block_decay[:, :, index] + into_state[:, :, index] @ corrections
    return torch.cat(outputs, dim=2)[:, :, :length], state
