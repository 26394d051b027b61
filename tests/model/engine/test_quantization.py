"""Weights in 8 and 4 bits: their error, their size, and the embedded model's clicks with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from actions import Screen, UsageError
from model.chat_model import load_chat
from model.checkpoints.weights import load_model
from model.dialects.qwen25 import Dialect
from model.engine.session import PrefixCachedSession, TextSegment
from model.nn import quantization
from model.nn.fused_decoder import FusedDecoder
from model.nn.qwen25vl import Qwen25VL


def matrix(rows: int = 64, columns: int = 96) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)) * columns**-0.5


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_product_equals_dequantized_product(rows: int) -> None:
    """Few rows use torch's packed kernel, many rows dequantized weights."""
    weight, bias = matrix(), torch.randn(64)
    x = torch.randn(2, rows, 96).bfloat16()
    int8 = quantization.quantize_linear(weight, bias, 8, torch.bfloat16)
    assert isinstance(int8, quantization.Int8Linear)
    weights = int8.weight.float() * int8.scales.float()[:, None]
    assert torch.allclose(int8(x).float(), F.linear(x.float(), weights, bias.bfloat16().float()), atol=0.05)
    values, pairs = quantization.to_int4(weight, torch.bfloat16)
    int4 = quantization.Int4Linear.of(values, pairs, bias.bfloat16())
    assert torch.equal(int4.values(), values)
    weights = quantization.dequantize_int4(values, pairs.float())
    assert torch.allclose(int4(x).float(), F.linear(x.float(), weights, bias.bfloat16().float()), atol=0.05)


def test_rounding_error_is_half_a_step() -> None:
    weight = matrix()
    int8, scales = quantization.to_int8(weight, torch.float32)
    assert float((int8 * scales[:, None] - weight).abs().max()) <= 0.5001 * float(scales.max())
    values, pairs = quantization.to_int4(weight, torch.float32)
    step = pairs[..., 0].t().repeat_interleave(quantization.GROUP, dim=1)
    assert bool(((quantization.dequantize_int4(values, pairs) - weight).abs() <= 0.5001 * step).all())
    assert int(values.min()) == 0
    assert int(values.max()) == 15
    flat = torch.zeros(16, 32)
    assert torch.equal(
        quantization.dequantize_int4(*quantization.to_int4(flat, torch.float32)), flat
    )  # a scale of zero


def test_indivisible_shapes_get_eight_bits() -> None:
    assert isinstance(quantization.quantize_linear(matrix(64, 48), None, 4, torch.bfloat16), quantization.Int8Linear)
    assert isinstance(quantization.quantize_linear(matrix(96, 64), None, 4, torch.bfloat16), quantization.Int8Linear)
    assert isinstance(quantization.quantize_linear(matrix(128, 64), None, 4, torch.bfloat16), quantization.Int4Linear)


def test_unknown_packing_is_dequantized(monkeypatch: pytest.MonkeyPatch) -> None:
    values, pairs = quantization.to_int4(matrix(), torch.bfloat16)
    x = torch.randn(1, 96).bfloat16()
    packed = quantization.Int4Linear.of(values, pairs, None)
    monkeypatch.setattr(quantization, "int4_pack_order", lambda: None)
    plain = quantization.Int4Linear.of(values, pairs, None)
    assert plain.order is None
    assert torch.equal(plain.values(), values)
    assert torch.allclose(packed(x).float(), plain(x).float(), atol=0.05)


def state_bytes(model: Qwen25VL) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def test_quantized_checkpoint_size_and_values() -> None:
    bfloat16_bytes = state_bytes(load_model("embedded", dtype=torch.bfloat16))
    int8 = load_model("embedded", bits=8)
    int4 = load_model("embedded", bits=4)
    assert state_bytes(int8) < 0.54 * bfloat16_bytes
    assert state_bytes(int4) < 0.42 * bfloat16_bytes  # the vision encoder, in 8 bits, is a large part of a small model
    layers = [state_bytes(model.model.layers) for model in (int8, int4)]  # type: ignore[arg-type]
    assert layers[1] < 0.65 * layers[0]
    quantized = quantization.quantize_model(load_model("embedded", dtype=torch.bfloat16), 8).state_dict()
    loaded = int8.state_dict()
    for name, value in quantized.items():  # equal but for the earlier rounding to bfloat16
        if value.dtype == torch.int8:
            assert int((value.int() - loaded[name].int()).abs().max()) <= 2, name
    with pytest.raises(UsageError, match="int8 and int4 weights"):
        quantization.quantize_model(load_model("embedded"), 8)
    with pytest.raises(UsageError, match="int8 and int4 weights"):
        load_model("embedded", dtype=torch.float32, bits=4)


@pytest.mark.parametrize("bits", [8, 4])
def test_fused_quantized_decoder_equals_plain(tiny_folder: Path, bits: quantization.Bits) -> None:
    model = load_model(tiny_folder, bits=bits)
    context = [TextSegment(tuple(range(3, 40)))]

    def no_images(_: object) -> torch.Tensor:
        raise AssertionError

    plain, fused_session = PrefixCachedSession(model, fuse=False), PrefixCachedSession(model)
    assert torch.allclose(plain.prefill(context, no_images), fused_session.prefill(context, no_images), atol=0.1)
    assert isinstance(fused_session._fused, FusedDecoder)
    assert torch.allclose(plain.append([5]), fused_session.append([5]), atol=0.1)


def button_screen(left: int, top: int) -> Screen:
    image = Image.new("RGB", (280, 364), (255, 255, 255))
    ImageDraw.Draw(image).rectangle((left, top, left + 70, top + 30), fill=(240, 240, 240), outline=(60, 60, 60))
    return Screen(np.array(image))


@pytest.mark.slow
def test_quantized_embedded_model_clicks_button() -> None:
    """Greedy clicks are within a few pixels of those in bfloat16."""
    chats = {dtype: load_chat("embedded", "cpu", dtype) for dtype in ("bfloat16", "int8", "int4")}
    dialect = Dialect(chats["int8"].limits)
    verbs = frozenset({"click"})
    for corner in ((40, 90), (150, 200), (100, 300)):
        screen = button_screen(*corner)
        conversation = dialect.conversation("Click the button.", (), screen, verbs)
        actions = {
            dtype: dialect.to_action(
                dialect.parse(
                    chat.reply(conversation.messages, conversation.tools, form=dialect.grammar(verbs, screen)).text
                ),
                screen,
            )
            for dtype, chat in chats.items()
        }
        assert {action.verb for action in actions.values()} == {"click"}, actions
        for dtype, tolerance_px in (("int8", 12), ("int4", 30)):
            for axis in ("x", "y"):
                assert abs(getattr(actions[dtype], axis) - getattr(actions["bfloat16"], axis)) <= tolerance_px, (
                    corner,
                    actions,
                )
