"""Positions of text, pictures and videos: the original rule by its formula, and transformers 5.23's where asked for.

The two part ways in one place only: where text goes on after a video. The original puts it behind the largest position
so far, transformers 5.19 to 5.23 max(rows, columns) behind the video's first; and its generate() goes on from the last
token's position, whatever its own rope_deltas say of the largest.
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


def by_formula(parts: list[Any], seconds: list[float], tokens_per_second: int) -> list[tuple[int, int, int]]:
    """The original rule, place by place, in plain numbers."""
    places: list[tuple[int, int, int]] = []
    lengths = iter(seconds)
    for part in parts:
        following = max((max(place) for place in places), default=-1) + 1
        if isinstance(part, int):
            places += [(following + n,) * 3 for n in range(part)]
            continue
        t, h, w = (1, *part) if len(part) == 2 else part
        step = 0.0 if len(part) == 2 else next(lengths)
        places += [(following,) * 3]  # vision_start
        following += 1
        places += [
            (following + int(frame * step * tokens_per_second), following + row, following + column)
            for frame in range(t)
            for row in range(h // 2)
            for column in range(w // 2)
        ]
        places += [(max(max(place) for place in places) + 1,) * 3]  # vision_end
    return places


def ours(asked: parity.Question, rule: Any = "original", rate: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return position_ids(
        asked.input_ids,
        config(rate),
        asked.attention_mask,
        asked.image_grid_thw,
        asked.video_grid_thw,
        asked.second_per_grid_ts,
        rule,
    )


SIDE = st.integers(1, 8).map(lambda n: 2 * n)
PICTURES = st.tuples(SIDE, SIDE)
VIDEOS = st.tuples(st.integers(1, 8), SIDE, SIDE)
# quarters and eighths are exact in binary, so both orders of multiplication truncate alike
SECONDS = st.sampled_from([0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 2.0])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(st.integers(1, 6) | PICTURES | VIDEOS, min_size=1, max_size=6), st.sampled_from([1, 2, 4]))
def test_the_original_rule_is_its_formula(data: st.DataObject, parts: list[Any], rate: int) -> None:
    seconds = [data.draw(SECONDS) for part in parts if not isinstance(part, int) and len(part) == 3]
    asked = parity.question(parts, seconds=seconds)
    positions, delta = ours(asked, rate=rate)
    expected = by_formula(parts, seconds, rate)
    assert [tuple(place) for place in positions[:, 0].T.tolist()] == expected
    assert int(delta) + len(expected) == max(max(place) for place in expected) + 1


@pytest.fixture(scope="module")
def theirs() -> Any:
    return parity.reference()


@settings(max_examples=100, deadline=None)
@given(
    st.data(), st.lists(st.lists(st.integers(1, 6) | PICTURES | VIDEOS, min_size=1, max_size=5), min_size=1, max_size=3)
)
def test_transformers5_is_what_transformers_does_and_stills_are_the_same_in_both(
    theirs: Any, data: st.DataObject, rows: list[list[Any]]
) -> None:
    videos = [part for row in rows for part in row if not isinstance(part, int) and len(part) == 3]
    asked = parity.question(*rows, seconds=[data.draw(SECONDS) for _ in videos])
    mask = torch.ones_like(asked.input_ids) if asked.attention_mask is None else asked.attention_mask
    expected, _ = theirs.model.get_rope_index(**{**asked.theirs(), "attention_mask": mask})
    for rule in ("transformers5",) if videos else ("transformers5", "original"):
        positions, delta = ours(asked, rule)
        assert torch.equal(positions[:, mask.bool()], expected[:, mask.bool()])
        assert torch.equal(delta[:, 0] + mask.shape[1], expected[:, :, -1].amax(0) + 1)  # rows end at the right


def test_a_long_small_video_shows_the_difference() -> None:
    """Ten temporal steps of 8 by 8 patches, a second each (model.md, 1.7)."""
    asked = parity.question([2, (10, 8, 8), 2])
    after = asked.input_ids.shape[1] - 3  # vision_end and two words
    for rule, following in (("original", [22, 23, 24]), ("transformers5", [7, 8, 9])):
        positions, delta = ours(asked, rule)
        assert positions[0, 0, 3:-3].unique().tolist() == list(range(3, 22, 2))
        assert positions[:, 0, after:].tolist() == [following] * 3
        assert int(delta) + asked.input_ids.shape[1] == following[-1] + 1


@pytest.mark.parametrize("seconds", [0.5, 1.0, 0.7])
def test_where_a_videos_time_is_shorter_than_its_sides_the_rules_agree(theirs: Any, seconds: float) -> None:
    asked = parity.question([4, (3, 12, 8), 5], seconds=[seconds])
    expected, their_delta = theirs.model.get_rope_index(**asked.theirs())
    for rule in ("original", "transformers5"):
        positions, delta = ours(asked, rule)
        assert torch.equal(positions, expected)
        assert torch.equal(delta, their_delta)


@pytest.fixture(scope="module")
def folder(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        ([[3, (4, 8, 8), 5]], [1.0]),
        ([[3, (10, 4, 4), 5]], [1.0]),  # time goes beyond the sides
        ([[3, (6, 10, 6), 5, (8, 6), 2, (2, 4, 4), 3]], [0.5, 2.0]),
        ([[3, (6, 10, 6), 5], [2, (1, 4, 4), (18, 6), 3], [9]], [0.25, 1.0]),
    ],
)
def test_logits_and_tokens_with_videos_are_transformers(
    theirs: Any, folder: Path, rows: list[list[Any]], seconds: list[float]
) -> None:
    asked = parity.question(*rows, seconds=seconds)
    model = load_model(folder, mrope="transformers5")
    expected = parity.their_logits(theirs, asked)
    assert parity.distance(parity.our_logits(model, asked), expected, asked) < parity.TOLERANCE
    assert torch.equal(parity.our_tokens(model, asked), parity.their_tokens(theirs, asked))


def test_the_original_rule_gives_their_logits_when_they_are_told_its_positions(theirs: Any, folder: Path) -> None:
    asked = parity.question([3, (10, 4, 4), 5], seconds=[1.0])
    positions, _ = ours(asked)
    told = {key: value for key, value in asked.theirs().items() if key != "mm_token_type_ids"}
    with torch.no_grad():
        expected = theirs(**told, position_ids=positions).logits
    model = load_model(folder)
    assert parity.distance(parity.our_logits(model, asked), expected, asked) < parity.TOLERANCE
    # and it is not what they do by themselves
    assert parity.distance(parity.our_logits(model, asked), parity.their_logits(theirs, asked), asked) > 0.01


def test_generation_goes_on_where_the_prompt_ended(folder: Path) -> None:
    """Each new token, said over a cache, is what the whole sequence read at once says."""
    asked = parity.question([3, (10, 4, 4), 5], seconds=[1.0])
    model = load_model(folder)
    said = parity.our_tokens(model, asked)
    assert not torch.isin(said, torch.tensor([parity.IMAGE, parity.VIDEO])).any()
    whole = parity.Question(**{**vars(asked), "input_ids": torch.cat([asked.input_ids, said], dim=1)})
    again = parity.our_logits(model, whole).argmax(-1)[:, asked.input_ids.shape[1] - 1 : -1]
    assert torch.equal(again, said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]])}, "more grids than placeholders"),
        ({"image_grid_thw": None, "pixel_values": None}, "more image placeholders than image grids"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4]])}, "lacks 2 image placeholders"),
        ({"image_grid_thw": torch.tensor([[1, 2, 2]])}, "more image placeholders than image grids"),
        ({"image_grid_thw": None}, "grid"),
        ({"pixel_values": torch.zeros(12, 1176)}, "12 patches, grids for 16 patches and 4 placeholders"),
    ],
)
def test_pictures_that_do_not_fit_the_words_are_said(folder: Path, change: dict[str, Any], words: str) -> None:
    asked = parity.question([3, (4, 4), 3])
    with pytest.raises(InvalidActionError, match=words):
        parity.our_logits(load_model(folder), parity.Question(**{**vars(asked), **change}))
