"""Qwen3-VL in the engine: cached contexts, cached images, quantization, fixed-shape steps and grammars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity
from helpers.image_contexts import ImageEncoder

from actions import UsageError
from model import load_model
from model.engine import cuda_graphs
from model.engine.cuda_graphs import VisionGraphs
from model.engine.session import PrefixCachedSession
from model.nn import quantization
from model.nn.fused_decoder import FusedDecoder
from model.nn.qwen25vl import Qwen25VL

ROW: list[Any] = [3, (4, 6), 4, (8, 4), 5]


@pytest.fixture(scope="module", params=[0, 8], ids=["dense", "experts"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Write transformers' random checkpoint, with that number of experts."""
    path = tmp_path_factory.mktemp("qwen3vl")
    qwen3_parity.reference(experts=request.param).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Qwen25VL:
    return load_model(folder)


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "plain"])
def test_logits_are_equal_at_every_cut(model: Qwen25VL, fuse: bool) -> None:
    inputs = qwen3_parity.make_inputs(ROW)
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    expected = parity.our_logits(model, inputs)[0]
    for cut in range(1, len(ids)):
        if parity.IMAGE in (ids[cut - 1], ids[cut]) and ids[cut - 1] == ids[cut]:
            continue  # no context ends inside of an image
        session = PrefixCachedSession(model, fuse=fuse)
        first = model.logits(session.prefill(encode.context(ids[:cut]), encode))[0]
        second = model.logits(session.prefill(encode.context(ids), encode))[0]
        assert float((first - expected[cut - 1]).abs().max()) < parity.TOLERANCE, cut
        assert float((second - expected[-1]).abs().max()) < parity.TOLERANCE, cut
        assert session.reused == cut
    assert sorted(encode.keys) == ["image 0", "image 1"]  # once each: the cache keeps the DeepStack features too


def test_chunks_inside_images_equal_whole_prompt(model: Qwen25VL) -> None:
    inputs = qwen3_parity.make_inputs(ROW)
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    expected = parity.our_logits(model, inputs)[0, -1]
    for chunk in (1, 3, 7):
        session = PrefixCachedSession(model, chunk=chunk)
        logits = model.logits(session.prefill(encode.context(ids), encode))[0]
        assert float((logits - expected).abs().max()) < parity.TOLERANCE


def test_cached_embeddings_hold_deepstack_features(model: Qwen25VL) -> None:
    inputs = qwen3_parity.make_inputs(ROW)
    encode = ImageEncoder(model, inputs)
    image = encode.images[0]
    assert encode(image).shape == (image.length, 3 * model.config.text.hidden_size)
    assert encode(image) is encode(image)
    assert encode.cache.bytes == image.length * 3 * model.config.text.hidden_size * 4
    other, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    features = encode(image)[:, model.config.text.hidden_size :]
    assert float(features.abs().mean()) > 0.1
    other.cache.get(image.key, lambda: encode(image).clone())[:, model.config.text.hidden_size :] = 0
    hidden = [PrefixCachedSession(model).prefill(source.context(ids), source) for source in (encode, other)]
    assert float((hidden[0] - hidden[1]).abs().max()) > 100 * parity.TOLERANCE


def test_single_time_slice_equals_both(model: Qwen25VL) -> None:
    frame = torch.randn(6 * 4, 3, 1, 256)
    both = frame.expand(-1, -1, 2, -1).flatten(1)
    with torch.inference_mode():
        expected = model.visual(both, [(1, 6, 4)])
        assert torch.allclose(model.visual(frame.flatten(1), [(1, 6, 4)]), expected, atol=1e-4)


@pytest.mark.parametrize("folder", [8], ids=["experts"], indirect=True)
def test_experts_with_graphs_are_refused(model: Qwen25VL) -> None:
    with pytest.raises(UsageError, match="CUDA graphs cannot be used with Qwen3-VL-MoE"):
        PrefixCachedSession(model, graphs=True)


@pytest.mark.parametrize("folder", [8], ids=["experts"], indirect=True)
@pytest.mark.parametrize(("bits", "layer"), [(8, quantization.Int8Linear), (4, quantization.Int4Linear)])
def test_experts_are_quantized(
    model: Qwen25VL, folder: Path, bits: quantization.Bits, layer: type[torch.nn.Module]
) -> None:
    quantized = load_model(folder, bits=bits)
    for name, width in (("gate_up_proj", 192), ("down_proj", 64)):
        layers = quantized.get_submodule(f"model.layers.0.mlp.experts.{name}")
        assert isinstance(layers, torch.nn.ModuleList)
        assert len(layers) == 8
        for index, quantized_layer in enumerate(layers):
            assert isinstance(quantized_layer, layer)
            matrix = model.get_parameter(f"model.layers.0.mlp.experts.{name}")[index]
            x = torch.randn(6, len(matrix))
            expected = x @ matrix
            assert expected.shape[1] == width
            gap = quantized_layer(x.to(torch.bfloat16)).float() - expected
            assert float(gap.std()) < (0.02 if bits == 8 else 0.15) * float(expected.std())
    assert quantized.get_parameter("model.layers.0.mlp.gate.weight").dtype == torch.bfloat16
    in_place = quantization.quantize_model(load_model(folder, dtype=torch.bfloat16), bits)
    inputs = qwen3_parity.make_inputs(ROW)
    expected = parity.our_logits(quantized, inputs)
    gap = parity.our_logits(in_place, inputs) - expected  # of weights that were rounded to bfloat16 first
    assert float(gap.std()) < 0.2 * float(expected.std())
    expected_bytes = sum(
        quantization.quantized_nbytes(name, weight.shape, bits)
        for name, weight in model.named_parameters()
        if ".experts." in name
    )
    buffers = {name: value for name, value in quantized.named_buffers() if ".experts." in name}
    assert sum(value.nbytes for value in buffers.values()) == expected_bytes


@pytest.mark.parametrize("folder", [0], ids=["dense"], indirect=True)
def test_graph_steps_equal_free_steps(model: Qwen25VL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "capture", lambda run, device: run)
    inputs = qwen3_parity.make_inputs(ROW)
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    plain, graphed = PrefixCachedSession(model), PrefixCachedSession(model, graphs=True)
    for session in (plain, graphed):
        session.prefill(encode.context(ids), encode)
    for count in (1, 3, 4, 7, 1):
        tokens = list(range(2, 2 + count))
        assert torch.allclose(plain.append(tokens), graphed.append(tokens), atol=1e-4), count
    recorded = VisionGraphs(model.visual, record=True)
    image = encode.images[0]
    assert torch.allclose(recorded(encode.patches[image.key], image.grid), encode(image), atol=1e-5)


@pytest.mark.parametrize(
    ("folder", "bits", "limit"),
    [(0, 8, 0.1), (0, 4, 0.5), (8, 8, 0.2), (8, 4, 0.5)],  # rounding moves some tokens to other experts
    indirect=["folder"],
)
def test_quantized_logits_are_near(model: Qwen25VL, folder: Path, bits: quantization.Bits, limit: float) -> None:
    """The matrices of the checkpoint are small, so that 4 bits round them coarsely."""
    quantized = load_model(folder, bits=bits)
    assert isinstance(quantized.visual.get_submodule("merger.linear_fc1"), quantization.Int8Linear)
    assert quantized.get_parameter("visual.pos_embed.weight").dtype == torch.bfloat16
    inputs = qwen3_parity.make_inputs(ROW)
    expected = parity.our_logits(model, inputs)
    gap = parity.our_logits(quantized, inputs).float() - expected
    assert float(gap.std()) < limit * float(expected.std())
    encode, ids = ImageEncoder(quantized, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(quantized)
    session.prefill(encode.context(ids), encode)
    assert isinstance(session._fused, FusedDecoder)
    plain = PrefixCachedSession(quantized, fuse=False)
    plain.prefill(encode.context(ids), encode)
    fused_hidden, plain_hidden = session.append([5]), plain.append([5])
    assert float((fused_hidden - plain_hidden).abs().max()) < 0.2
