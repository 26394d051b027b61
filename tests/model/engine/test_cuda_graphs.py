"""Steps of fixed shape equal free ones; on the CPU the same functions run without being captured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model.engine import cuda_graphs
from model.engine.cuda_graphs import VisionGraphs
from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.qwen25vl import Qwen25VL

CONTEXT = [TextSegment(tuple(range(3, 60)))]


def no_images(image: ImageSegment) -> torch.Tensor:
    raise AssertionError(image)


@pytest.fixture
def model(tiny_model: Qwen25VL) -> Qwen25VL:
    return tiny_model.requires_grad_(False)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Return the functions that CUDA would capture."""
    functions: list[Callable[[], None]] = []

    def capture(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        functions.append(run)
        run()  # as in CUDA's warm-up
        return run

    monkeypatch.setattr(cuda_graphs, "capture", capture)
    return functions


def test_graph_steps_equal_free_steps(model: Qwen25VL, captured: list) -> None:
    plain, graphed = PrefixCachedSession(model), PrefixCachedSession(model, graphs=True)
    assert torch.allclose(plain.prefill(CONTEXT, no_images), graphed.prefill(CONTEXT, no_images), atol=1e-5)
    for count in (1, 3, 4, 7, 20, 32, 1, 40, 2):
        ids = list(range(count))
        assert torch.allclose(plain.append(ids), graphed.append(ids), atol=1e-5), count
        assert plain.length == graphed.length
    assert len(captured) == 4  # sizes 1, 4, 8 and 32; 40 tokens are too many for a step
    for _ in range(9):  # beyond the capacity of the cache
        plain.append(list(range(32)))
        graphed.append(list(range(32)))
    assert torch.allclose(plain.append([1]), graphed.append([1]), atol=1e-5)
    assert len(captured) > 4
    after = [TextSegment((*CONTEXT[0].ids, 0, 0, 1, 2, 9))]  # appended tokens stay in the cache
    assert torch.allclose(plain.prefill(after, no_images), graphed.prefill(after, no_images), atol=1e-5)
    assert graphed.reused == plain.reused == 61


def test_one_graph_serves_a_whole_reply(model: Qwen25VL, captured: list) -> None:
    replies = []
    for graphs in (False, True):
        generation = Generation()
        list(
            generate_stream(
                PrefixCachedSession(model, graphs=graphs), CONTEXT, no_images, generation, max_new_tokens=30
            )
        )
        replies.append(generation.ids)
    assert replies[0] == replies[1]
    assert len(captured) == 1


def test_step_beyond_budget_runs_without_graph(model: Qwen25VL, captured: list) -> None:
    session, plain = PrefixCachedSession(model, budget_tokens=60, graphs=True), PrefixCachedSession(model)
    session.prefill(CONTEXT, no_images)
    plain.prefill(CONTEXT, no_images)
    assert torch.allclose(session.append([5, 6, 7]), plain.append([5, 6, 7]), atol=1e-5)
    assert not captured
    assert session.length == 60


def test_moved_weights_and_reset_context_are_captured_again(model: Qwen25VL) -> None:
    session = PrefixCachedSession(model, graphs=True)
    session.prefill(CONTEXT, no_images)
    session.append([5])
    first = session._graphs
    session.reset()
    session.prefill(CONTEXT, no_images)
    hidden = session.append([5])
    assert session._graphs is not first
    model.to(torch.bfloat16)
    session.prefill(CONTEXT, no_images)
    assert session.append([5]).dtype == torch.bfloat16
    assert hidden.dtype == torch.float32


def test_last_image_sizes_keep_their_graphs(model: Qwen25VL, captured: list) -> None:
    encode = VisionGraphs(model.visual, record=True)
    generator = torch.Generator().manual_seed(0)
    grids = [(1, 4, 4), (1, 4, 6), (1, 4, 4), (1, 6, 6), (1, 4, 8), (1, 8, 8), (1, 4, 4)]
    for grid in grids:
        patches = torch.randn(grid[1] * grid[2], 588, generator=generator)
        with torch.inference_mode():
            assert torch.equal(encode(patches, grid), model.visual(patches, [grid]))
    assert len(captured) == 5  # the first size stayed among the last four
    assert len(encode._graphs) == cuda_graphs.MAX_IMAGE_SIZES
