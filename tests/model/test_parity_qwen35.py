"""Qwen3.5: logits, greedy tokens, checkpoints and sizes equal those of transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity, qwen35_parity
from safetensors.torch import load_file, save_file

from actions import UsageError
from model import load_model
from model.checkpoints.model_zoo import memory_bytes, parameters
from model.checkpoints.weights import save_model
from model.nn.architectures import make_model
from model.nn.config import config_from_dict, read_config
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen3vl import Qwen3VL
from model.nn.qwen25vl import Qwen25VL
from model.nn.text_decoder import RecurrentLayer

ROWS: dict[str, list[list[Any]]] = {
    "text": [[40]],
    "one token": [[1]],
    "text shorter than the convolution": [[2]],
    "text of several blocks": [[200]],
    "an image": [[5, (18, 14), 7]],
    "several images": [[3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]],
    "left-padded rows": [[4, (10, 6), 5], [90], [2, (6, 6), 3, (12, 18), 4], [1]],
    "a video": [[4, (3, 6, 8), 5]],
    "images and videos": [[4, (6, 8), 5, (2, 6, 4), 3, (4, 4), 2], [3, (3, 4, 6), 6]],
}
PARAMETERS = {  # of the safetensors files on the Hub, with the layer that drafts tokens
    "Qwen3.5-0.8B": 873_438_784,
    "Qwen3.5-2B": 2_274_069_824,
    "Qwen3.5-4B": 4_659_865_088,
    "Qwen3.5-9B": 9_653_104_368,
    "Qwen3.5-27B": 27_781_427_952,
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Qwen25VL]:
    """Return transformers' model, and ours loaded from what it saved."""
    reference_model = qwen35_parity.reference()
    folder = tmp_path_factory.mktemp("checkpoint")
    reference_model.save_pretrained(folder)
    return reference_model, load_model(folder)


def assert_equal_outputs(reference_model: Any, ours: Qwen25VL, inputs: parity.ModelInputs) -> None:
    expected = parity.reference_logits(reference_model, inputs)
    assert parity.distance(parity.our_logits(ours, inputs), expected, inputs) < parity.TOLERANCE
    assert expected.std() > 0.5
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(reference_model, inputs))


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_outputs_equal_transformers(pair: tuple[Any, Qwen25VL], rows: list[list[Any]]) -> None:
    layers = pair[1].model.layers
    assert isinstance(pair[1], Qwen3VL)
    assert [isinstance(layer, RecurrentLayer) for layer in layers] == [True, True, True, False]
    assert_equal_outputs(*pair, qwen3_parity.make_inputs(*rows))


@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 4, "kv_heads": 4, "rotary_share": 0.25},
        {"heads": 8, "kv_heads": 1, "head_dim": 16, "rotary_share": 1.0},
        {"key_heads": 3, "value_heads": 3, "key_size": 24, "value_size": 8},
        {"key_heads": 1, "value_heads": 6, "kernel_size": 2},
        {
            "layers": 5,
            "layer_types": ["full_attention", *["linear_attention"] * 2, "full_attention", "linear_attention"],
        },
        {"layers": 2, "layer_types": ["full_attention"] * 2},
        {"rope": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}},
    ],
    ids=str,
)
def test_other_sizes_equal_transformers(tmp_path: Path, sizes: dict[str, Any]) -> None:
    reference_model = qwen35_parity.reference(**sizes)
    reference_model.save_pretrained(tmp_path)
    assert_equal_outputs(reference_model, load_model(tmp_path), qwen3_parity.make_inputs([4, (10, 6), 5], [9]))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("layout", ["nested", "flat", "sharded"])
def test_every_layout_matches_transformers(tmp_path: Path, layout: str, tied: bool) -> None:
    reference_model = qwen35_parity.reference(tied=tied)
    reference_model.save_pretrained(tmp_path, max_shard_size="100KB" if layout == "sharded" else "1GB")
    if layout == "flat":
        qwen3_parity.rewrite_flat(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 5 or layout != "sharded"
    assert_equal_outputs(reference_model, load_model(tmp_path), qwen3_parity.make_inputs([4, (10, 6), 5]))


def test_draft_layer_is_not_loaded(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    pair[0].save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "mtp.fc.weight": torch.zeros(64, 128)}, file, metadata={"format": "pt"})
    for name, weight in load_model(tmp_path).named_parameters():
        assert torch.equal(weight, pair[1].get_parameter(name)), name
    save_file({**tensors, "model.mtp.weight": torch.zeros(2)}, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"'model\.mtp\.weight' that Qwen3\.5 does not"):
        load_model(tmp_path)


def test_saved_checkpoint_loads_in_transformers(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    from transformers import Qwen3_5ForConditionalGeneration

    reference_model, ours = pair
    reference_model.config.save_pretrained(tmp_path)
    save_model(ours, tmp_path, torch.float32)
    qwen3_parity.rewrite_nested(tmp_path)
    loaded, report = Qwen3_5ForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for (name, weight), other in zip(reference_model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_bfloat16_is_close_to_float32(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    reference_model, exact = pair
    reference_model.save_pretrained(tmp_path)
    ours = load_model(tmp_path, dtype=torch.bfloat16)
    inputs = qwen3_parity.make_inputs([5, (18, 14), 7])
    expected = parity.our_logits(exact, inputs)
    gap = parity.our_logits(ours, inputs).float() - expected
    reference_gap = parity.reference_logits(qwen35_parity.reference().to(torch.bfloat16), inputs).float() - expected
    assert gap.std() < 1.5 * reference_gap.std()  # about the rounding error of transformers
    assert gap.std() < 0.1 * expected.std()


@pytest.mark.parametrize(
    "change",
    [
        {"mrope_section": (8, 0, 0)},
        {"interleaved_rope": False},
        {"rotary_dim": 0, "mrope_section": (8, 4, 4)},
        {"rope_theta": 1e4},
        {"rms_norm_eps": 1e-1},
        {"centered_norms": False},
    ],
    ids=str,
)
def test_wrong_config_changes_logits(pair: tuple[Any, Qwen25VL], change: dict[str, Any]) -> None:
    reference_model, ours = pair
    wrong = Qwen3VL(dataclasses.replace(ours.config, text=dataclasses.replace(ours.config.text, **change)))
    wrong.load_state_dict(ours.state_dict())
    inputs = qwen3_parity.make_inputs([5, (18, 14), 7])
    gap = parity.distance(parity.our_logits(wrong, inputs), parity.reference_logits(reference_model, inputs), inputs)
    assert gap > 30 * parity.TOLERANCE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_types": ["linear_attention"] * 4}, "layer_types must be a list"),
        ({"layer_types": ["full_attention"] * 3}, "layer_types must be a list .* for 4 layers"),
        ({"layer_types": ["full_attention", "mamba"] * 2}, "layer_types must be a list"),
        ({"attn_output_gate": False}, "attn_output_gate is false"),
        ({"output_gate_type": "tanh"}, "output_gate_type is 'tanh'"),
        ({"linear_num_value_heads": 5}, "linear_num_value_heads 5 must be a multiple of 2"),
        ({"linear_conv_kernel_dim": 1}, "linear_conv_kernel_dim must be a whole number of 2"),
        ({"rope_parameters": {"partial_rotary_factor": 0.01}}, "partial_rotary_factor 0.01 must give an even part"),
        ({"rope_parameters": {"partial_rotary_factor": 2}}, "partial_rotary_factor 2 must give an even part"),
        ({"rope_parameters": {"mrope_section": [1, 1, 1]}}, r"mrope_section \[1, 1, 1\] must be .* summing to 4"),
        ({"attention_bias": True}, "attention_bias is true"),
    ],
    ids=str,
)
def test_unsupported_config_is_rejected(change: dict[str, Any], message: str) -> None:
    data = json.loads(qwen35_parity.reference_config().to_json_string(use_diff=False))
    config_from_dict(data)
    data["text_config"].pop("partial_rotary_factor", None)
    data["text_config"].update(change)
    with pytest.raises(UsageError, match=message):
        config_from_dict(data)


@pytest.mark.parametrize("value", [None, "x", "64", -1, 0, 1.5, True, [], {}, ["a"], [1, -1], float("nan"), 10**12])
def test_invalid_config_value_raises_usage_error(value: object) -> None:
    """Replace each value in turn by an invalid one: either a model can be made, or a UsageError is raised."""
    data = json.loads(qwen35_parity.reference_config().to_json_string(use_diff=False))
    errors = 0
    for part in (data["text_config"], data["text_config"]["rope_parameters"]):
        for key, original in list(part.items()):
            part[key] = value
            try:
                config = config_from_dict(data)
            except UsageError as error:
                errors += 1
                assert len(str(error)) < 300
            else:
                with torch.device("meta"):
                    make_model(config)
            part[key] = original
    assert errors > 5


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_match_transformers(size: str, tmp_path: Path) -> None:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    text, vision = OFFICIAL[size].text, OFFICIAL[size].vision
    assert text.delta is not None
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    data = {  # the keys of the Hub's config.json that transformers' defaults differ from
        "model_type": "qwen3_5",
        "text_config": {
            **{key: getattr(text, key) for key in (*keys, "max_position_embeddings", "tie_word_embeddings")},
            "linear_num_value_heads": text.delta.value_heads,
            "attn_output_gate": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000000,
                "partial_rotary_factor": 0.25,
                "mrope_section": [11, 11, 10],
                "mrope_interleaved": True,
            },
        },
        "vision_config": {
            **{key: getattr(vision, key) for key in ("depth", "hidden_size", "intermediate_size", "num_heads")},
            "out_hidden_size": vision.out_hidden_size,
        },
        "tie_word_embeddings": text.tie_word_embeddings,
    }
    reference_config = Qwen3_5Config(**data)
    (tmp_path / "config.json").write_text(reference_config.to_json_string(use_diff=False))
    assert dataclasses.replace(read_config(tmp_path), dtype="bfloat16") == OFFICIAL[size]
    with torch.device("meta"):
        reference_model = Qwen3_5ForConditionalGeneration(reference_config)
        ours = make_model(OFFICIAL[size])
    shapes = {name: weight.shape for name, weight in ours.named_parameters()}
    count = sum(shape.numel() for shape in shapes.values())
    draft_layer = sum(weight.numel() for weight in ours.get_submodule("model.layers.3").parameters())
    draft = draft_layer + text.hidden_size * (2 * text.hidden_size + 3)  # a layer, a projection and three norms
    assert count + draft == PARAMETERS[size]
    assert sum(parameters(OFFICIAL[size])) == count
    for name, weight in reference_model.named_parameters():
        own = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        assert shapes.pop(own) == weight.shape, name
    assert not shapes


def test_memory_counts_states_and_attention_layers() -> None:
    config = OFFICIAL["Qwen3.5-9B"]
    weights = memory_bytes(config, "bf16", 0)
    assert memory_bytes(config, "bf16", 1000) - weights == 1000 * 2 * 2 * 8 * 4 * 256
    state = 24 * (32 * 128 * 128 * 4 + (2 * 16 + 32) * 128 * 3 * 2)
    assert weights - 2 * sum(parameters(config)) == 9 * state
