"""Decoding one pass ahead gives the same replies as waiting; on the CPU, where both can be run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from actions import UsageError
from model.engine import cuda_graphs
from model.engine.decode import AsyncCopy, Generation, Sampling, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.qwen25vl import Qwen25VL

CONTEXT = [TextSegment(tuple(range(3, 60)))]
TRACKED = tuple(range(50, 200))
SAMPLED = Sampling(1.3, 0.9, 50, seed=3)  # greedily, the tiny model repeats one token


def no_images(image: ImageSegment) -> torch.Tensor:
    raise AssertionError(image)


@pytest.fixture
def model(tiny_model: Qwen25VL) -> Qwen25VL:
    return tiny_model.requires_grad_(False)


def generate(session: PrefixCachedSession, lookahead: bool, count: int = 20, **options: Any) -> Generation:
    generation = Generation()
    tokens = list(
        generate_stream(
            session,
            CONTEXT,
            no_images,
            generation,
            max_new_tokens=count,
            tracked_ids=TRACKED,
            lookahead=lookahead,
            vocabulary=260,
            **options,
        )
    )
    assert tokens == generation.ids
    return generation


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
def test_lookahead_equals_waiting(model: Qwen25VL, graphs: bool, sampling: Sampling) -> None:
    plain, ahead = PrefixCachedSession(model), PrefixCachedSession(model, graphs=graphs)
    expected = generate(plain, False, sampling=sampling)
    reply = generate(ahead, True, sampling=sampling)
    assert reply.ids == expected.ids
    assert reply.passes == expected.passes
    assert reply.probabilities.keys() == expected.probabilities.keys()
    assert reply.probabilities
    for index, probabilities in expected.probabilities.items():
        assert reply.probabilities[index] == pytest.approx(probabilities, abs=1e-4)
    assert ahead.length == plain.length
    longer = [TextSegment((*CONTEXT[0].ids, *expected.ids, 9))]
    assert torch.allclose(plain.prefill(longer, no_images), ahead.prefill(longer, no_images), atol=1e-5)
    assert ahead.reused == plain.reused == len(CONTEXT[0].ids) + 19


@pytest.mark.parametrize("graphs", [False, True])
def test_pass_after_stop_id_is_rolled_back(model: Qwen25VL, graphs: bool) -> None:
    plain, ahead = PrefixCachedSession(model), PrefixCachedSession(model, graphs=graphs)
    options = {"sampling": SAMPLED, "stop_ids": (generate(plain, False, sampling=SAMPLED).ids[6],)}
    expected, reply = generate(plain, False, **options), generate(ahead, True, **options)
    assert reply.ids == expected.ids
    assert reply.ids[-1:] == [*options["stop_ids"]]
    assert 1 < len(reply.ids) < 20
    assert (reply.passes, ahead.length) == (expected.passes, plain.length)
    assert torch.allclose(plain.append([5, 6]), ahead.append([5, 6]), atol=1e-5)


def test_lookahead_stops_at_budget(model: Qwen25VL) -> None:
    budget = len(CONTEXT[0].ids) + 4
    replies = []
    for lookahead in (False, True):
        reply = Generation()
        with pytest.raises(UsageError, match="the budget is 61"):
            for _ in generate_stream(
                PrefixCachedSession(model, budget), CONTEXT, no_images, reply, max_new_tokens=9, lookahead=lookahead
            ):
                pass
        replies.append(reply.ids)
    assert replies[0] == replies[1]
    assert len(replies[0]) == 5
    assert len(generate(PrefixCachedSession(model, budget), True, count=5).ids) == 5


def test_graph_step_accepts_id_on_device(model: Qwen25VL) -> None:
    plain, graphed = PrefixCachedSession(model), PrefixCachedSession(model, graphs=True)
    plain.prefill(CONTEXT, no_images)
    graphed.prefill(CONTEXT, no_images)
    assert torch.allclose(
        plain.append_speculative(torch.tensor([7])), graphed.append_speculative(torch.tensor([7])), atol=1e-5
    )
    assert isinstance(graphed._graphs, cuda_graphs.DecodeGraphs)
    assert graphed._graphs._graphs
    for session in (plain, graphed):
        session.commit(7)
    assert torch.allclose(plain.append([8]), graphed.append([8]), atol=1e-5)


def test_async_copy_returns_values() -> None:
    assert AsyncCopy(torch.tensor([4]), torch.tensor([0.5, 0.25])).wait() == [[4], [0.5, 0.25]]
