"""Every layout of a checkpoint folder, and the official sizes, match transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity
from safetensors import safe_open

from model import load_model
from model.nn.config import read_config
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen25vl import Qwen25VL

PARAMETERS = {  # (all, vision encoder), of transformers 5.23.0's class with the official configs
    "3B": (3_754_622_976, 668_684_288),
    "7B": (8_292_166_656, 676_550_144),
    "32B": (33_452_718_336, 688_841_984),
    "72B": (73_410_777_344, 704_573_696),
}


@pytest.fixture(scope="module")
def references() -> dict[bool, Any]:
    """Return transformers' models, untied and tied."""
    return {tied: parity.reference(tied=tied) for tied in (False, True)}


def tensor_names(folder: Path) -> list[str]:
    names: list[str] = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as handle:
            names += handle.keys()
    return names


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("layout", ["flat", "nested", "sharded", "flat config"])
def test_every_layout_matches_transformers(
    references: dict[bool, Any], tmp_path: Path, layout: str, tied: bool
) -> None:
    reference_model, folder = references[tied], tmp_path / "saved"
    reference_model.save_pretrained(folder, max_shard_size="100KB" if layout == "sharded" else "1GB")
    if layout == "nested":
        parity.rewrite_nested(folder, tmp_path / "nested")
        folder = tmp_path / "nested"
    if layout == "flat config":
        parity.rewrite_config_flat(folder)
    names = tensor_names(folder)
    assert ("lm_head.weight" in names) is not tied
    assert ("model.visual.merger.ln_q.weight" in names) is (layout == "nested")
    assert ("visual.merger.ln_q.weight" in names) is (layout != "nested")
    assert len(list(folder.glob("*.safetensors"))) > 5 or layout != "sharded"
    ours = load_model(folder)
    assert (ours.lm_head is None) is tied
    inputs = parity.make_inputs([4, (10, 6), 5], [2])
    assert (
        parity.distance(parity.our_logits(ours, inputs), parity.reference_logits(reference_model, inputs), inputs)
        < parity.TOLERANCE
    )
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(reference_model, inputs))


def test_tied_checkpoint_with_stored_head_loads(references: dict[bool, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    reference_model = references[True]
    reference_model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    inputs = parity.make_inputs([9])
    distance = parity.distance(
        parity.our_logits(load_model(tmp_path), inputs), parity.reference_logits(reference_model, inputs), inputs
    )
    assert distance < parity.TOLERANCE


def test_flat_config_equals_nested_config(references: dict[bool, Any], tmp_path: Path) -> None:
    references[False].save_pretrained(tmp_path)
    nested = read_config(tmp_path)
    parity.rewrite_config_flat(tmp_path)
    assert "text_config" not in json.loads((tmp_path / "config.json").read_text())
    flat = read_config(tmp_path)
    assert (flat.vision, flat.text) == (nested.vision, nested.text)
    assert (flat.dtype, nested.dtype) == ("bfloat16", "float32")


def test_saved_checkpoint_loads_in_transformers(references: dict[bool, Any], tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    from model.checkpoints.weights import save_model

    for tied, reference_model in references.items():
        folder = tmp_path / str(tied)
        reference_model.save_pretrained(folder)
        save_model(load_model(folder), folder, torch.float32)
        loaded, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        for (name, weight), other in zip(reference_model.named_parameters(), loaded.parameters(), strict=True):
            assert torch.equal(weight, other), name


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_have_exact_parameter_counts(size: str) -> None:
    with torch.device("meta"):
        model = Qwen25VL(OFFICIAL[size])
    count = sum(weight.numel() for weight in model.parameters())
    assert (count, sum(weight.numel() for weight in model.visual.parameters())) == PARAMETERS[size]


@pytest.mark.parametrize("size", PARAMETERS)
def test_parameter_counts_match_transformers(size: str) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text, vision = OFFICIAL[size].text, OFFICIAL[size].vision
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "tie_word_embeddings": text.tie_word_embeddings,
        },
        vision_config={
            "depth": vision.depth,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.num_heads,
            "out_hidden_size": vision.out_hidden_size,
        },
        tie_word_embeddings=text.tie_word_embeddings,
    )
    with torch.device("meta"):
        reference_model = Qwen2_5_VLForConditionalGeneration(config)
        ours = Qwen25VL(OFFICIAL[size])
    count = sum(weight.numel() for weight in reference_model.parameters())
    assert (count, sum(weight.numel() for weight in reference_model.model.visual.parameters())) == PARAMETERS[size]
    shapes = {name: weight.shape for name, weight in ours.named_parameters()}
    for name, weight in reference_model.named_parameters():
        own = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        assert shapes.pop(own) == weight.shape, name
    assert not shapes
