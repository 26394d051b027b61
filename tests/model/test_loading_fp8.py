"""FP8 checkpoints, quantized here from known weights, load as the weights that they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity
from helpers.fp8_weights import quantize
from safetensors.torch import load_file, save_file
from torch import Tensor

from actions import UsageError
from model import load_model

BLOCK = (16, 24)  # of 64 columns, so that the last block of a row is smaller
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
BLOCKS = FP8 | {"weight_block_size": list(BLOCK)}


def compressed(strategy: str, **scheme: Any) -> dict[str, Any]:
    weights = {"num_bits": 8, "type": "float", "strategy": strategy, "symmetric": True, **scheme}
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
    }


CASES = {  # name: quantization_config, block, suffix of the scale
    "blocks": (BLOCKS, BLOCK, "_scale_inv"),
    "rows": (FP8, (1, 0), "_scale"),
    "tensor": (FP8, (0, 0), "_scale"),
    "compressed tensor": (compressed("tensor"), (0, 0), "_scale"),
    "compressed channel": (compressed("channel"), (1, 0), "_scale"),
    "compressed block": (compressed("block", block_structure=list(BLOCK)), BLOCK, "_scale"),
}


def quantize_folder(
    folder: Path, block: tuple[int, int], suffix: str, quantization_config: dict[str, Any]
) -> dict[str, Tensor]:
    """Quantize the decoder's matrices of a checkpoint; return the exact values of all tensors."""
    tensors = load_file(folder / "model.safetensors")
    exact = dict(tensors)
    for name in [name for name in tensors if name.endswith("_proj.weight") and ".layers." in name]:
        tensors[name], scales, exact[name] = quantize(tensors[name].float(), block)
        tensors[f"{name}{suffix}"] = scales.reshape(1) if block == (0, 0) else scales
        tensors[f"{name.removesuffix('.weight')}.input_scale"] = torch.ones(1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantization_config}))
    return exact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    qwen3_parity.reference().save_pretrained(tmp_path)
    return tmp_path


def expected_model(folder: Path, exact: dict[str, Tensor], dtype: torch.dtype) -> Any:
    """Return the model of a checkpoint of exact values that is not quantized."""
    plain = folder / "plain"
    plain.mkdir()
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (plain / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in exact.items()}, plain / "model.safetensors")
    return load_model(plain, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_weights_equal_dequantized_ones(folder: Path, case: str, dtype: torch.dtype) -> None:
    quantization_config, block, suffix = CASES[case]
    exact = quantize_folder(folder, block, suffix, quantization_config)
    model, expected = load_model(folder, dtype=dtype), expected_model(folder, exact, dtype)
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_logits_equal_transformers(folder: Path) -> None:
    exact = quantize_folder(folder, BLOCK, "_scale_inv", BLOCKS)
    reference = qwen3_parity.reference()
    reference.load_state_dict(exact)
    inputs = qwen3_parity.make_inputs([4, (6, 8), 5])
    distance = parity.distance(
        parity.our_logits(load_model(folder), inputs), parity.reference_logits(reference, inputs), inputs
    )
    assert distance < parity.TOLERANCE


@pytest.mark.parametrize("scales_first", [True, False])
def test_scales_in_another_file_are_read(folder: Path, scales_first: bool) -> None:
    exact = quantize_folder(folder, BLOCK, "_scale_inv", BLOCKS)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = ["a.safetensors", "b.safetensors"]
    weight_map = {name: names["scale" in name] if not scales_first else names["scale" not in name] for name in tensors}
    for file in names:
        save_file({name: tensor for name, tensor in tensors.items() if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    state = load_model(folder).state_dict()
    for name, value in expected_model(folder, exact, torch.float32).state_dict().items():
        assert torch.equal(state[name], value), name


def test_weights_can_be_quantized_again(folder: Path) -> None:
    quantize_folder(folder, BLOCK, "_scale_inv", BLOCKS)
    inputs = qwen3_parity.make_inputs([20])
    eight, wide = (parity.our_logits(load_model(folder, bits=bits), inputs).float() for bits in (8, None))
    assert float((eight - wide).abs().max()) < 0.2 * float(wide.abs().max())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quant_method": "gptq"}, "quant_method 'gptq'"),
        ({"quant_method": "bitsandbytes"}, "quant_method 'bitsandbytes'"),
        ({"quant_method": None}, "no quant_method"),
        ({"fmt": "e5m2"}, "e5m2"),
        ({"weight_block_size": 128}, "weight_block_size"),
        (compressed("tensor") | {"format": "pack-quantized"}, "pack-quantized"),
        (compressed("tensor", type="int"), "float-quantized int 8"),
        (compressed("group"), "group"),
    ],
)
def test_unsupported_format_is_named(folder: Path, change: dict[str, Any], words: str) -> None:
    quantize_folder(folder, BLOCK, "_scale_inv", BLOCKS | change)
    with pytest.raises(UsageError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_misshapen_or_missing_scale_is_reported(folder: Path) -> None:
    quantize_folder(folder, BLOCK, "_scale_inv", FP8 | {"weight_block_size": [16, 16]})
    with pytest.raises(UsageError, match="16 x 16 weights"):
        load_model(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if "scale_inv" not in name}, path)
    with pytest.raises(UsageError, match=r"lacks 28 tensors"):
        load_model(folder)
