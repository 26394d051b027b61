"""Generation: the cache, sampling, streaming, stopping."""

from __future__ import annotations

import pytest
import torch

from actions import UsageError
from model.engine.decode import Sampling, generate_batch, sample, stream_batch
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL


def test_cached_steps_equal_the_whole_sequence(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (1, 9))
    new = generate_batch(tiny_model, ids, max_new_tokens=40)
    whole = torch.cat([ids, new], dim=1)
    again = tiny_model(whole).argmax(-1)[:, ids.shape[1] - 1 : -1]
    assert torch.equal(new, again)


def test_left_padded_rows_say_what_they_say_alone(tiny_model: Qwen25VL) -> None:
    short, long = torch.randint(0, 250, (1, 5)), torch.randint(0, 250, (1, 11))
    ids = torch.cat([torch.cat([torch.full((1, 6), 7), short], dim=1), long])
    mask = torch.tensor([[0] * 6 + [1] * 5, [1] * 11])
    together = generate_batch(tiny_model, ids, max_new_tokens=12, attention_mask=mask)
    assert torch.equal(together[0], generate_batch(tiny_model, short, max_new_tokens=12)[0])
    assert torch.equal(together[1], generate_batch(tiny_model, long, max_new_tokens=12)[0])


def test_stops_at_a_stop_id_and_repeats_it_for_rows_that_are_done(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (2, 6))
    free = generate_batch(tiny_model, ids, max_new_tokens=10)
    stop = int(free[0, 3])
    stopped = generate_batch(tiny_model, ids, max_new_tokens=10, stop_ids=[stop])
    first = free[0].tolist().index(stop)
    assert stopped[0, : first + 1].tolist() == free[0, : first + 1].tolist()
    assert set(stopped[0, first:].tolist()) == {stop}


def test_padding_rows_of_the_embedding_are_never_said(tiny_model: Qwen25VL) -> None:
    with torch.no_grad():
        tiny_model.lm_head.weight[300:] += 5  # type: ignore[union-attr]
    ids = torch.randint(0, 250, (4, 6))
    assert int(generate_batch(tiny_model, ids, max_new_tokens=8, vocabulary=300).max()) < 300


def test_sampling_repeats_with_its_seed_and_varies_without(tiny_model: Qwen25VL) -> None:
    ids = torch.randint(0, 250, (1, 6))

    def say(seed: int) -> list[int]:
        how = Sampling(temperature=1.5, seed=seed)
        return generate_batch(tiny_model, ids, max_new_tokens=20, sampling=how)[0].tolist()

    assert say(1) == say(1)
    assert len({tuple(say(seed)) for seed in range(5)}) > 1


def test_top_k_and_top_p_leave_only_the_likeliest() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, -9.0]]).repeat(500, 1)
    generator = torch.Generator().manual_seed(0)
    assert set(sample(logits, Sampling(1.0, top_k=2), generator).tolist()) == {0, 1}
    assert set(sample(logits, Sampling(1.0, top_p=0.5), generator).tolist()) == {0}
    assert set(sample(logits, Sampling(5.0, top_p=1.0), generator).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}])
def test_impossible_sampling_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="sampling needs"):
        Sampling(**wrong)


def test_tokens_come_one_by_one(tiny_model: Qwen25VL) -> None:
    tokens = stream_batch(tiny_model, torch.randint(0, 250, (1, 6)), max_new_tokens=1000)
    assert [next(tokens).shape for _ in range(3)] == [(1,)] * 3


def test_cache_grows_and_keeps_what_it_held() -> None:
    cache = KVCache(layers=1, capacity=2)
    held = []
    for length in (1, 3, 300):
        keys = torch.randn(2, 3, length, 4)
        held.append(keys)
        seen, _ = cache.append(0, keys, keys)
        cache.length += length
        assert torch.equal(seen, torch.cat(held, dim=2))
