"""Experts in one tensor each load as those in one tensor per layer, in every precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity
from helpers.fp8_weights import quantize
from safetensors.torch import load_file, save_file

from actions import UsageError
from model import load_model
from model.checkpoints import awq
from model.nn.quantization import Int4Linear, Int8Linear

EXPERTS = 4
BLOCK = (16, 24)
INPUTS = [4, (6, 8), 5]


@pytest.fixture(scope="module")
def reference() -> Any:
    return qwen3_parity.reference(experts=EXPERTS, expert_size=128)


@pytest.fixture
def folder(tmp_path: Path, reference: Any) -> Path:
    """Write the checkpoint with the tensors experts.N.gate_proj.weight [width, C] and so on."""
    reference.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in [name for name in tensors if name.endswith("experts.gate_up_proj")]:
        prefix = name.removesuffix(".gate_up_proj")
        gates_and_values, outputs = tensors.pop(name), tensors.pop(f"{prefix}.down_proj")
        for index in range(EXPERTS):
            both, output = gates_and_values[index], outputs[index]
            both, output = (both if both.shape[1] == 64 else both.t()), (output if len(output) == 64 else output.t())
            gate, value = both.chunk(2)
            for matrix, weight in (("gate", gate), ("up", value), ("down", output)):
                tensors[f"{prefix}.{index}.{matrix}_proj.weight"] = weight.contiguous()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def expert_names(tensors: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in tensors if ".mlp.experts." in name]


def rewrite(folder: Path, tensors: dict[str, torch.Tensor], quantization_config: dict[str, Any]) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantization_config}))


def test_logits_equal_transformers(folder: Path, reference: Any) -> None:
    inputs, model = qwen3_parity.make_inputs(INPUTS), load_model(folder)
    expected = parity.reference_logits(reference, inputs)
    assert parity.distance(parity.our_logits(model, inputs), expected, inputs) < parity.TOLERANCE
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(
        parameter.numel() for parameter in reference.parameters()
    )


def test_fp8_experts_equal_dequantized_ones(folder: Path, reference: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    exact = dict(tensors)
    for name in expert_names(tensors):
        tensors[name], tensors[f"{name}_scale_inv"], exact[name] = quantize(tensors[name].float(), BLOCK)
    inputs = qwen3_parity.make_inputs(INPUTS)
    save_file(exact, folder / "model.safetensors")
    expected = parity.our_logits(load_model(folder), inputs)
    rewrite(folder, tensors, {"quant_method": "fp8", "weight_block_size": list(BLOCK)})
    assert torch.equal(parity.our_logits(load_model(folder), inputs), expected)


@pytest.mark.parametrize("bits", [8, 4])
def test_experts_are_quantized_on_loading(folder: Path, bits: Any) -> None:
    model = load_model(folder, bits=bits)
    experts = model.get_submodule("model.layers.0.mlp.experts")
    assert {type(layer) for layer in experts.gate_up_proj} == {Int4Linear if bits == 4 else Int8Linear}
    assert len(experts.down_proj) == EXPERTS
    inputs = qwen3_parity.make_inputs([20])
    exact = parity.our_logits(load_model(folder, dtype=torch.bfloat16), inputs).float()
    difference = (parity.our_logits(model, inputs).float() - exact).abs().mean()
    assert float(difference) < (0.15 if bits == 8 else 0.6) * float(exact.std())


def test_awq_experts_stay_in_four_bits(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    exact = dict(tensors)
    generator = torch.Generator().manual_seed(0)
    for name in expert_names(tensors):
        rows, columns = tensors.pop(name).shape
        values = torch.randint(0, 16, (rows, columns), dtype=torch.uint8, generator=generator)
        zeros = torch.randint(0, 16, (columns // 32, rows), dtype=torch.uint8, generator=generator)
        scales = (torch.rand(columns // 32, rows, generator=generator) * 0.02 + 0.005).half()
        packed = awq.pack_weight(values, zeros, scales)
        tensors |= {f"{name.removesuffix('.weight')}.{kind}": part.contiguous() for kind, part in packed.items()}
        wide_zeros, wide_scales = (part.float().repeat_interleave(32, 0).t() for part in (zeros, scales))
        exact[name] = (values.float() - wide_zeros) * wide_scales
    save_file({name: tensor.contiguous() for name, tensor in exact.items()}, folder / "model.safetensors")
    inputs = qwen3_parity.make_inputs([20])
    expected = {dtype: parity.our_logits(load_model(folder, dtype=dtype), inputs).float()
                for dtype in (torch.float32, torch.bfloat16)}  # fmt: skip
    rewrite(folder, tensors, {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"})
    dequantized = parity.our_logits(load_model(folder, dtype=torch.float32), inputs)
    assert float((dequantized - expected[torch.float32]).abs().max()) < 1e-4
    kept = load_model(folder)
    assert {type(layer) for layer in kept.get_submodule("model.layers.1.mlp.experts").gate_up_proj} == {Int4Linear}
    difference = (parity.our_logits(kept, inputs).float() - expected[torch.bfloat16]).abs().mean()
    assert float(difference) < 0.1 * float(expected[torch.bfloat16].std())


@pytest.mark.parametrize("change", ["missing", "misshapen", "too many"])
def test_damaged_experts_are_reported(folder: Path, change: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if ".mlp.experts.2.up_proj" in name)
    weight = tensors.pop(name)
    if change == "misshapen":
        tensors[name] = weight[:-1].contiguous()
    elif change == "too many":
        tensors |= {name: weight, name.replace("experts.2", f"experts.{EXPERTS}"): weight.clone()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words = {"missing": r"lacks 1 tensors", "misshapen": "not of one checkpoint", "too many": "that Qwen3-VL-MoE does"}
    with pytest.raises(UsageError, match=words[change]):
        load_model(folder)
