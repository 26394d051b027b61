"""The decoder with joined products says what the plain one says, and takes nothing from the model."""

from __future__ import annotations

import torch

from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.fused_decoder import fused
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL

WORDS = [TextSegment(tuple(range(3, 60)))]


def frozen(model: Qwen25VL) -> Qwen25VL:
    return model.requires_grad_(False)


def nothing(one: ImageSegment) -> torch.Tensor:
    raise AssertionError(one)


def said(session: PrefixCachedSession, count: int = 24) -> list[int]:
    reply = Generation()
    list(generate_stream(session, WORDS, nothing, reply, max_new_tokens=count))
    return reply.ids


def test_the_same_hidden_states_and_the_same_words(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model)
    plain, quick = PrefixCachedSession(model, fuse=False), PrefixCachedSession(model)
    before = plain.prefill(WORDS, nothing)
    assert plain._fused is None
    after = quick.prefill(WORDS, nothing)
    assert quick._fused is not None
    assert torch.allclose(before, after, atol=1e-5)
    assert torch.allclose(plain.append([7, 8, 9]), quick.append([7, 8, 9]), atol=1e-5)
    assert said(plain) == said(quick)


def test_half_precision_rounds_as_the_plain_decoder_does(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model).to(torch.bfloat16)
    hidden = [PrefixCachedSession(model, fuse=fuse).prefill(WORDS, nothing) for fuse in (False, True)]
    assert torch.equal(*hidden)


def test_the_models_own_weights_stay_and_share_the_memory(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = fused(model.model)
    assert made is not None
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    attention = model.model.layers[0].self_attn
    assert attention.q_proj.weight.stride() == (1, 64)  # rows of q, k and v, column by column
    one = attention.q_proj.weight.untyped_storage().data_ptr()
    assert one == attention.k_proj.weight.untyped_storage().data_ptr()
    words = torch.randn(1, 4, 32)
    with torch.inference_mode():
        places = torch.arange(4).expand(3, 1, -1)
        first = made(words, places, KVCache(2))
        attention.v_proj.weight.mul_(2)  # in place: seen, since the memory is one
        second = made(words, places, KVCache(2))
        assert not torch.allclose(first, second)
        assert torch.allclose(second, model.model(words, places, None, KVCache(2)), atol=1e-5)


def test_weights_that_moved_are_joined_anew_and_those_in_training_never(tiny_model: Qwen25VL) -> None:
    assert fused(tiny_model.model) is None
    model = frozen(tiny_model)
    made = fused(model.model)
    assert made is not None and fused(model.model) is made
    model.to(torch.bfloat16)
    assert made.is_stale
    again = fused(model.model)
    assert again is not None and again is not made and not again.is_stale
