"""Logits and greedy tokens equal those of transformers, on checkpoints that transformers saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity

from model import load_model
from model.nn.qwen25vl import Qwen25VL

SHAPES = {  # (rows, columns) of patches; a window is 8 by 8 of them
    "the smallest": (2, 2),
    "smaller than a window": (6, 4),
    "narrower than a window": (4, 16),
    "one window": (8, 8),
    "four windows": (16, 16),
    "ragged below": (10, 8),
    "ragged at the right": (8, 14),
    "ragged both ways": (18, 14),
    "ragged, larger": (26, 36),
    "all in a row": (2, 80),
    "all in a column": (120, 2),
    "wide": (6, 60),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Qwen25VL]:
    """Return transformers' model, and ours loaded from what it saved."""
    reference_model = parity.reference()
    folder = tmp_path_factory.mktemp("checkpoint")
    reference_model.save_pretrained(folder)
    return reference_model, load_model(folder)


def assert_equal_outputs(reference_model: Any, ours: Qwen25VL, inputs: parity.ModelInputs) -> None:
    expected = parity.reference_logits(reference_model, inputs)
    assert parity.distance(parity.our_logits(ours, inputs), expected, inputs) < parity.TOLERANCE
    assert expected.std() > 0.5
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(reference_model, inputs))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_one_image(pair: tuple[Any, Qwen25VL], shape: tuple[int, int]) -> None:
    assert_equal_outputs(*pair, parity.make_inputs([5, shape, 7]))


def test_text_only(pair: tuple[Any, Qwen25VL]) -> None:
    assert_equal_outputs(*pair, parity.make_inputs([40]))


def test_several_images(pair: tuple[Any, Qwen25VL]) -> None:
    assert_equal_outputs(*pair, parity.make_inputs([3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]))


def test_left_padded_rows_with_images(pair: tuple[Any, Qwen25VL]) -> None:
    inputs = parity.make_inputs([4, (10, 6), 5], [30], [2, (6, 6), 3, (12, 18), 4], [1])
    assert inputs.attention_mask is not None
    assert_equal_outputs(*pair, inputs)


def test_batch_without_padding(pair: tuple[Any, Qwen25VL]) -> None:
    inputs = parity.make_inputs([4, (8, 12), 5], [5, (12, 8), 4])
    assert inputs.attention_mask is None
    assert_equal_outputs(*pair, inputs)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 1), (8, 2), (8, 4)])
def test_grouped_query_heads(tmp_path: Path, heads: int, kv_heads: int) -> None:
    reference_model = parity.reference(heads=heads, kv_heads=kv_heads)
    reference_model.save_pretrained(tmp_path)
    assert_equal_outputs(reference_model, load_model(tmp_path), parity.make_inputs([4, (10, 6), 5], [9]))


def test_bfloat16_is_close_to_float32(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    reference_model, exact = pair
    reference_model.save_pretrained(tmp_path)
    ours = load_model(tmp_path, dtype=torch.bfloat16)
    assert {weight.dtype for weight in ours.parameters()} == {torch.bfloat16}
    inputs = parity.make_inputs([5, (18, 14), 7])
    expected = parity.our_logits(exact, inputs)
    gap = parity.our_logits(ours, inputs).float() - expected
    reference_gap = parity.reference_logits(parity.reference().to(torch.bfloat16), inputs).float() - expected
    assert gap.std() < 1.5 * reference_gap.std()  # about the rounding error of transformers
    assert gap.std() < 0.1 * expected.std()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("vision", {"fullatt_block_indexes": ()}),
        ("vision", {"fullatt_block_indexes": (0, 1, 2, 3)}),
        ("vision", {"window_size": 56}),
        ("text", {"mrope_section": (3, 3, 2)}),
        ("text", {"rope_theta": 1e4}),
        ("text", {"rms_norm_eps": 1e-2}),
    ],
    ids=str,
)
def test_wrong_config_changes_logits(pair: tuple[Any, Qwen25VL], part: str, change: dict[str, Any]) -> None:
    reference_model, ours = pair
    config = dataclasses.replace(ours.config, **{part: dataclasses.replace(getattr(ours.config, part), **change)})
    wrong = Qwen25VL(config)
    wrong.load_state_dict(ours.state_dict())
    inputs = parity.make_inputs([5, (18, 14), 7])
    gap = parity.distance(parity.our_logits(wrong, inputs), parity.reference_logits(reference_model, inputs), inputs)
    assert gap > 30 * parity.TOLERANCE
