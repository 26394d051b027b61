"""The gated delta rule: blocks of tokens equal one token after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.nn.delta_rule import BLOCK, blockwise_delta_rule, delta_rule, recurrent_delta_rule

HEADS, KEY_SIZE, VALUE_SIZE = 3, 8, 12


def make_tokens(length: int, decay: float = 0.1) -> list[Tensor]:
    """Return q, k, v, log_decay, beta and a state of random numbers for a batch of 2."""
    generator = torch.Generator().manual_seed(length)

    def random(*shape: int) -> Tensor:
        return torch.randn(2, HEADS, *shape, generator=generator)

    q, k = (torch.nn.functional.normalize(random(length, KEY_SIZE), dim=-1) for _ in range(2))
    log_decay = -decay * random(length).exp()
    state = random(KEY_SIZE, VALUE_SIZE)
    return [q, k, random(length, VALUE_SIZE), log_decay, random(length).sigmoid(), state]


def split(tokens: list[Tensor], start: int, end: int) -> list[Tensor]:
    """Return the inputs of tokens start to end, without the state."""
    return [part[:, :, start:end] for part in tokens[:-1]]


@pytest.mark.parametrize("decay", [0.0, 0.1, 30.0])
@pytest.mark.parametrize("length", [1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_blocks_equal_single_tokens(length: int, decay: float) -> None:
    tokens = make_tokens(length, decay)
    before = [part.clone() for part in tokens]
    expected, expected_state = recurrent_delta_rule(*tokens)
    outputs, state = blockwise_delta_rule(*tokens)
    assert outputs.shape == (2, HEADS, length, VALUE_SIZE)
    assert torch.allclose(outputs, expected, atol=1e-4)
    assert torch.allclose(state, expected_state, atol=1e-4)
    for part, original in zip(tokens, before, strict=True):
        assert torch.equal(part, original)


@pytest.mark.parametrize("cut", [1, 3, BLOCK, BLOCK + 5, 2 * BLOCK - 1])
def test_two_calls_equal_one(cut: int) -> None:
    tokens = make_tokens(2 * BLOCK)
    expected, expected_state = delta_rule(*tokens)
    first, state = delta_rule(*split(tokens, 0, cut), tokens[-1])
    second, state = delta_rule(*split(tokens, cut, 2 * BLOCK), state)
    assert torch.allclose(torch.cat([first, second], dim=2), expected, atol=1e-4)
    assert torch.allclose(state, expected_state, atol=1e-4)


def test_full_correction_makes_key_return_value() -> None:
    q, k, v, log_decay, beta, state = make_tokens(1)
    outputs, state = delta_rule(k, k, v, log_decay, torch.ones_like(beta), state)
    assert torch.allclose(outputs, v, atol=1e-5)
    assert torch.allclose(k @ state, v, atol=1e-5)
    outputs, unchanged = delta_rule(q, k, v, torch.zeros_like(log_decay), torch.zeros_like(beta), state)
    assert torch.equal(unchanged, state)
    assert torch.allclose(outputs, q @ state)
