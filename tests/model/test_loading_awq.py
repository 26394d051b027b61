"""Checkpoints in AWQ's packing, written here from known weights, are loaded as what they hold."""

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

GROUP = 128  # as official checkpoints have
SAID = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}


@pytest.fixture
def folder(tiny_folder: Path) -> Path:
    """The tiny checkpoint with rows as long as a group, its weights random."""
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


def word_by_hand(eight: list[int]) -> int:
    """The word of eight values, by the letter of AutoAWQ's rule."""
    word = 0
    for place, column in enumerate([0, 2, 4, 6, 1, 3, 5, 7]):
        word |= eight[column] << (4 * place)
    return word - (1 << 32) if word >= 1 << 31 else word


def quantised(folder: Path, said: dict | None = None) -> dict[str, torch.Tensor]:
    """Turn the folder's decoder into 4 bits; the weights [N, K] that they stand for, by module."""
    tensors = load_file(folder / "model.safetensors")
    meant: dict[str, torch.Tensor] = {}
    for name in [one for one in tensors if one.endswith("_proj.weight") and one.startswith("model.layers.")]:
        rows, columns = tensors[name].shape
        if columns % GROUP:
            continue
        made = torch.Generator().manual_seed(len(meant))
        values = torch.randint(0, 16, (rows, columns), dtype=torch.uint8, generator=made)
        zeros = torch.randint(0, 16, (columns // GROUP, rows), dtype=torch.uint8, generator=made)
        scales = (torch.rand(columns // GROUP, rows, generator=made) * 0.05 + 0.01).half()
        at = name.removesuffix(".weight")
        del tensors[name]
        tensors |= {f"{at}.{kind}": one.contiguous() for kind, one in awq.write(values, zeros, scales).items()}
        spread = [one.repeat_interleave(GROUP, dim=0).t().float() for one in (zeros, scales)]
        meant[at] = (values.float() - spread[0]) * spread[1]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = SAID if said is None else said
    (folder / "config.json").write_text(json.dumps(config))
    return meant


def test_the_packing_is_that_of_the_letter() -> None:
    values = torch.randint(0, 16, (5, 24), dtype=torch.uint8)
    packed = awq.pack(values)
    assert packed.dtype == torch.int32 and packed.shape == (5, 3)
    for row in range(5):
        for word in range(3):
            assert int(packed[row, word]) == word_by_hand(values[row, 8 * word : 8 * word + 8].tolist())
    assert torch.equal(awq.unpack(packed), values)


def test_widened_weights_are_the_known_ones(folder: Path) -> None:
    meant = quantised(folder)
    assert len(meant) >= 10
    model = load_model(folder, dtype=torch.float32)
    for at, weight in meant.items():
        assert torch.allclose(model.get_submodule(at).weight, weight, atol=1e-6), at


def test_kept_in_four_bits_it_says_what_the_widened_one_says(folder: Path) -> None:
    meant = quantised(folder)
    four, wide = load_model(folder), load_model(folder, dtype=torch.bfloat16)
    assert four.dtype == torch.bfloat16
    kinds = {type(four.get_submodule(at)) for at in meant}
    assert kinds == {Int4Linear}
    attention = four.model.layers[0].self_attn
    assert attention.q_proj.bias is not None and attention.q_proj.bias.device.type == "cpu"
    words = [TextSegment(tuple(range(3, 40)))]

    def nothing(_: object) -> torch.Tensor:
        raise AssertionError

    with torch.inference_mode():
        logits = [one.logits(PrefixCachedSession(one).prefill(words, nothing)).float() for one in (four, wide)]
    assert torch.allclose(*logits, atol=0.05 * float(logits[1].abs().max()))
    eight = load_model(folder, bits=8)
    assert isinstance(eight.get_submodule(next(iter(meant))), Int8Linear)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"quant_method": "gptq"}, "quant_method 'gptq'"),
        ({"bits": 3}, "bits 3"),
        ({"version": "gemv"}, "version 'gemv'"),
        ({"group_size": -1}, "group_size -1"),
        ({"zero_point": False}, "zero_point False"),
    ],
)
def test_another_quantisation_is_one_sentence(folder: Path, change: dict, says: str) -> None:
    quantised(folder, SAID | change)
    with pytest.raises(UsageError, match=says):
        load_model(folder)


def test_a_packed_weight_that_is_missing_or_of_another_size_is_one_sentence(folder: Path) -> None:
    quantised(folder)
    path = folder / "model.safetensors"
    whole = load_file(path)
    name = next(one for one in whole if one.endswith(".qzeros"))
    save_file({key: one for key, one in whole.items() if key != name}, path)
    with pytest.raises(UsageError, match="lacks 1 tensors"):
        load_model(folder)
    save_file({**whole, name: whole[name][:, :-1].contiguous()}, path)
    with pytest.raises(UsageError, match="not of one checkpoint"):
        load_model(folder)
