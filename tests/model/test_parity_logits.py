"""The same logits and the same greedy tokens as transformers, on checkpoints that transformers saved."""

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
    """Their model and ours, read from what theirs saved."""
    theirs = parity.reference()
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(folder)
    return theirs, load_model(folder)


def assert_same(theirs: Any, ours: Qwen25VL, asked: parity.Question) -> None:
    expected = parity.their_logits(theirs, asked)
    assert parity.distance(parity.our_logits(ours, asked), expected, asked) < parity.TOLERANCE
    assert expected.std() > 0.5
    assert torch.equal(parity.our_tokens(ours, asked), parity.their_tokens(theirs, asked))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_one_picture(pair: tuple[Any, Qwen25VL], shape: tuple[int, int]) -> None:
    assert_same(*pair, parity.question([5, shape, 7]))


def test_words_alone(pair: tuple[Any, Qwen25VL]) -> None:
    assert_same(*pair, parity.question([40]))


def test_several_pictures(pair: tuple[Any, Qwen25VL]) -> None:
    assert_same(*pair, parity.question([3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]))


def test_left_padded_rows_with_pictures_of_their_own(pair: tuple[Any, Qwen25VL]) -> None:
    asked = parity.question([4, (10, 6), 5], [30], [2, (6, 6), 3, (12, 18), 4], [1])
    assert asked.attention_mask is not None
    assert_same(*pair, asked)


def test_a_batch_without_padding(pair: tuple[Any, Qwen25VL]) -> None:
    asked = parity.question([4, (8, 12), 5], [5, (12, 8), 4])
    assert asked.attention_mask is None
    assert_same(*pair, asked)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 1), (8, 2), (8, 4)])
def test_shared_heads(tmp_path: Path, heads: int, kv_heads: int) -> None:
    theirs = parity.reference(heads=heads, kv_heads=kv_heads)
    theirs.save_pretrained(tmp_path)
    assert_same(theirs, load_model(tmp_path), parity.question([4, (10, 6), 5], [9]))


def test_half_precision_stays_close(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    theirs, exact = pair
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path, dtype=torch.bfloat16)
    assert {weight.dtype for weight in ours.parameters()} == {torch.bfloat16}
    asked = parity.question([5, (18, 14), 7])
    expected = parity.our_logits(exact, asked)
    gap = parity.our_logits(ours, asked).float() - expected
    theirs_gap = parity.their_logits(parity.reference().to(torch.bfloat16), asked).float() - expected
    assert gap.std() < 1.5 * theirs_gap.std()  # no more is lost than theirs loses
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
def test_these_comparisons_would_see_a_mistake(pair: tuple[Any, Qwen25VL], part: str, change: dict[str, Any]) -> None:
    theirs, ours = pair
    config = dataclasses.replace(ours.config, **{part: dataclasses.replace(getattr(ours.config, part), **change)})
    wrong = Qwen25VL(config)
    wrong.load_state_dict(ours.state_dict())
    asked = parity.question([5, (18, 14), 7])
    gap = parity.distance(parity.our_logits(wrong, asked), parity.their_logits(theirs, asked), asked)
    assert gap > 30 * parity.TOLERANCE
