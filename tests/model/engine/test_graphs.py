"""Steps of fixed shape say what free ones say. On the CPU nothing is recorded; the functions are those of CUDA."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model.engine import cuda_graphs
from model.engine.cuda_graphs import VisionGraphs
from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.qwen25vl import Qwen25VL

WORDS = [TextSegment(tuple(range(3, 60)))]


def nothing(one: ImageSegment) -> torch.Tensor:
    raise AssertionError(one)


@pytest.fixture
def model(tiny_model: Qwen25VL) -> Qwen25VL:
    return tiny_model.requires_grad_(False)


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Each function that would have been recorded."""
    made: list[Callable[[], None]] = []

    def recorded(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        made.append(run)
        run()  # as CUDA's does, to warm up, before anything else
        return run

    monkeypatch.setattr(cuda_graphs, "capture", recorded)
    return made


def test_steps_of_every_size_equal_free_ones(model: Qwen25VL, recordings: list) -> None:
    plain, fixed = PrefixCachedSession(model), PrefixCachedSession(model, graphs=True)
    assert torch.allclose(plain.prefill(WORDS, nothing), fixed.prefill(WORDS, nothing), atol=1e-5)
    for count in (1, 3, 4, 7, 20, 32, 1, 40, 2):
        ids = list(range(count))
        assert torch.allclose(plain.append(ids), fixed.append(ids), atol=1e-5), count
        assert plain.length == fixed.length
    assert len(recordings) == 4  # of 1, 4, 8 and 32; 40 are too many for a step
    for _ in range(9):  # beyond the room that there was
        plain.append(list(range(32)))
        fixed.append(list(range(32)))
    assert torch.allclose(plain.append([1]), fixed.append([1]), atol=1e-5)
    assert len(recordings) > 4
    after = [TextSegment((*WORDS[0].ids, 0, 0, 1, 2, 9))]  # what was said stays in the cache, and is reused
    assert torch.allclose(plain.prefill(after, nothing), fixed.prefill(after, nothing), atol=1e-5)
    assert fixed.reused == plain.reused == 61


def test_a_reply_is_the_same_and_one_recording_serves_all_of_it(model: Qwen25VL, recordings: list) -> None:
    said = []
    for on in (False, True):
        reply = Generation()
        list(generate_stream(PrefixCachedSession(model, graphs=on), WORDS, nothing, reply, max_new_tokens=30))
        said.append(reply.ids)
    assert said[0] == said[1]
    assert len(recordings) == 1


def test_where_the_budget_leaves_no_room_for_a_whole_step_it_goes_free(model: Qwen25VL, recordings: list) -> None:
    session, plain = PrefixCachedSession(model, budget_tokens=60, graphs=True), PrefixCachedSession(model)
    session.prefill(WORDS, nothing)
    plain.prefill(WORDS, nothing)
    assert torch.allclose(session.append([5, 6, 7]), plain.append([5, 6, 7]), atol=1e-5)
    assert not recordings and session.length == 60


def test_weights_that_moved_and_a_context_that_was_forgotten_are_recorded_anew(model: Qwen25VL) -> None:
    session = PrefixCachedSession(model, graphs=True)
    session.prefill(WORDS, nothing)
    session.append([5])
    first = session._graphs
    session.reset()
    session.prefill(WORDS, nothing)
    again = session.append([5])
    assert session._graphs is not first
    model.to(torch.bfloat16)
    session.prefill(WORDS, nothing)
    assert session.append([5]).dtype == torch.bfloat16 and again.dtype == torch.float32


def test_pictures_have_a_recording_for_each_of_the_last_sizes(model: Qwen25VL, recordings: list) -> None:
    encode = VisionGraphs(model.visual, record=True)
    made = torch.Generator().manual_seed(0)
    grids = [(1, 4, 4), (1, 4, 6), (1, 4, 4), (1, 6, 6), (1, 4, 8), (1, 8, 8), (1, 4, 4)]
    for grid in grids:
        patches = torch.randn(grid[1] * grid[2], 588, generator=made)
        with torch.inference_mode():
            assert torch.equal(encode(patches, grid), model.visual(patches, [grid]))
    assert len(recordings) == 5  # the first size stayed among the last four
    assert len(encode._graphs) == cuda_graphs.MAX_IMAGE_SIZES
