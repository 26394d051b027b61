"""Checkpoints that are Qwen2.5-VL but for a detail: the same answers as transformers' code with that detail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity
from safetensors.torch import load_file, save_file

from actions import UsageError
from model import load_model
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.config import NO_TOKEN, VARIANTS, read_config
from model.nn.rope import position_ids

OPENCUA = (("visual.", "vision_tower."), ("lm_head.", "language_model.lm_head."), ("model.", "language_model.model."))


@pytest.fixture(scope="module")
def theirs() -> Any:
    return parity.reference(seed=5)


@pytest.fixture(scope="module")
def opencua(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference's numbers under OpenCUA's names, with a config.json of its form."""
    source, folder = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("opencua")
    theirs.save_pretrained(source)
    data = json.loads((source / "config.json").read_text())
    text = {key: value for key, value in data["text_config"].items() if key != "rope_parameters"}
    config = {
        "architectures": ["OpenCUAForConditionalGeneration"],
        "model_type": "opencua",
        "media_placeholder_token_id": parity.IMAGE,
        "text_config": {**text, "model_type": "qwen2", "rope_theta": 1e6},
        "vision_config": data["vision_config"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        old, new = next(pair for pair in OPENCUA if name.startswith(pair[0]))
        tensors[new + name.removeprefix(old)] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def one_axis(ids: torch.Tensor) -> torch.Tensor:
    return torch.arange(ids.shape[1]).expand(3, *ids.shape)


@torch.no_grad()
def their_tokens(model: Any, asked: parity.Question, count: int) -> list[int]:
    """Greedy in transformers' own forward pass, every token at its place in the row, as a 1D RoPE has it."""
    ids, found = asked.input_ids, []
    for _ in range(count):
        how = {key: value for key, value in asked.ours().items() if key != "input_ids"}
        logits = model(input_ids=ids, position_ids=one_axis(ids), **how).logits
        found.append(int(logits[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([[found[-1]]])], dim=1)
    return found


def test_opencuas_names_config_and_flat_positions_give_the_same_tokens(theirs: Any, opencua: Path) -> None:
    ours = load_model(opencua)
    assert ours.config.text.flat_rope and ours.config.image_token_id == parity.IMAGE
    asked = parity.question([4, (10, 6), 5, (4, 8), 3])
    with torch.no_grad():
        their_logits = theirs(position_ids=one_axis(asked.input_ids), **asked.ours()).logits
    assert parity.distance(parity.our_logits(ours, asked), their_logits, asked) < parity.TOLERANCE
    assert parity.our_tokens(ours, asked)[0, :16].tolist() == their_tokens(theirs, asked, 16)


def test_the_same_numbers_with_three_axes_say_something_else(theirs: Any, opencua: Path) -> None:
    """So the test above could fail."""
    asked = parity.question([4, (10, 6), 5, (4, 8), 3])
    gap = parity.distance(parity.our_logits(load_model(opencua), asked), parity.their_logits(theirs, asked), asked)
    assert gap > 100 * parity.TOLERANCE


def test_the_session_counts_as_the_whole_prompt_does(opencua: Path) -> None:
    ours = load_model(opencua)
    asked = parity.question([4, (10, 6), 5])
    ids = asked.input_ids[0].tolist()
    start = ids.index(parity.IMAGE)
    segments = [
        TextSegment(tuple(ids[:start])),
        ImageSegment("one", (1, 10, 6), 15),
        TextSegment(tuple(ids[start + 15 :])),
    ]
    session = PrefixCachedSession(ours)
    rows = ours.visual(asked.pixel_values, [(1, 10, 6)])
    with torch.no_grad():
        hidden = session.prefill(segments, lambda picture: rows)
        whole = parity.our_logits(ours, asked)[0, -1]
        assert (ours.logits(hidden)[0] - whole).abs().max() < parity.TOLERANCE
        longer = torch.cat([asked.input_ids, torch.tensor([[7, 8]])], dim=1)
        asked.input_ids = longer
        again = ours.logits(session.append([7, 8]))[0]
        assert (again - parity.our_logits(ours, asked)[0, -1]).abs().max() < parity.TOLERANCE


def test_flat_positions_are_places_in_the_row(opencua: Path) -> None:
    config = read_config(opencua)
    asked = parity.question([3, (4, 4), 2])
    places, deltas = position_ids(asked.input_ids, config, None, asked.image_grid_thw)
    assert torch.equal(places, one_axis(asked.input_ids)) and not deltas.any()


def test_a_variant_has_no_video_and_keeps_its_own_placeholder(opencua: Path) -> None:
    config = read_config(opencua)
    assert config.video_token_id == NO_TOKEN and config.image_name == "<|media_placeholder|>"
    assert VARIANTS["opencua"].image_id == 151664


def test_another_model_type_is_named_with_those_that_are_known(opencua: Path, tmp_path: Path) -> None:
    data = json.loads((opencua / "config.json").read_text()) | {"model_type": "kimi_vl"}
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match="'kimi_vl' model; this core runs 'qwen2_5_vl' and 'opencua'"):
        read_config(tmp_path)
