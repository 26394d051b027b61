"""AWQ checkpoints, packed here from known weights, load as those weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actions import UsageError
from model.checkpoints import awq
from model.checkpoints.weights import load_model, save_model
from model.engine.session import PrefixCachedSession, TextSegment
from model.nn.config import read_config
from model.nn.quantization import Int4Linear, Int8Linear
from model.nn.qwen25vl import Qwen25VL
from training import vocabulary

GROUP = 128  # as in official checkpoints
QUANTIZATION_CONFIG = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}


@pytest.fixture
def folder(tiny_folder: Path) -> Path:
    """Return the tiny checkpoint with random weights, and rows as long as a group."""
    small = read_config(tiny_folder)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4}
    text = replace(small.text, **sizes, head_dim=16, mrope_section=(4, 2, 2))
    config = replace(small, vision=replace(small.vision, out_hidden_size=128), text=text)
    torch.manual_seed(0)
    model = Qwen25VL(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    vocabulary.write(tiny_folder, config, 28 * 28, 200 * 28 * 28, 16)
    save_model(model, tiny_folder, torch.float32)
    return tiny_folder


def pack_word(values: list[int]) -> int:
    """Pack eight values into a word by AutoAWQ's rule."""
    word = 0
    for index, column in enumerate([0, 2, 4, 6, 1, 3, 5, 7]):
        word |= values[column] << (4 * index)
    return word - (1 << 32) if word >= 1 << 31 else word


def quantize_folder(folder: Path, quantization_config: dict | None = None) -> dict[str, torch.Tensor]:
    """Quantize the folder's decoder to 4 bits; return the weights [N, K] that its modules then have."""
    tensors = load_file(folder / "model.safetensors")
    expected: dict[str, torch.Tensor] = {}
    for name in [
        tensor for tensor in tensors if tensor.endswith("_proj.weight") and tensor.startswith("model.layers.")
    ]:
        rows, columns = tensors[name].shape
        if columns % GROUP:
            continue
        generator = torch.Generator().manual_seed(len(expected))
        values = torch.randint(0, 16, (rows, columns), dtype=torch.uint8, generator=generator)
        zeros = torch.randint(0, 16, (columns // GROUP, rows), dtype=torch.uint8, generator=generator)
        scales = (torch.rand(columns // GROUP, rows, generator=generator) * 0.05 + 0.01).half()
        module_name = name.removesuffix(".weight")
        del tensors[name]
        tensors |= {
            f"{module_name}.{kind}": tensor.contiguous()
            for kind, tensor in awq.pack_weight(values, zeros, scales).items()
        }
        expanded = [tensor.repeat_interleave(GROUP, dim=0).t().float() for tensor in (zeros, scales)]
        expected[module_name] = (values.float() - expanded[0]) * expanded[1]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = QUANTIZATION_CONFIG if quantization_config is None else quantization_config
    (folder / "config.json").write_text(json.dumps(config))
    return expected


def test_awq_pack_matches_reference() -> None:
    values = torch.randint(0, 16, (5, 24), dtype=torch.uint8)
    packed = awq.pack(values)
    assert packed.dtype == torch.int32
    assert packed.shape == (5, 3)
    for row in range(5):
        for word in range(3):
            assert int(packed[row, word]) == pack_word(values[row, 8 * word : 8 * word + 8].tolist())
    assert torch.equal(awq.unpack_int4(packed), values)


def test_dequantized_weights_equal_packed_weights(folder: Path) -> None:
    expected = quantize_folder(folder)
    assert len(expected) >= 10
    model = load_model(folder, dtype=torch.float32)
    for module_name, weight in expected.items():
        assert torch.allclose(model.get_submodule(module_name).weight, weight, atol=1e-6), module_name


def test_int4_logits_match_dequantized_logits(folder: Path) -> None:
    expected = quantize_folder(folder)
    packed, dequantized = load_model(folder), load_model(folder, dtype=torch.bfloat16)
    assert packed.dtype == torch.bfloat16
    layer_types = {type(packed.get_submodule(module_name)) for module_name in expected}
    assert layer_types == {Int4Linear}
    attention = packed.model.layers[0].self_attn
    assert attention.q_proj.bias is not None
    assert attention.q_proj.bias.device.type == "cpu"
    context = [TextSegment(tuple(range(3, 40)))]

    def no_images(_: object) -> torch.Tensor:
        raise AssertionError

    with torch.inference_mode():
        logits = [
            model.logits(PrefixCachedSession(model).prefill(context, no_images)).float()
            for model in (packed, dequantized)
        ]
    assert torch.allclose(*logits, atol=0.05 * float(logits[1].abs().max()))
    eight = load_model(folder, bits=8)
    assert isinstance(eight.get_submodule(next(iter(expected))), Int8Linear)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quant_method": "gptq"}, "quant_method 'gptq'"),
        ({"bits": 3}, "bits 3"),
        ({"version": "gemv"}, "version 'gemv'"),
        ({"group_size": -1}, "group_size -1"),
        ({"zero_point": False}, "zero_point False"),
    ],
)
def test_unsupported_quantization_is_rejected(folder: Path, change: dict, message: str) -> None:
    quantize_folder(folder, QUANTIZATION_CONFIG | change)
    with pytest.raises(UsageError, match=message):
        load_model(folder)


def test_missing_or_misshapen_packed_weight_is_rejected(folder: Path) -> None:
    quantize_folder(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(tensor for tensor in tensors if tensor.endswith(".qzeros"))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, path)
    with pytest.raises(UsageError, match="lacks 1 tensors"):
        load_model(folder)
    save_file({**tensors, name: tensors[name][:, :-1].contiguous()}, path)
    with pytest.raises(UsageError, match="not of one checkpoint"):
        load_model(folder)
