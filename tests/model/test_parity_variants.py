"""Variants of Qwen2.5-VL match transformers' code with the same change."""

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
def reference_model() -> Any:
    return parity.reference(seed=5)


@pytest.fixture(scope="module")
def opencua(reference_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the reference's weights under OpenCUA's names, with a config.json of its form."""
    source, folder = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("opencua")
    reference_model.save_pretrained(source)
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


def flat_positions(ids: torch.Tensor) -> torch.Tensor:
    return torch.arange(ids.shape[1]).expand(3, *ids.shape)


@torch.no_grad()
def reference_tokens(model: Any, inputs: parity.ModelInputs, count: int) -> list[int]:
    """Return greedy tokens of transformers' forward pass with one-dimensional positions."""
    ids, tokens = inputs.input_ids, []
    for _ in range(count):
        options = {key: value for key, value in inputs.for_model().items() if key != "input_ids"}
        logits = model(input_ids=ids, position_ids=flat_positions(ids), **options).logits
        tokens.append(int(logits[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([[tokens[-1]]])], dim=1)
    return tokens


def test_opencua_tokens_match_transformers(reference_model: Any, opencua: Path) -> None:
    ours = load_model(opencua)
    assert ours.config.text.flat_rope
    assert ours.config.image_token_id == parity.IMAGE
    inputs = parity.make_inputs([4, (10, 6), 5, (4, 8), 3])
    with torch.no_grad():
        reference_logits = reference_model(position_ids=flat_positions(inputs.input_ids), **inputs.for_model()).logits
    assert parity.distance(parity.our_logits(ours, inputs), reference_logits, inputs) < parity.TOLERANCE
    assert parity.our_tokens(ours, inputs)[0, :16].tolist() == reference_tokens(reference_model, inputs, 16)


def test_three_axis_positions_change_logits(reference_model: Any, opencua: Path) -> None:
    """The test above would fail with other positions."""
    inputs = parity.make_inputs([4, (10, 6), 5, (4, 8), 3])
    distance = parity.distance(
        parity.our_logits(load_model(opencua), inputs), parity.reference_logits(reference_model, inputs), inputs
    )
    assert distance > 100 * parity.TOLERANCE


def test_session_positions_match_full_prompt(opencua: Path) -> None:
    ours = load_model(opencua)
    inputs = parity.make_inputs([4, (10, 6), 5])
    ids = inputs.input_ids[0].tolist()
    start = ids.index(parity.IMAGE)
    segments = [
        TextSegment(tuple(ids[:start])),
        ImageSegment("one", (1, 10, 6), 15),
        TextSegment(tuple(ids[start + 15 :])),
    ]
    session = PrefixCachedSession(ours)
    embeddings = ours.visual(inputs.pixel_values, [(1, 10, 6)])
    with torch.no_grad():
        hidden = session.prefill(segments, lambda image: embeddings)
        expected = parity.our_logits(ours, inputs)[0, -1]
        assert (ours.logits(hidden)[0] - expected).abs().max() < parity.TOLERANCE
        longer = torch.cat([inputs.input_ids, torch.tensor([[7, 8]])], dim=1)
        inputs.input_ids = longer
        logits = ours.logits(session.append([7, 8]))[0]
        assert (logits - parity.our_logits(ours, inputs)[0, -1]).abs().max() < parity.TOLERANCE


def test_flat_positions_are_sequence_indices(opencua: Path) -> None:
    config = read_config(opencua)
    inputs = parity.make_inputs([3, (4, 4), 2])
    positions, deltas = position_ids(inputs.input_ids, config, None, inputs.image_grid_thw)
    assert torch.equal(positions, flat_positions(inputs.input_ids))
    assert not deltas.any()


def test_opencua_has_own_placeholder_and_no_video(opencua: Path) -> None:
    config = read_config(opencua)
    assert config.video_token_id == NO_TOKEN
    assert config.image_name == "<|media_placeholder|>"
    assert VARIANTS["opencua"].image_id == 151664


def test_unsupported_model_type_is_reported(opencua: Path, tmp_path: Path) -> None:
    data = json.loads((opencua / "config.json").read_text()) | {"model_type": "kimi_vl"}
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"'kimi_vl' is not supported; supported are 'qwen2_5_vl' .* 'qwen3_vl'"):
        read_config(tmp_path)
