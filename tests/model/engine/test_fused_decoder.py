"""The fused decoder gives the hidden states of the plain one, and leaves the model's parameters intact."""

from __future__ import annotations

import torch

from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, TextSegment
from model.nn.fused_decoder import fused
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL

CONTEXT = [TextSegment(tuple(range(3, 60)))]


def frozen(model: Qwen25VL) -> Qwen25VL:
    return model.requires_grad_(False)


def no_images(image: ImageSegment) -> torch.Tensor:
    raise AssertionError(image)


def generate(session: PrefixCachedSession, count: int = 24) -> list[int]:
    generation = Generation()
    list(generate_stream(session, CONTEXT, no_images, generation, max_new_tokens=count))
    return generation.ids


def test_fused_decoder_equals_plain_decoder(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model)
    plain, fused_session = PrefixCachedSession(model, fuse=False), PrefixCachedSession(model)
    before = plain.prefill(CONTEXT, no_images)
    assert plain._fused is None
    after = fused_session.prefill(CONTEXT, no_images)
    assert fused_session._fused is not None
    assert torch.allclose(before, after, atol=1e-5)
    assert torch.allclose(plain.append([7, 8, 9]), fused_session.append([7, 8, 9]), atol=1e-5)
    assert generate(plain) == generate(fused_session)


def test_fused_bfloat16_rounds_like_plain(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model).to(torch.bfloat16)
    hidden = [PrefixCachedSession(model, fuse=fuse).prefill(CONTEXT, no_images) for fuse in (False, True)]
    assert torch.equal(*hidden)


def test_parameters_are_views_of_fused_weights(tiny_model: Qwen25VL) -> None:
    model = frozen(tiny_model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decoder = fused(model.model)
    assert decoder is not None
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    attention = model.model.layers[0].self_attn
    assert attention.q_proj.weight.stride() == (1, 64)  # 64 rows of q, k and v, stored column by column
    address = attention.q_proj.weight.untyped_storage().data_ptr()
    assert address == attention.k_proj.weight.untyped_storage().data_ptr()
    embeddings = torch.randn(1, 4, 32)
    with torch.inference_mode():
        positions = torch.arange(4).expand(3, 1, -1)
        first = decoder(embeddings, positions, KVCache(2))
        attention.v_proj.weight.mul_(2)  # in place, and the memory is shared
        second = decoder(embeddings, positions, KVCache(2))
        assert not torch.allclose(first, second)
        assert torch.allclose(second, model.model(embeddings, positions, None, KVCache(2)), atol=1e-5)


def test_moved_weights_are_fused_again(tiny_model: Qwen25VL) -> None:
    assert fused(tiny_model.model) is None
    model = frozen(tiny_model)
    first = fused(model.model)
    assert first is not None
    assert fused(model.model) is first
    model.to(torch.bfloat16)
    assert first.is_stale
    second = fused(model.model)
    assert second is not None
    assert second is not first
    assert not second.is_stale
