"""Batch generation: cache, sampling, streaming and stop ids."""

from __future__ import annotations

import pytest
import torch

from actions import UsageError
from model.engine.decode import Sampling, generate_batch, sample, stream_batch
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL


def test_cached_steps_equal_full_forward(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (1, 9))
    new = generate_batch(tiny_model, ids, max_new_tokens=40)
    sequence = torch.cat([ids, new], dim=1)
    expected = tiny_model(sequence).argmax(-1)[:, ids.shape[1] - 1 : -1]
    assert torch.equal(new, expected)


def test_left_padded_row_equals_unpadded_row(tiny_model: Qwen25VL) -> None:
    short, long = torch.randint(0, 250, (1, 5)), torch.randint(0, 250, (1, 11))
    ids = torch.cat([torch.cat([torch.full((1, 6), 7), short], dim=1), long])
    mask = torch.tensor([[0] * 6 + [1] * 5, [1] * 11])
    together = generate_batch(tiny_model, ids, max_new_tokens=12, attention_mask=mask)
    assert torch.equal(together[0], generate_batch(tiny_model, short, max_new_tokens=12)[0])
    assert torch.equal(together[1], generate_batch(tiny_model, long, max_new_tokens=12)[0])


def test_stopped_row_repeats_its_stop_id(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (2, 6))
    free = generate_batch(tiny_model, ids, max_new_tokens=10)
    stop = int(free[0, 3])
    stopped = generate_batch(tiny_model, ids, max_new_tokens=10, stop_ids=[stop])
    first = free[0].tolist().index(stop)
    assert stopped[0, : first + 1].tolist() == free[0, : first + 1].tolist()
    assert set(stopped[0, first:].tolist()) == {stop}


def test_padding_ids_are_never_sampled(tiny_model: Qwen25VL) -> None:
    with torch.no_grad():
        tiny_model.lm_head.weight[300:] += 5  # type: ignore[union-attr]
    ids = torch.randint(0, 250, (4, 6))
    assert int(generate_batch(tiny_model, ids, max_new_tokens=8, vocabulary=300).max()) < 300


def test_sampling_depends_on_seed_only(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (1, 6))

    def generate(seed: int) -> list[int]:
        sampling = Sampling(temperature=1.5, seed=seed)
        return generate_batch(tiny_model, ids, max_new_tokens=20, sampling=sampling)[0].tolist()

    assert generate(1) == generate(1)
    assert len({tuple(generate(seed)) for seed in range(5)}) > 1


def test_top_k_and_top_p_limit_candidates() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, -9.0]]).repeat(500, 1)
    generator = torch.Generator().manual_seed(0)
    assert set(sample(logits, Sampling(1.0, top_k=2), generator).tolist()) == {0, 1}
    assert set(sample(logits, Sampling(1.0, top_p=0.5), generator).tolist()) == {0}
    assert set(sample(logits, Sampling(5.0, top_p=1.0), generator).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("options", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}])
def test_invalid_sampling_is_rejected(options: dict) -> None:
    with pytest.raises(UsageError, match="sampling needs"):
        Sampling(**options)


def test_tokens_are_yielded_one_by_one(tiny_model: Qwen25VL) -> None:
    tokens = stream_batch(tiny_model, torch.randint(0, 250, (1, 6)), max_new_tokens=1000)
    assert [next(tokens).shape for _ in range(3)] == [(1,)] * 3


def test_cache_growth_keeps_contents() -> None:
    cache = KVCache(layers=1, capacity=2)
    appended = []
    for length in (1, 3, 300):
        keys = torch.randn(2, 3, length, 4)
        appended.append(keys)
        cached, _ = cache.append(0, keys, keys)
        cache.length += length
        assert torch.equal(cached, torch.cat(appended, dim=2))
