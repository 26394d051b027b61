"""Weights of 8 and 4 bits: how near they come, how little they take, and that a model of them still points."""

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
def test_a_product_is_that_of_the_widened_weights(rows: int) -> None:
    """Few rows go by torch's packed product, many by widening; both are the same sum."""
    weight, bias = matrix(), torch.randn(64)
    x = torch.randn(2, rows, 96).bfloat16()
    eight = quantization.quantize_linear(weight, bias, 8, torch.bfloat16)
    assert isinstance(eight, quantization.Int8Linear)
    wide = eight.weight.float() * eight.scales.float()[:, None]
    assert torch.allclose(eight(x).float(), F.linear(x.float(), wide, bias.bfloat16().float()), atol=0.05)
    values, pairs = quantization.to_int4(weight, torch.bfloat16)
    four = quantization.Int4Linear.of(values, pairs, bias.bfloat16())
    assert torch.equal(four.values(), values)
    wide = quantization.dequantize_int4(values, pairs.float())
    assert torch.allclose(four(x).float(), F.linear(x.float(), wide, bias.bfloat16().float()), atol=0.05)


def test_rounding_is_half_a_step_at_most() -> None:
    weight = matrix()
    eight, scales = quantization.to_int8(weight, torch.float32)
    assert float((eight * scales[:, None] - weight).abs().max()) <= 0.5001 * float(scales.max())
    values, pairs = quantization.to_int4(weight, torch.float32)
    step = pairs[..., 0].t().repeat_interleave(quantization.GROUP, dim=1)
    assert bool(((quantization.dequantize_int4(values, pairs) - weight).abs() <= 0.5001 * step).all())
    assert int(values.min()) == 0 and int(values.max()) == 15
    flat = torch.zeros(16, 32)
    assert torch.equal(
        quantization.dequantize_int4(*quantization.to_int4(flat, torch.float32)), flat
    )  # nothing to divide by


def test_shapes_that_do_not_divide_are_held_in_eight_bits() -> None:
    assert isinstance(quantization.quantize_linear(matrix(64, 48), None, 4, torch.bfloat16), quantization.Int8Linear)
    assert isinstance(quantization.quantize_linear(matrix(96, 64), None, 4, torch.bfloat16), quantization.Int8Linear)
    assert isinstance(quantization.quantize_linear(matrix(128, 64), None, 4, torch.bfloat16), quantization.Int4Linear)


def test_where_the_processor_packs_otherwise_the_weights_are_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    values, pairs = quantization.to_int4(matrix(), torch.bfloat16)
    x = torch.randn(1, 96).bfloat16()
    own = quantization.Int4Linear.of(values, pairs, None)
    monkeypatch.setattr(quantization, "int4_pack_order", lambda: None)
    plain = quantization.Int4Linear.of(values, pairs, None)
    assert plain.order is None and torch.equal(plain.values(), values)
    assert torch.allclose(own(x).float(), plain(x).float(), atol=0.05)


def held_bytes(model: Qwen25VL) -> int:
    return sum(one.numel() * one.element_size() for one in model.state_dict().values())


def test_a_loaded_checkpoint_takes_what_it_should_and_never_more_on_the_way() -> None:
    half = held_bytes(load_model("embedded", dtype=torch.bfloat16))
    eight = load_model("embedded", bits=8)
    four = load_model("embedded", bits=4)
    assert held_bytes(eight) < 0.54 * half
    assert held_bytes(four) < 0.42 * half  # of a small model the eyes, in 8 bits, are a good part
    layers = [held_bytes(one.model.layers) for one in (eight, four)]  # type: ignore[arg-type]
    assert layers[1] < 0.65 * layers[0]
    same = quantization.quantize_model(load_model("embedded", dtype=torch.bfloat16), 8).state_dict()
    whole = eight.state_dict()
    for name, value in same.items():  # made of a loaded model: the same, but for what bfloat16 had rounded before
        if value.dtype == torch.int8:
            assert int((value.int() - whole[name].int()).abs().max()) <= 2, name
    with pytest.raises(UsageError, match="multiplied in bfloat16"):
        quantization.quantize_model(load_model("embedded"), 8)
    with pytest.raises(UsageError, match="multiplied in bfloat16"):
        load_model("embedded", dtype=torch.float32, bits=4)


@pytest.mark.parametrize("bits", [8, 4])
def test_fused_and_plain_agree_in_few_bits(tiny_folder: Path, bits: quantization.Bits) -> None:
    model = load_model(tiny_folder, bits=bits)
    words = [TextSegment(tuple(range(3, 40)))]

    def nothing(_: object) -> torch.Tensor:
        raise AssertionError

    plain, quick = PrefixCachedSession(model, fuse=False), PrefixCachedSession(model)
    assert torch.allclose(plain.prefill(words, nothing), quick.prefill(words, nothing), atol=0.1)
    assert isinstance(quick._fused, FusedDecoder)
    assert torch.allclose(plain.append([5]), quick.append([5]), atol=0.1)


def button(left: int, top: int) -> Screen:
    image = Image.new("RGB", (280, 364), (255, 255, 255))
    ImageDraw.Draw(image).rectangle((left, top, left + 70, top + 30), fill=(240, 240, 240), outline=(60, 60, 60))
    return Screen(np.array(image))


@pytest.mark.slow
def test_the_embedded_model_still_points_at_the_button() -> None:
    """Greedy calls beside those of bfloat16: the same verb, the point within a few pixels."""
    chats = {dtype: load_chat("embedded", "cpu", dtype) for dtype in ("bfloat16", "int8", "int4")}
    dialect = Dialect(chats["int8"].limits)
    verbs = frozenset({"click"})
    for place in ((40, 90), (150, 200), (100, 300)):
        shown = button(*place)
        talk = dialect.conversation("Click the button.", (), shown, verbs)
        meant = {
            dtype: dialect.to_action(
                dialect.parse(chat.reply(talk.messages, talk.tools, form=dialect.grammar(verbs, shown)).text),
                shown,
            )
            for dtype, chat in chats.items()
        }
        assert {one.verb for one in meant.values()} == {"click"}, meant
        for dtype, near_px in (("int8", 12), ("int4", 30)):
            for axis in ("x", "y"):
                assert abs(getattr(meant[dtype], axis) - getattr(meant["bfloat16"], axis)) <= near_px, (place, meant)
