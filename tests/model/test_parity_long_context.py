"""Contexts extended by YaRN, and videos of many frame rates, against transformers on random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity

from model import load_model
from model.nn.config import read_config
from model.nn.rope import position_ids

FRAME_RATES = [0.5, 1, 2, 3.7, 10, 30]
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "mrope_section": [2, 3, 3], "original_max_position_embeddings": 64}


def reference_logits_at(model: Any, inputs: parity.ModelInputs, positions: torch.Tensor) -> torch.Tensor:
    """Return the logits of transformers' model at given positions."""
    arguments = {key: value for key, value in inputs.for_transformers().items() if key != "mm_token_type_ids"}
    with torch.no_grad():
        return model(**arguments, position_ids=positions).logits


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    model, folder = parity.reference(), tmp_path_factory.mktemp("plain")
    model.save_pretrained(folder)
    return model, folder


@pytest.mark.parametrize("rate", FRAME_RATES)
@pytest.mark.parametrize("parts", [[3, (8, 4, 6), 5], [3, (6, 8), 2, (8, 4, 6), 4, (4, 4), 5]], ids=["alone", "beside"])
def test_video_logits_match_at_frame_rate(plain: tuple[Any, Path], parts: list[Any], rate: float) -> None:
    model, folder = plain
    inputs = parity.make_inputs(parts, seconds=[2 / rate])
    original, installed = load_model(folder), load_model(folder, mrope="transformers5")
    positions, _ = position_ids(
        inputs.input_ids, original.config, None, inputs.image_grid_thw, inputs.video_grid_thw, inputs.second_per_grid_ts
    )
    expected = reference_logits_at(model, inputs, positions)
    assert parity.distance(parity.our_logits(original, inputs), expected, inputs) < parity.TOLERANCE
    expected = parity.reference_logits(model, inputs)
    assert parity.distance(parity.our_logits(installed, inputs), expected, inputs) < parity.TOLERANCE


@pytest.mark.parametrize("rate", FRAME_RATES)
def test_video_positions_follow_absolute_time(plain: tuple[Any, Path], rate: float) -> None:
    config = read_config(plain[1])
    inputs = parity.make_inputs([3, (8, 4, 6), 5], seconds=[2 / rate])
    positions, _ = position_ids(inputs.input_ids, config, None, None, inputs.video_grid_thw, inputs.second_per_grid_ts)
    times = positions[0, 0][inputs.input_ids[0] == parity.VIDEO].view(8, -1)[:, 0] - 4
    assert times.tolist() == [int(frame * (2 / rate) * 2 + 1e-6) for frame in range(8)]


def yarn_reference(factor: float, **changes: Any) -> Any:
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = parity.reference_config()
    config.text_config.rope_parameters = {**YARN, "factor": factor, **changes}
    return parity.randomize(Qwen2_5_VLForConditionalGeneration(config))


@pytest.mark.parametrize(
    ("factor", "changes"),
    [
        (2.0, {}),
        (4.0, {}),
        (4.0, {"beta_fast": 8, "beta_slow": 2, "truncate": False}),
        (4.0, {"attention_factor": 1.25}),
        (4.0, {"mscale": 1.0, "mscale_all_dim": 0.5}),
    ],
    ids=str,
)
def test_yarn_logits_match_transformers(tmp_path: Path, factor: float, changes: dict[str, Any]) -> None:
    model = yarn_reference(factor, **changes)
    model.save_pretrained(tmp_path)
    inputs = parity.make_inputs([90, (18, 12), 40, (3, 8, 8), 60], seconds=[1.0])  # longer than the trained context
    assert inputs.input_ids.shape[1] > 64 * 2
    expected = parity.reference_logits(model, inputs)
    ours = load_model(tmp_path, mrope="transformers5")
    assert parity.distance(parity.our_logits(ours, inputs), expected, inputs) < parity.TOLERANCE
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(model, inputs))


def test_yarn_changes_the_logits(tmp_path: Path) -> None:
    model = yarn_reference(4.0)
    model.save_pretrained(tmp_path)
    inputs = parity.make_inputs([90, (18, 12), 40])
    path = tmp_path / "config.json"
    scaled = parity.our_logits(load_model(tmp_path), inputs)
    data = json.loads(path.read_text())
    data["text_config"]["rope_parameters"]["rope_type"] = "default"
    path.write_text(json.dumps(data))
    assert parity.distance(parity.our_logits(load_model(tmp_path), inputs), scaled, inputs) > 0.01


def test_yarn_of_hub_layout_is_read(tmp_path: Path) -> None:
    model = yarn_reference(4.0)
    model.save_pretrained(tmp_path)
    inputs = parity.make_inputs([90, (18, 12), 40])
    parity.rewrite_config_flat(tmp_path)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    data["rope_scaling"] = {
        "type": "yarn",
        "mrope_section": [2, 3, 3],
        "factor": 4,
        "original_max_position_embeddings": 64,
    }
    path.write_text(json.dumps(data))
    expected = parity.reference_logits(model, inputs)
    assert parity.distance(parity.our_logits(load_model(tmp_path), inputs), expected, inputs) < parity.TOLERANCE


def test_yarn_extends_the_longest_context(tmp_path: Path) -> None:
    model = yarn_reference(4.0, original_max_position_embeddings=4096)
    model.save_pretrained(tmp_path)
    assert read_config(tmp_path).text.max_position_embeddings == 4 * 4096
