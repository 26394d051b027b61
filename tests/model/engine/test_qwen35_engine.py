"""Qwen3.5 in the engine: prefixes reused from snapshots of states, quantization and refused graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity, qwen35_parity
from helpers.image_contexts import ImageEncoder

from actions import UsageError
from model import load_model
from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession
from model.engine.state_snapshots import StateSnapshots
from model.nn import quantization
from model.nn.qwen25vl import Qwen25VL

ROW: list[Any] = [3, (4, 6), 4, (8, 4), 5]
BORDERS = [0, 4, 10, 16, 24, 29]  # where segments of that row begin, and the place before its last token


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen35")
    qwen35_parity.reference().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Qwen25VL:
    return load_model(folder)


@pytest.fixture
def inputs() -> parity.ModelInputs:
    return qwen3_parity.make_inputs(ROW)


def is_inside_image(ids: list[int], cut: int) -> bool:
    return 0 < cut < len(ids) and ids[cut - 1] == ids[cut] == parity.IMAGE


def logits_of(session: PrefixCachedSession, encode: ImageEncoder, ids: list[int]) -> torch.Tensor:
    return session.model.logits(session.prefill(encode.context(ids), encode))[0]


def test_logits_are_equal_at_every_cut(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    expected = parity.our_logits(model, inputs)[0]
    for cut in range(1, len(ids)):
        if is_inside_image(ids, cut):
            continue
        session = PrefixCachedSession(model)
        first, second = logits_of(session, encode, ids[:cut]), logits_of(session, encode, ids)
        assert float((first - expected[cut - 1]).abs().max()) < parity.TOLERANCE, cut
        assert float((second - expected[-1]).abs().max()) < parity.TOLERANCE, cut
        assert session.reused == cut
    assert sorted(encode.keys) == ["image 0", "image 1"]


def test_other_continuation_reuses_longest_snapshot(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    assert len(ids) == BORDERS[-1] + 1
    for cut in range(len(ids)):
        if is_inside_image(ids, cut) or ids[cut] == parity.IMAGE:
            continue
        other_ids = [*ids[:cut], 2 if ids[cut] != 2 else 3, 7, 8]
        session = PrefixCachedSession(model)
        logits_of(session, encode, ids)
        logits = logits_of(session, encode, other_ids)
        assert session.reused == max(border for border in BORDERS if border <= cut), cut
        cold = logits_of(PrefixCachedSession(model), encode, other_ids)
        assert float((logits - cold).abs().max()) < parity.TOLERANCE, cut
        assert float((logits_of(session, encode, ids) - parity.our_logits(model, inputs)[0, -1]).abs().max()) < (
            parity.TOLERANCE
        ), cut


def test_other_image_reuses_text_before_it(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    logits_of(session, encode, ids)
    context = encode.context(ids)
    first = next(segment for segment in context if isinstance(segment, ImageSegment))
    encode.patches["other"] = -encode.patches[first.key]
    other = [ImageSegment("other", first.grid, first.length) if segment == first else segment for segment in context]
    logits = model.logits(session.prefill(other, encode))[0]
    assert session.reused == BORDERS[1]
    cold = model.logits(PrefixCachedSession(model).prefill(other, encode))[0]
    assert float((logits - cold).abs().max()) < parity.TOLERANCE
    assert float((logits - parity.our_logits(model, inputs)[0, -1]).abs().max()) > 30 * parity.TOLERANCE


def test_equal_prompt_computes_one_token(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    logits_of(session, encode, ids)
    for tokens in ([5], [9, 8, 7], []):
        if tokens:
            session.append(tokens)
        again = logits_of(session, encode, ids)
        assert float((again - parity.our_logits(model, inputs)[0, -1]).abs().max()) < parity.TOLERANCE
        assert (session.reused, session.computed) == (len(ids) - 1, 1)


def test_reply_is_reused_by_next_prompt(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    logits_of(session, encode, ids)
    for reply in ([5], [9, 8, 7]):
        hidden = session.append(reply)
        ids = [*ids, *reply]
        cold = logits_of(PrefixCachedSession(model), encode, ids)
        assert float((model.logits(hidden)[0] - cold).abs().max()) < parity.TOLERANCE
    logits = logits_of(session, encode, [*ids, 11, 12])
    assert (session.reused, session.computed) == (len(ids), 2)
    cold = logits_of(PrefixCachedSession(model), encode, [*ids, 11, 12])
    assert float((logits - cold).abs().max()) < parity.TOLERANCE


@pytest.mark.parametrize("lookahead", [False, True])
def test_stream_equals_transformers(model: Qwen25VL, inputs: parity.ModelInputs, lookahead: bool) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    expected = parity.reference_tokens(qwen35_parity.reference(), inputs)[0].tolist()
    session, generation = PrefixCachedSession(model), Generation()
    stop = expected[20]
    stream = generate_stream(
        session, encode.context(ids), encode, generation, max_new_tokens=32, stop_ids=[stop], lookahead=lookahead
    )
    reply = list(stream)
    assert reply == expected[: expected.index(stop) + 1]
    assert session.length == len(ids) + len(reply) - 1  # the pass after the stop id is rolled back
    logits = logits_of(session, encode, [*ids, *reply, 4])
    assert session.reused == len(ids) + len(reply) - 1
    cold = logits_of(PrefixCachedSession(model), encode, [*ids, *reply, 4])
    assert float((logits - cold).abs().max()) < parity.TOLERANCE


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_chunks_equal_whole_prompt(model: Qwen25VL, inputs: parity.ModelInputs, chunk: int) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model, chunk=chunk)
    logits = logits_of(session, encode, ids)
    assert float((logits - parity.our_logits(model, inputs)[0, -1]).abs().max()) < parity.TOLERANCE


def test_long_text_is_reused_in_chunks(model: Qwen25VL) -> None:
    inputs = qwen3_parity.make_inputs([60])
    encode, ids = ImageEncoder(model, qwen3_parity.make_inputs(ROW)), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model, chunk=16)
    logits_of(session, encode, ids)
    other_ids = [*ids[:40], 1, 1, 1]
    logits = logits_of(session, encode, other_ids)
    assert session.reused == 32
    cold = logits_of(PrefixCachedSession(model), encode, other_ids)
    assert float((logits - cold).abs().max()) < parity.TOLERANCE


def test_shortest_snapshot_survives_many_turns(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    session._snapshots = StateSnapshots(limit=3)
    logits_of(session, encode, ids)
    for turn in range(4):
        ids = [*ids, 5 + turn, 6]
        logits_of(session, encode, ids)
    assert session._snapshots.lengths == [BORDERS[1], len(ids) - 2, len(ids) - 1]
    assert session._cache.snapshot().bytes == 3 * ((2 * 32 + 96) * 3 * 4 + 4 * 16 * 24 * 4)
    assert session.bytes == session._cache.bytes + 3 * session._cache.snapshot().bytes
    session.reset()
    assert session.bytes == 0


def test_failed_encoder_leaves_usable_session(model: Qwen25VL, inputs: parity.ModelInputs) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    logits_of(session, encode, ids[:4])

    def fail(image: ImageSegment) -> torch.Tensor:
        raise MemoryError(image.key)

    with pytest.raises(MemoryError):
        session.prefill(encode.context(ids), fail)
    logits = logits_of(session, encode, ids)
    assert float((logits - parity.our_logits(model, inputs)[0, -1]).abs().max()) < parity.TOLERANCE


def test_failed_speculation_leaves_usable_session(
    model: Qwen25VL, inputs: parity.ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, ids = ImageEncoder(model, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(model)
    logits_of(session, encode, ids)

    def fail(*args: object) -> torch.Tensor:
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(model.model.layers[2].mlp, "forward", fail)  # two layers have advanced their states by then
        session.append_speculative(torch.tensor([5]))
    logits = logits_of(session, encode, [*ids, 7])
    cold = logits_of(PrefixCachedSession(model), encode, [*ids, 7])
    assert float((logits - cold).abs().max()) < parity.TOLERANCE


def test_graphs_are_refused(model: Qwen25VL) -> None:
    with pytest.raises(UsageError, match=r"CUDA graphs cannot be used with Qwen3\.5: .* Remove --graphs"):
        PrefixCachedSession(model, graphs=True)


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.1), (4, 0.5)])
def test_quantized_logits_are_near(
    model: Qwen25VL, folder: Path, inputs: parity.ModelInputs, bits: quantization.Bits, limit: float
) -> None:
    """The matrices of the checkpoint are small, so that 4 bits round them coarsely."""
    quantized = load_model(folder, bits=bits)
    net = quantized.get_submodule("model.layers.0.linear_attn")
    kinds = {name: type(net.get_submodule(name)) for name in ("in_proj_z", "in_proj_a", "in_proj_b")}
    assert issubclass(kinds["in_proj_z"], quantization.Int8Linear | quantization.Int4Linear)
    assert kinds["in_proj_a"] is kinds["in_proj_b"] is torch.nn.Linear  # rounding of decays would add up
    expected = parity.our_logits(model, inputs)
    gap = parity.our_logits(quantized, inputs).float() - expected
    assert float(gap.std()) < limit * float(expected.std())
    encode, ids = ImageEncoder(quantized, inputs), inputs.input_ids[0].tolist()
    session = PrefixCachedSession(quantized)
    logits_of(session, encode, ids)
    session.append([5])
    again = logits_of(session, encode, ids)
    assert session.reused == len(ids) - 1
    assert float((again.float() - parity.our_logits(quantized, inputs)[0, -1].float()).abs().max()) < 0.2
