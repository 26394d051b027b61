"""GGUF files, written here as llama.cpp's converter writes them, load as the weights that they stand for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gguf", reason="the extra gguf is not installed")

import gguf
import numpy as np
from helpers import parity, qwen3_parity
from helpers.gguf_files import HIDDEN, SPECIAL, VOCABULARY, GgufPair, encode, finish, make_tokenizer

from actions import UsageError
from model import load_model
from model.checkpoints.gguf_file import QUANTIZED_TYPES, TYPES, read_gguf
from model.checkpoints.gguf_settings import open_gguf
from model.checkpoints.gguf_weights import read_int4, read_tensor
from model.nn.quantization import Int4Linear, Int8Linear
from model.processing.tokenizer import Tokenizer

KINDS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_vl_moe"]
TEXTS = [
    "Click the button.",
    "it's  12:30\n\n \t and THEY'VE 3 items; città, кнопку, 点击按钮 🙂 e\u0301",
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<tool_call>\n{}\n</tool_call>",
    "",
    "   \n",
]


@pytest.fixture(autouse=True)
def _isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_inputs(pair: GgufPair) -> parity.ModelInputs:
    """Return ids with two images, whose placeholders are those of the tokenizer."""
    is_qwen3 = "qwen3" in pair.reference.config.model_type
    make = qwen3_parity.make_inputs if is_qwen3 else parity.make_inputs
    inputs = make([3, (8, 8), 6, (4, 6), 9])
    config = pair.reference.config
    for old, new in ((parity.IMAGE, config.image_token_id), (parity.START, config.vision_start_token_id)):
        inputs.input_ids[inputs.input_ids == old] = new
    return inputs


@torch.no_grad()
def distance(pair: GgufPair, model: Any) -> float:
    """Return the largest difference of logits to those of transformers."""
    inputs = make_inputs(pair)
    kinds = (inputs.input_ids == pair.reference.config.image_token_id).int()
    expected = pair.reference(**inputs.for_model(), mm_token_type_ids=kinds).logits
    assert expected.shape[-1] == VOCABULARY
    return float((parity.our_logits(model, inputs).float() - expected).abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_name", ["F16", "Q8_0", "Q4_0", "Q4_K"])
def test_logits_equal_transformers(tmp_path: Path, kind: str, type_name: str) -> None:
    pair = GgufPair(tmp_path, kind, type_name, vision_type="F16" if type_name != "Q8_0" else "F32")
    assert distance(pair, load_model(pair.model, dtype=torch.float32)) < parity.TOLERANCE


@pytest.mark.parametrize("type_name", TYPES)
def test_each_type_equals_its_dequantization(tmp_path: Path, type_name: str) -> None:
    pair = GgufPair(tmp_path, "qwen2_5_vl", type_name, tied=True)
    assert distance(pair, load_model(pair.model, dtype=torch.float32)) < parity.TOLERANCE
    assert (type_name in QUANTIZED_TYPES) == (load_model(pair.model).dtype == torch.bfloat16)


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_K"])
def test_kept_values_equal_dequantized_ones(tmp_path: Path, type_name: str) -> None:
    path = tmp_path / "matrix.gguf"
    writer = gguf.GGUFWriter(path, "qwen2vl")
    encoded = encode(torch.randn(192, 2 * HIDDEN, generator=torch.Generator().manual_seed(0)), type_name)
    writer.add_tensor("x", encoded.data, raw_dtype=encoded.type)
    finish(writer)
    tensor = read_gguf(path).tensors["x"]
    exact = read_tensor(tensor, torch.float32)
    assert torch.equal(exact, encoded.values)
    assert float((read_int4(tensor).dequantize() - exact).abs().max()) < 1e-6 * float(exact.abs().max())
    assert (read_int4(tensor).values.max(), read_int4(tensor).group) == (15, 32)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl_moe"])
@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_K"])
def test_four_bits_stay_in_four_bits(tmp_path: Path, kind: str, type_name: str) -> None:
    pair = GgufPair(tmp_path, kind, type_name)
    kept, dequantized = load_model(pair.model), load_model(pair.model, dtype=torch.bfloat16)
    layer = kept.get_submodule("model.layers.1")
    matrices = layer.mlp.experts.gate_up_proj if kind == "qwen3_vl_moe" else [layer.mlp.down_proj]
    assert {type(matrix) for matrix in [*matrices, layer.self_attn.o_proj]} == {Int4Linear}
    inputs = make_inputs(pair)
    logits = [parity.our_logits(model, inputs).float() for model in (kept, dequantized)]
    assert float((logits[0] - logits[1]).abs().mean()) < 0.1 * float(logits[1].std())


def test_eight_bits_are_quantized_on_loading(tmp_path: Path) -> None:
    pair = GgufPair(tmp_path, "qwen2_5_vl", "Q8_0")
    model = load_model(pair.model, bits=8)
    assert isinstance(model.get_submodule("model.layers.0.mlp.down_proj"), Int8Linear)
    assert distance(pair, model) < 1.0


def test_vision_encoders_of_early_converters_are_read(tmp_path: Path) -> None:
    pair = GgufPair(tmp_path, "qwen2_vl", is_early=True)
    assert distance(pair, load_model(pair.model, dtype=torch.float32)) < parity.TOLERANCE


def test_split_file_is_read_from_its_first_part(tmp_path: Path) -> None:
    pair = GgufPair(tmp_path, "qwen3_vl", split_max_tensors=20)
    parts = sorted(tmp_path.glob("tiny-F32-*-of-*.gguf"))
    assert len(parts) > 2
    assert distance(pair, load_model(parts[0], dtype=torch.float32)) < parity.TOLERANCE
    with pytest.raises(UsageError, match="pass the first one"):
        load_model(parts[1])
    parts[-1].unlink()
    with pytest.raises(UsageError, match=f"{parts[-1].name} is missing"):
        load_model(parts[0])


def test_tokenizer_equals_transformers(tmp_path: Path) -> None:
    pair = GgufPair(tmp_path, "qwen2_5_vl")
    ours, expected = Tokenizer(open_gguf(str(pair.model))), pair.tokenizer
    assert ours.size == len(expected) < VOCABULARY
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == expected.encode(text, add_special_tokens=False), text
        assert ours.decode(ids) == expected.decode(ids, skip_special_tokens=True), text
    assert ours.stop_ids == (ours.id("<|im_end|>"), ours.id("<|endoftext|>"))
    assert len(ours.encode("".join(SPECIAL))) == len(SPECIAL)


def test_tiny_vocabulary_has_merges() -> None:
    assert len(make_tokenizer().encode("Click the button.")) < 10


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    first, second = GgufPair(tmp_path / "a", "qwen2_5_vl"), GgufPair(tmp_path / "b", "qwen3_vl")
    folder = open_gguf(str(first.model))
    assert open_gguf(str(first.model)) == folder
    (tmp_path / "a" / "pixelhand.json").write_text('{"dialect": "qwen25"}')
    changed = open_gguf(str(first.model))
    assert (changed / "pixelhand.json").read_text() == '{"dialect": "qwen25"}'
    assert not folder.exists()
    for path in ("model", "mmproj"):
        getattr(second, path).replace(getattr(first, path))
    assert load_model(first.model).config.model_type == "qwen3_vl"


def load_error(model: object) -> str:
    with pytest.raises(UsageError) as caught:
        load_model(str(model))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_vision_encoder_must_be_clear(tmp_path: Path) -> None:
    pair, other = GgufPair(tmp_path / "a", "qwen2_5_vl"), GgufPair(tmp_path / "b", "qwen3_vl")
    assert "--model" in load_error(pair.mmproj)
    assert "'qwen3vl_merger'" in load_error(f"{pair.model}?mmproj={other.mmproj}")
    assert "no vision encoder but" in load_error(f"{pair.model}?mmproj={other.model}")
    assert "no file" in load_error(f"{pair.model}?mmproj=missing.gguf")
    assert "no file" in load_error(tmp_path / "missing.gguf")
    second = pair.mmproj.with_name("mmproj-second.gguf")
    second.write_bytes(pair.mmproj.read_bytes())
    assert "--mmproj FILE" in load_error(pair.model)
    assert load_model(f"{pair.model}?mmproj={second}").config.model_type == "qwen2_5_vl"
    second.unlink()
    moved = pair.mmproj.rename(tmp_path / "encoder.gguf")
    assert "no vision encoder is beside" in load_error(pair.model)
    assert load_model(f"{pair.model}?mmproj={moved}").config.model_type == "qwen2_5_vl"
    assert f"--model {pair.model}" in load_error(pair.model.parent)


def write_file(path: Path, architecture: str, type_name: str = "F32") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    kind = gguf.GGMLQuantizationType[type_name]
    data = np.ones((2, 256), np.float32)
    writer.add_tensor("x", data if type_name == "F32" else gguf.quants.quantize(data, kind), raw_dtype=kind)
    finish(writer)
    return path


def test_unknown_architecture_or_type_is_named(tmp_path: Path) -> None:
    message = load_error(write_file(tmp_path / "a.gguf", "llama"))
    assert "'llama'" in message
    assert "qwen2vl, qwen3vl, qwen3vlmoe" in message
    assert "TQ2_0" in load_error(write_file(tmp_path / "b.gguf", "qwen2vl", "TQ2_0"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tokenizer.ggml.pre", "llama-bpe", "'llama-bpe'"),
        ("tokenizer.ggml.model", "llama", "'llama'"),
        ("tokenizer.ggml.merges", None, "list of merges"),
        ("tokenizer.chat_template", None, "no chat template"),
        ("qwen2vl.block_count", None, "qwen2vl.block_count"),
        ("qwen2vl.rope.dimension_sections", None, "dimension_sections"),
        ("qwen2vl.rope.scaling.type", "linear", "'linear'"),
        ("clip.vision.n_wa_pattern", None, "n_wa_pattern"),
        ("clip.vision.patch_size", "x", "patch_size"),
    ],
)
def test_unusable_metadata_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object, words: str
) -> None:
    from model.checkpoints import gguf_file, gguf_settings

    pair = GgufPair(tmp_path, "qwen2_5_vl")

    def read_changed(path: Path) -> gguf_file.GgufFile:
        file = read_gguf(path)
        assert isinstance(file.metadata.data, dict)
        if value is None:
            file.metadata.data.pop(key, None)
        elif key.partition(".")[0] != "clip" or "clip.vision.patch_size" in file.metadata.data:
            file.metadata.data[key] = value
        return file

    monkeypatch.setattr(gguf_settings, "read_gguf", read_changed)
    assert words in load_error(pair.model)


def test_damaged_file_is_reported(tmp_path: Path) -> None:
    pair = GgufPair(tmp_path, "qwen2_5_vl")
    data = pair.model.read_bytes()
    for size in (0, 3, 20, 1000, len(data) // 2, len(data) - 200):
        pair.model.write_bytes(data[:size])
        assert "damaged" in load_error(pair.model), size
    pair.model.write_bytes(b"x" * 4000)
    assert "no GGUF file" in load_error(pair.model)


def test_wrong_tensors_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.checkpoints import weights

    pair = GgufPair(tmp_path, "qwen2_5_vl")
    indexed = weights.indexed_tensors(open_gguf(str(pair.model)))
    norm, matrix = indexed["blk.0.attn_norm.weight"], indexed["blk.0.ffn_up.weight"]
    cases = {
        "lacks 1 tensors": {name: tensor for name, tensor in indexed.items() if name != "blk.1.ffn_up.weight"},
        "'blk.0.attn_sinks'": indexed | {"blk.0.attn_sinks": norm},
        "where the metadata says": indexed | {"blk.0.attn_norm.weight": matrix},
    }
    for words, tensors in cases.items():
        monkeypatch.setattr(weights, "indexed_tensors", lambda _, tensors=tensors: tensors)
        assert words in load_error(pair.model)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.checkpoints import gguf_file

    pair = GgufPair(tmp_path, "qwen2_5_vl")
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    assert "pip install 'pixelhand[gguf]'" in load_error(pair.model)


@pytest.mark.slow
@pytest.mark.parametrize(("stored", "loaded"), [("F16", "bfloat16"), ("Q8_0", "bfloat16"), ("F32", "float32")])
def test_peak_memory_is_near_weight_size(tmp_path: Path, stored: str, loaded: str) -> None:
    """The peak of a subprocess stays under 1.15 times the weights: the file is mapped, and not copied as a whole."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc, which only Linux has")
    rows = 400_000 if loaded == "bfloat16" else 200_000
    pair = GgufPair(tmp_path, "qwen2_5_vl", embedding_type=stored, tied=True, vocabulary=rows)
    weights = sum(weight.numel() for weight in pair.reference.parameters()) * getattr(torch, loaded).itemsize
    script = """
import re, sys, torch
import gguf.quants
import model.checkpoints.weights
peak = lambda: int(re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1]) * 1024
model.checkpoints.weights.resolve_checkpoint(sys.argv[1])  # reads the metadata
before = peak()
loaded = model.checkpoints.weights.load_model(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
for weight in loaded.parameters():
    weight.view(-1)[::256].sum()  # touch every page
print(peak() - before)
"""
    command = [sys.executable, "-c", script, str(pair.model), loaded]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    growth = int(process.stdout)
    assert weights > 200e6
    assert 0.9 * weights < growth < 1.15 * weights, f"{growth / weights:.3f} x the weights"
