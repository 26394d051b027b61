"""Passes that begin before their id is known say what those say that wait for it; on the CPU, where both can be run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from actions import UsageError
from model.engine import cuda_graphs
from model.engine.decode import AsyncCopy, Generation, Sampling, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.qwen25vl import Qwen25VL

WORDS = [TextSegment(tuple(range(3, 60)))]
WATCHED = tuple(range(50, 200))
DRAWN = Sampling(1.3, 0.9, 50, seed=3)  # the tiny model's likeliest words are one word


def nothing(one: ImageSegment) -> torch.Tensor:
    raise AssertionError(one)


@pytest.fixture
def model(tiny_model: Qwen25VL) -> Qwen25VL:
    return tiny_model.requires_grad_(False)


def said(session: PrefixCachedSession, ahead: bool, count: int = 20, **how: Any) -> Generation:
    reply = Generation()
    heard = list(
        generate_stream(
            session,
            WORDS,
            nothing,
            reply,
            max_new_tokens=count,
            tracked_ids=WATCHED,
            lookahead=ahead,
            vocabulary=260,
            **how,
        )
    )
    assert heard == reply.ids
    return reply


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("sampling", [Sampling(), DRAWN])
def test_the_same_ids_probabilities_and_context(model: Qwen25VL, fixed: bool, sampling: Sampling) -> None:
    waiting, running = PrefixCachedSession(model), PrefixCachedSession(model, graphs=fixed)
    expected = said(waiting, False, sampling=sampling)
    reply = said(running, True, sampling=sampling)
    assert reply.ids == expected.ids and reply.passes == expected.passes
    assert reply.probabilities.keys() == expected.probabilities.keys() and reply.probabilities
    for place, likely in expected.probabilities.items():
        assert reply.probabilities[place] == pytest.approx(likely, abs=1e-4)
    assert running.length == waiting.length
    more = [TextSegment((*WORDS[0].ids, *expected.ids, 9))]
    assert torch.allclose(waiting.prefill(more, nothing), running.prefill(more, nothing), atol=1e-5)
    assert running.reused == waiting.reused == len(WORDS[0].ids) + 19


@pytest.mark.parametrize("fixed", [False, True])
def test_what_was_begun_behind_a_stop_is_taken_back(model: Qwen25VL, fixed: bool) -> None:
    waiting, running = PrefixCachedSession(model), PrefixCachedSession(model, graphs=fixed)
    how = {"sampling": DRAWN, "stop_ids": (said(waiting, False, sampling=DRAWN).ids[6],)}
    expected, reply = said(waiting, False, **how), said(running, True, **how)
    assert reply.ids == expected.ids and reply.ids[-1:] == [*how["stop_ids"]] and 1 < len(reply.ids) < 20
    assert (reply.passes, running.length) == (expected.passes, waiting.length)
    assert torch.allclose(waiting.append([5, 6]), running.append([5, 6]), atol=1e-5)


def test_at_the_end_of_the_budget_it_is_said_as_otherwise(model: Qwen25VL) -> None:
    budget = len(WORDS[0].ids) + 4
    heard = []
    for ahead in (False, True):
        reply = Generation()
        with pytest.raises(UsageError, match="the budget is 61"):
            for _ in generate_stream(
                PrefixCachedSession(model, budget), WORDS, nothing, reply, max_new_tokens=9, lookahead=ahead
            ):
                pass
        heard.append(reply.ids)
    assert heard[0] == heard[1] and len(heard[0]) == 5
    assert len(said(PrefixCachedSession(model, budget), True, count=5).ids) == 5


def test_a_step_of_fixed_shape_takes_an_id_that_is_a_tensor(model: Qwen25VL) -> None:
    plain, fixed = PrefixCachedSession(model), PrefixCachedSession(model, graphs=True)
    plain.prefill(WORDS, nothing)
    fixed.prefill(WORDS, nothing)
    assert torch.allclose(
        plain.append_speculative(torch.tensor([7])), fixed.append_speculative(torch.tensor([7])), atol=1e-5
    )
    assert isinstance(fixed._graphs, cuda_graphs.DecodeGraphs) and fixed._graphs._graphs
    for session in (plain, fixed):
        session.commit(7)
    assert torch.allclose(plain.append([8]), fixed.append([8]), atol=1e-5)


def test_what_comes_from_a_device_is_what_was_there() -> None:
    assert AsyncCopy(torch.tensor([4]), torch.tensor([0.5, 0.25])).wait() == [[4], [0.5, 0.25]]
