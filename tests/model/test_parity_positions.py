"""Positions of text, images and videos: the original rule by its formula, and the rule of transformers 5.23.

The rules differ only in where text continues after a video. The original continues after the largest position so far,
transformers 5.19 to 5.23 max(rows, columns) after the video's first one; and its generate() continues from the last
token's position, whatever its rope_deltas say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import InvalidActionError
from model import load_model
from model.nn.config import Config, TextConfig, VisionConfig
from model.nn.rope import position_ids


def config(tokens_per_second: int = 2) -> Config:
    return Config(
        VisionConfig(1, 16, 16, 1, 16, tokens_per_second=tokens_per_second),
        TextConfig(parity.VOCABULARY, 16, 16, 1, 1, 1, 16, (2, 3, 3)),
        image_token_id=parity.IMAGE,
        video_token_id=parity.VIDEO,
        vision_start_token_id=parity.START,
    )


def formula_positions(parts: list[Any], seconds: list[float], tokens_per_second: int) -> list[tuple[int, int, int]]:
    """Return the original rule's positions, computed one by one."""
    positions: list[tuple[int, int, int]] = []
    lengths = iter(seconds)
    for part in parts:
        following = max((max(position) for position in positions), default=-1) + 1
        if isinstance(part, int):
            positions += [(following + n,) * 3 for n in range(part)]
            continue
        t, h, w = (1, *part) if len(part) == 2 else part
        step = 0.0 if len(part) == 2 else next(lengths)
        positions += [(following,) * 3]  # vision_start
        following += 1
        positions += [
            (following + int(frame * step * tokens_per_second), following + row, following + column)
            for frame in range(t)
            for row in range(h // 2)
            for column in range(w // 2)
        ]
        positions += [(max(max(position) for position in positions) + 1,) * 3]  # vision_end
    return positions


def our_positions(
    inputs: parity.ModelInputs, rule: Any = "original", rate: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    return position_ids(
        inputs.input_ids,
        config(rate),
        inputs.attention_mask,
        inputs.image_grid_thw,
        inputs.video_grid_thw,
        inputs.second_per_grid_ts,
        rule,
    )


SIDE = st.integers(1, 8).map(lambda n: 2 * n)
IMAGES = st.tuples(SIDE, SIDE)
VIDEOS = st.tuples(st.integers(1, 8), SIDE, SIDE)
# quarters and eighths are exact in binary, so both orders of multiplication truncate alike
SECONDS = st.sampled_from([0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 2.0])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(st.integers(1, 6) | IMAGES | VIDEOS, min_size=1, max_size=6), st.sampled_from([1, 2, 4]))
def test_original_rule_matches_formula(data: st.DataObject, parts: list[Any], rate: int) -> None:
    seconds = [data.draw(SECONDS) for part in parts if not isinstance(part, int) and len(part) == 3]
    inputs = parity.make_inputs(parts, seconds=seconds)
    positions, delta = our_positions(inputs, rate=rate)
    expected = formula_positions(parts, seconds, rate)
    assert [tuple(position) for position in positions[:, 0].T.tolist()] == expected
    assert int(delta) + len(expected) == max(max(position) for position in expected) + 1


@pytest.fixture(scope="module")
def reference_model() -> Any:
    return parity.reference()


@settings(max_examples=100, deadline=None)
@given(
    st.data(), st.lists(st.lists(st.integers(1, 6) | IMAGES | VIDEOS, min_size=1, max_size=5), min_size=1, max_size=3)
)
def test_transformers5_rule_matches_transformers(
    reference_model: Any, data: st.DataObject, rows: list[list[Any]]
) -> None:
    videos = [part for row in rows for part in row if not isinstance(part, int) and len(part) == 3]
    inputs = parity.make_inputs(*rows, seconds=[data.draw(SECONDS) for _ in videos])
    mask = torch.ones_like(inputs.input_ids) if inputs.attention_mask is None else inputs.attention_mask
    expected, _ = reference_model.model.get_rope_index(**{**inputs.for_transformers(), "attention_mask": mask})
    for rule in ("transformers5",) if videos else ("transformers5", "original"):
        positions, delta = our_positions(inputs, rule)
        assert torch.equal(positions[:, mask.bool()], expected[:, mask.bool()])
        assert torch.equal(delta[:, 0] + mask.shape[1], expected[:, :, -1].amax(0) + 1)  # rows end at the right


def test_rules_differ_after_long_video() -> None:
    """Ten temporal steps of 8 by 8 patches, a second each."""
    inputs = parity.make_inputs([2, (10, 8, 8), 2])
    after = inputs.input_ids.shape[1] - 3  # vision_end and two text tokens
    for rule, following in (("original", [22, 23, 24]), ("transformers5", [7, 8, 9])):
        positions, delta = our_positions(inputs, rule)
        assert positions[0, 0, 3:-3].unique().tolist() == list(range(3, 22, 2))
        assert positions[:, 0, after:].tolist() == [following] * 3
        assert int(delta) + inputs.input_ids.shape[1] == following[-1] + 1


@pytest.mark.parametrize("seconds", [0.5, 1.0, 0.7])
def test_rules_agree_after_short_video(reference_model: Any, seconds: float) -> None:
    inputs = parity.make_inputs([4, (3, 12, 8), 5], seconds=[seconds])
    expected, reference_delta = reference_model.model.get_rope_index(**inputs.for_transformers())
    for rule in ("original", "transformers5"):
        positions, delta = our_positions(inputs, rule)
        assert torch.equal(positions, expected)
        assert torch.equal(delta, reference_delta)


@pytest.fixture(scope="module")
def folder(reference_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    reference_model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        ([[3, (4, 8, 8), 5]], [1.0]),
        ([[3, (10, 4, 4), 5]], [1.0]),  # more time steps than rows and columns
        ([[3, (6, 10, 6), 5, (8, 6), 2, (2, 4, 4), 3]], [0.5, 2.0]),
        ([[3, (6, 10, 6), 5], [2, (1, 4, 4), (18, 6), 3], [9]], [0.25, 1.0]),
    ],
)
def test_video_logits_match_transformers(
    reference_model: Any, folder: Path, rows: list[list[Any]], seconds: list[float]
) -> None:
    inputs = parity.make_inputs(*rows, seconds=seconds)
    model = load_model(folder, mrope="transformers5")
    expected = parity.reference_logits(reference_model, inputs)
    assert parity.distance(parity.our_logits(model, inputs), expected, inputs) < parity.TOLERANCE
    assert torch.equal(parity.our_tokens(model, inputs), parity.reference_tokens(reference_model, inputs))


def test_original_rule_matches_transformers_given_positions(reference_model: Any, folder: Path) -> None:
    inputs = parity.make_inputs([3, (10, 4, 4), 5], seconds=[1.0])
    positions, _ = our_positions(inputs)
    model_inputs = {key: value for key, value in inputs.for_transformers().items() if key != "mm_token_type_ids"}
    with torch.no_grad():
        expected = reference_model(**model_inputs, position_ids=positions).logits
    model = load_model(folder)
    assert parity.distance(parity.our_logits(model, inputs), expected, inputs) < parity.TOLERANCE
    # their default positions differ
    assert (
        parity.distance(parity.our_logits(model, inputs), parity.reference_logits(reference_model, inputs), inputs)
        > 0.01
    )


def test_generation_continues_positions_of_prompt(folder: Path) -> None:
    """Each token generated with the cache equals that of a forward pass over the whole sequence."""
    inputs = parity.make_inputs([3, (10, 4, 4), 5], seconds=[1.0])
    model = load_model(folder)
    reply = parity.our_tokens(model, inputs)
    assert not torch.isin(reply, torch.tensor([parity.IMAGE, parity.VIDEO])).any()
    sequence = parity.ModelInputs(**{**vars(inputs), "input_ids": torch.cat([inputs.input_ids, reply], dim=1)})
    expected = parity.our_logits(model, sequence).argmax(-1)[:, inputs.input_ids.shape[1] - 1 : -1]
    assert torch.equal(expected, reply)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]])}, "more grids than placeholders"),
        ({"image_grid_thw": None, "pixel_values": None}, "more image placeholders than image grids"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4]])}, "lacks 2 image placeholders"),
        ({"image_grid_thw": torch.tensor([[1, 2, 2]])}, "more image placeholders than image grids"),
        ({"image_grid_thw": None}, "grid"),
        ({"pixel_values": torch.zeros(12, 1176)}, "12 patches, grids for 16 patches and 4 placeholders"),
    ],
)
def test_mismatched_images_are_rejected(folder: Path, change: dict[str, Any], message: str) -> None:
    inputs = parity.make_inputs([3, (4, 4), 3])
    with pytest.raises(InvalidActionError, match=message):
        parity.our_logits(load_model(folder), parity.ModelInputs(**{**vars(inputs), **change}))
