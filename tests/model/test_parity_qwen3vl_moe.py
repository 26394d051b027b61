"""Qwen3-VL with experts: logits, greedy tokens, checkpoints and sizes equal those of transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity
from safetensors.torch import load_file, save_file

from actions import UsageError
from model import load_model
from model.checkpoints.model_zoo import parameters
from model.checkpoints.weights import save_model
from model.nn.architectures import make_model
from model.nn.config import config_from_dict, read_config
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen3vl import Qwen3VL
from model.nn.qwen25vl import Qwen25VL
from model.nn.sparse_mlp import SparseMLP

ROWS: dict[str, list[list[Any]]] = {
    "text": [[40]],
    "one token": [[1]],
    "several images": [[3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]],
    "left-padded rows": [[4, (10, 6), 5], [30], [2, (6, 6), 3, (12, 18), 4], [1]],
    "images and videos": [[4, (6, 8), 5, (2, 6, 4), 3, (4, 4), 2], [3, (3, 4, 6), 6]],
}
PARAMETERS = {"Qwen3-VL-30B-A3B": 31_070_754_032, "Qwen3-VL-235B-A22B": 235_670_022_896}
EXPERTS = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Qwen25VL]:
    """Return transformers' model, and ours loaded from what it saved."""
    reference_model = qwen3_parity.reference(experts=EXPERTS)
    folder = tmp_path_factory.mktemp("checkpoint")
    reference_model.save_pretrained(folder)
    return reference_model, load_model(folder)


def assert_equal_outputs(reference_model: Any, ours: Qwen25VL, inputs: parity.ModelInputs) -> None:
    expected = parity.reference_logits(reference_model, inputs)
    assert parity.distance(parity.our_logits(ours, inputs), expected, inputs) < parity.TOLERANCE
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(reference_model, inputs))


def transpose_experts(folder: Path) -> None:
    """Rewrite the matrices of the experts as in the files on the Hub, [E, K, N]."""
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if ".mlp.experts." in name:
            tensors[name] = tensors[name].transpose(1, 2).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_outputs_equal_transformers(pair: tuple[Any, Qwen25VL], rows: list[list[Any]]) -> None:
    assert isinstance(pair[1], Qwen3VL)
    assert isinstance(pair[1].get_submodule("model.layers.0.mlp"), SparseMLP)
    assert_equal_outputs(*pair, qwen3_parity.make_inputs(*rows))


@pytest.mark.parametrize(
    "sizes",
    [
        {"experts": 1, "experts_per_token": 1},
        {"experts": 3, "experts_per_token": 3},
        {"experts": 16, "experts_per_token": 8},
        {"experts": 4, "expert_size": 64},  # square matrices to the output
        {"experts": 4, "expert_size": 32},  # square matrices of gates and values
    ],
    ids=str,
)
def test_other_sizes_equal_transformers(tmp_path: Path, sizes: dict[str, Any]) -> None:
    reference_model = qwen3_parity.reference(**sizes)
    reference_model.save_pretrained(tmp_path)
    inputs = qwen3_parity.make_inputs([4, (10, 6), 5], [9])
    assert_equal_outputs(reference_model, load_model(tmp_path), inputs)
    transpose_experts(tmp_path)
    assert_equal_outputs(reference_model, load_model(tmp_path), inputs)


@pytest.mark.parametrize("layout", ["nested", "flat", "sharded"])
def test_every_layout_matches_transformers(pair: tuple[Any, Qwen25VL], tmp_path: Path, layout: str) -> None:
    pair[0].save_pretrained(tmp_path, max_shard_size="200KB" if layout == "sharded" else "1GB")
    if layout == "flat":
        qwen3_parity.rewrite_flat(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 5 or layout != "sharded"
    assert_equal_outputs(pair[0], load_model(tmp_path), qwen3_parity.make_inputs([4, (10, 6), 5]))


def test_saved_checkpoint_loads_in_transformers(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    from transformers import Qwen3VLMoeForConditionalGeneration

    reference_model, ours = pair
    reference_model.config.save_pretrained(tmp_path)
    save_model(ours, tmp_path, torch.float32)
    qwen3_parity.rewrite_nested(tmp_path)
    shapes = {name: list(tensor.shape) for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    assert shapes["model.language_model.layers.0.mlp.experts.gate_up_proj"] == [EXPERTS, 64, 192]  # as on the Hub
    loaded, report = Qwen3VLMoeForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for (name, weight), other in zip(reference_model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_wrong_expert_count_changes_logits(pair: tuple[Any, Qwen25VL]) -> None:
    reference_model, ours = pair
    wrong = Qwen3VL(dataclasses.replace(ours.config, text=dataclasses.replace(ours.config.text, num_experts_per_tok=1)))
    wrong.load_state_dict(ours.state_dict())
    inputs = qwen3_parity.make_inputs([5, (18, 14), 7])
    gap = parity.distance(parity.our_logits(wrong, inputs), parity.reference_logits(reference_model, inputs), inputs)
    assert gap > 30 * parity.TOLERANCE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_experts_per_tok": 9}, "num_experts_per_tok 9 must be at most num_experts 8"),
        ({"num_local_experts": None}, "num_experts must be a whole number"),
        ({"moe_intermediate_size": 0}, "moe_intermediate_size must be a whole number"),
        ({"decoder_sparse_step": 2}, "decoder_sparse_step and mlp_only_layers"),
        ({"mlp_only_layers": [1]}, "decoder_sparse_step and mlp_only_layers"),
        ({"norm_topk_prob": False}, "norm_topk_prob is false"),
    ],
    ids=str,
)
def test_unsupported_config_is_rejected(change: dict[str, Any], message: str) -> None:
    data = json.loads(qwen3_parity.reference_config(experts=EXPERTS).to_json_string(use_diff=False))
    config_from_dict(data)
    data["text_config"].update(change)
    with pytest.raises(UsageError, match=message):
        config_from_dict(data)


def test_expert_tensor_of_other_size_is_reported(tmp_path: Path) -> None:
    qwen3_parity.reference(experts=EXPERTS).save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    data["text_config"]["moe_intermediate_size"] = 80
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"experts.* where config.json says"):
        load_model(tmp_path)


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_match_transformers(size: str, tmp_path: Path) -> None:
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    text, vision = OFFICIAL[size].text, OFFICIAL[size].vision
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    expert_keys = ("num_experts", "num_experts_per_tok", "moe_intermediate_size")
    reference_config = Qwen3VLMoeConfig(
        text_config={
            **{key: getattr(text, key) for key in (*keys, *expert_keys, "head_dim", "vocab_size")},
            "max_position_embeddings": text.max_position_embeddings,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
        },
        vision_config={"out_hidden_size": vision.out_hidden_size},
        tie_word_embeddings=False,
    )
    (tmp_path / "config.json").write_text(reference_config.to_json_string(use_diff=False))
    assert dataclasses.replace(read_config(tmp_path), dtype="bfloat16") == OFFICIAL[size]
    with torch.device("meta"):
        reference_model = Qwen3VLMoeForConditionalGeneration(reference_config)
        ours = make_model(OFFICIAL[size])
    shapes = {name: weight.shape for name, weight in ours.named_parameters()}
    assert sum(shape.numel() for shape in shapes.values()) == PARAMETERS[size]
    assert sum(parameters(OFFICIAL[size])) == PARAMETERS[size]
    for name, weight in reference_model.named_parameters():
        own = shapes.pop(name.replace("model.visual.", "visual.").replace("model.language_model.", "model."))
        assert own == (weight.transpose(1, 2).shape if ".experts." in name else weight.shape), name
    assert not shapes
