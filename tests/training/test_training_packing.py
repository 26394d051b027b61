"""Packed batches: prompts, token marks, blocks and the attention over them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_data import LETTERS, loss_table, make_recipe, make_stage, noise_png

from actions import ACTION_TYPES, Screen, UsageError
from model.chat_model import load_chat
from model.dialects.qwen25 import Dialect
from model.nn.rope import text_cos_sin
from model.nn.text_decoder import TextDecoder
from model.processing.image import frames_to_patches
from training.attention_probe import AttentionProbe
from training.dataset import Question, read_samples
from training.feature_anchor import encode_frames
from training.packed_attention import packed_forward
from training.packing import PackedBatch, Packer, decode_png
from training.questions import type_text
from training.sft import SFTStage
from training.sft_data import locate_characters
from training.vision_pretraining import character_classes

CLICK = {"action": "left_click", "coordinate": [31, 60]}
ABC_BOX = (14.0, 53.0, 34.0, 14.0)  # around the first three of LETTERS


@pytest.fixture
def stage(data: Path, tmp_path: Path) -> SFTStage:
    stage: SFTStage = make_stage("sft", data, tmp_path / "run")[1]
    return stage


def pack(packer: Packer, questions: list[Question], blocks: int | None = None) -> PackedBatch:
    """Pack questions about one screen."""
    return packer.pack([decode_png(noise_png(0))], [questions], [character_classes(LETTERS, 280, 364)], blocks)


def test_packed_question_equals_agent_prompt(data: Path, stage: SFTStage, tmp_path: Path) -> None:
    stage.save(tmp_path / "run")
    sample = next(read_samples(data / "practice"))
    frame = decode_png(sample.png)
    batch = stage.packer.pack([frame], [sample.questions], [character_classes(sample.characters, 280, 364)])
    first, cells = stage.packer.first_cell, stage.packer.cells
    embeddings = stage.model.model.embed_tokens(batch.ids)
    image = encode_frames(stage.model.visual, batch.frames)
    embeddings = torch.cat([embeddings[:, :first], image, embeddings[:, first + cells :]], dim=1)
    packed = stage.model.logits(stage.model.model(embeddings, batch.positions, batch.mask))[0]

    chat = load_chat(stage.checkpoint)
    chat.model.load_state_dict(stage.model.state_dict())
    dialect = Dialect(chat.limits, chat.settings.tool)
    ids = batch.ids[0].tolist()
    patches, _ = frames_to_patches(np.repeat(frame[None], 2, axis=0))
    for question in sample.questions:
        conversation = dialect.conversation(question.goal, [], Screen(frame), frozenset(ACTION_TYPES))
        prompt = chat.render(conversation.messages, conversation.tools)
        tail = prompt.input_ids[len(stage.packer.head) :]
        start = next(n for n in range(len(ids)) if ids[n : n + len(tail)] == tail)
        alone = chat.model(torch.tensor([prompt.input_ids]), None, patches, [(1, 26, 20)])[0, -1]
        assert torch.allclose(packed[start + len(tail) - 1], alone, atol=1e-4)


def test_read_word_is_located_by_character(stage: SFTStage) -> None:
    question = Question("What does it say at [50, 60]?", {"say": "abc"}, ABC_BOX)
    located = locate_characters(question, LETTERS)
    assert located.letters == ((20.0, 60.0), (29.5, 60.0), (39.0, 60.0))
    assert locate_characters(Question("g", {"say": "abd"}, ABC_BOX), LETTERS).letters == ()
    batch = pack(stage.packer, [located])
    row, read = batch.ids[0].tolist(), batch.read_cells.tolist()
    assert [row[token + 1] for _, token, _ in read] == stage.tokenizer.encode("abc")
    assert [cell for *_, cell in read] == [20, 21, 21]
    assert batch.read_tokens.tolist() == [[row_number, token] for row_number, token, _ in read]
    assert batch.read_points.tolist() == [[20, 60], [29, 60], [39, 60]]
    assert batch.named_cells.tolist() == [[0, token + 1, cell] for _, token, cell in read]


def test_copied_text_is_located_in_question(stage: SFTStage) -> None:
    record = type_text(random.Random(4))
    text = record["answer"]["text"]
    assert text in record["goal"]
    batch = pack(stage.packer, [Question(record["goal"], record["answer"])])
    row, copied = batch.ids[0].tolist(), batch.copied_tokens.tolist()
    assert [row[token + 1] for _, token, _ in copied[:-1]] == stage.tokenizer.encode(text)
    assert [row[earlier] for *_, earlier in copied[:-1]] == stage.tokenizer.encode(text)
    other = Question("Enter it.", {"action": "type", "text": text})
    assert not len(pack(stage.packer, [other]).copied_tokens)


def test_own_question_is_marked_as_decision(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run", batch=6)
    batch = stage.sample_batch(random.Random(0))
    decisions = batch.decision_tokens.tolist()
    assert 0 < len({row for row, _ in decisions}) < 6, "practice pages have a goal, synthetic screens have none"
    first = [(row, token) for row, token in decisions if batch.ids[row, token] == stage.packer.action]
    assert len({row for row, _ in first}) == len(first), "one question of each"
    for row, token in first:
        answer = stage.tokenizer.decode(batch.ids[row, token + 1 : token + 40].tolist())
        assert answer.startswith('left_click", "coordinate": [30, 100]')
        digits = [batch.ids[row, index + 1].item() for number, index in decisions if number == row][1:]
        assert stage.tokenizer.decode(digits) == "30, 100"


def test_decision_tokens_precede_action_and_key(stage: SFTStage) -> None:
    press = Question("Go on.", {"action": "key", "keys": ["ctrl", "a"]}, is_decision=True)
    batch = pack(stage.packer, [press])
    rows = [batch.ids[0, token + 1 : token + 5].tolist() for _, token in batch.decision_tokens.tolist()]
    assert [stage.tokenizer.decode(ids) for ids in rows] == ['key", "keys": ["', "ctrl"]


def test_decision_weight_adds_to_loss(data: Path, stage: SFTStage, tmp_path: Path) -> None:
    press = Question("Go on.", {"action": "key", "keys": ["ctrl", "a"]}, is_decision=True)
    batch = pack(stage.packer, [press])
    weighted = SFTStage(make_recipe("sft", losses={**loss_table(), "decision_token": 3.0}), data, tmp_path / "two")
    metrics = weighted.loss(replace(batch, packer=weighted.packer))[1]
    plain = stage.loss(batch)[1]
    assert metrics["decision_token"] > 0
    assert metrics["loss"] - plain["loss"] == pytest.approx(3.0 * metrics["decision_token"], rel=1e-3)


@pytest.mark.parametrize(
    ("goal", "first_offset"),
    [
        ('Click "abc".', 7),
        ('Select abc, "a bc" too.', 13),  # the last that fits
        ('Click "abcd".', None),
        ('Click "ab".', None),
        ("Click the button.", None),
    ],
)
def test_named_text_is_located(goal: str, first_offset: int | None) -> None:
    named = locate_characters(Question(goal, CLICK, ABC_BOX), LETTERS).named
    assert (named[0][0] if named else None) == first_offset


def test_named_day_ignores_leading_zero() -> None:
    question = Question("Pick 5/05/2016.", CLICK, ABC_BOX)
    assert locate_characters(question, [["5", 25.0, 60.0, 9.0]]).named == ((8, 25.0, 60.0),)


def test_named_characters_are_marked(stage: SFTStage) -> None:
    located = locate_characters(Question('Click "abc".', CLICK, ABC_BOX), LETTERS)
    assert located.named == ((7, 20.0, 60.0), (8, 29.5, 60.0), (9, 39.0, 60.0))
    batch = pack(stage.packer, [located])
    row = batch.ids[0].tolist()
    assert [row[token] for _, token, _ in batch.named_cells.tolist()] == stage.tokenizer.encode("abc")
    assert [cell for *_, cell in batch.named_cells.tolist()] == [20, 21, 21]
    last = batch.named_cells[-1, 1].item()
    assert row[batch.recalled_tokens[0, 1]] == stage.packer.coordinate
    assert {earlier for *_, earlier in batch.recalled_tokens.tolist()} == {last}
    assert len(batch.recalled_tokens) == len(batch.coordinate_tokens)


def test_mentioned_words_are_located_if_unique(stage: SFTStage) -> None:
    characters = [
        [c, 20.0 + 9.0 * n, y, 9.0]
        for y, text in ((60.0, "ab"), (80.0, "cde"), (99.0, "ab"))
        for n, c in enumerate(text)
    ]
    answer = {"action": "left_click", "coordinate": [31, 80]}
    question = Question("Select ab, cde, x and click Go.", answer, (14.0, 73.0, 34.0, 14.0))
    located = locate_characters(question, characters)
    assert [offset for offset, *_ in located.named] == [11, 12, 13]
    assert located.mentioned == (), '"ab" is on the screen twice'
    located = locate_characters(question, characters[:5])
    assert [offset for offset, *_ in located.mentioned] == [7, 8]
    typed = locate_characters(Question("Type ab.", {"action": "type", "text": "ab"}), characters[:5])
    assert typed.mentioned[0] == (5, 20.0, 60.0)
    batch = pack(stage.packer, [located])
    row = batch.ids[0].tolist()
    marked = sorted(stage.tokenizer.decode([row[token]]) for _, token, _ in batch.named_cells.tolist())
    assert marked == list("abcde")
    assert stage.tokenizer.decode([row[batch.recalled_tokens[0, 2]]]) == "e"


def test_packed_forward_equals_masked_decoder(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run", blocks=3)
    batch, model = stage.sample_batch(random.Random(3)), stage.model
    assert batch.layout.blocks == 3
    assert batch.ids.shape[1] == batch.layout.length
    embeddings = torch.randn(*batch.ids.shape, model.config.text.hidden_size)
    with torch.no_grad():
        trace = packed_forward(model.model, embeddings, batch.positions, batch.own, batch.layout, compiled=False)
        masked = model.model(embeddings, batch.positions, batch.mask)
    assert torch.allclose(trace.output, masked, atol=1e-5)


def test_packed_forward_normalizes_queries_and_keys(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run", blocks=3)
    batch, config = stage.sample_batch(random.Random(3)), stage.model.config.text
    torch.manual_seed(0)
    decoder = TextDecoder(replace(config, qk_norm=True, attention_bias=False))
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.2)
    embeddings = torch.randn(*batch.ids.shape, config.hidden_size)
    with torch.no_grad():
        trace = packed_forward(decoder, embeddings, batch.positions, batch.own, batch.layout, compiled=False)
        masked = decoder(embeddings, batch.positions, batch.mask)
    assert torch.allclose(trace.output, masked, atol=1e-4)


def test_packed_forward_refuses_gated_attention(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run", blocks=3)
    batch, config = stage.sample_batch(random.Random(3)), stage.model.config.text
    decoder = TextDecoder(replace(config, attention_gate=True))
    embeddings = torch.randn(*batch.ids.shape, config.hidden_size)
    with pytest.raises(UsageError, match="gated attention"):
        packed_forward(decoder, embeddings, batch.positions, batch.own, batch.layout, compiled=False)


def test_attention_probe_equals_attention_layer(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run", blocks=3)
    batch, model = stage.sample_batch(random.Random(3)), stage.model
    embeddings = torch.randn(*batch.ids.shape, model.config.text.hidden_size)
    tokens = torch.tensor([[1, 150], [0, 300], [0, 151]])  # in any order
    outputs: list[torch.Tensor] = []
    with torch.no_grad():
        trace = packed_forward(model.model, embeddings, batch.positions, batch.own, batch.layout, compiled=False)
        probe = AttentionProbe(batch, trace)
        layer, size = model.model.layers[1], model.config.text.head_dim
        normed = layer.input_layernorm(trace.states[0])
        values = layer.self_attn.v_proj(normed).view(*batch.ids.shape, -1, size)
        for head in range(4):
            attention = probe.log_attention((1, head), tokens).exp()
            block_values = batch.layout.keys_by_block(values[:, :, head // 2])
            attended = block_values[batch.layout.block_index(*tokens.unbind(1))]
            outputs.append(torch.einsum("ls,lsd->ld", attention, attended))
        cos, sin = text_cos_sin(batch.positions, size, (2, 1, 1), model.config.text.rope_theta, embeddings.dtype)
        expected = layer.self_attn(normed, cos.unsqueeze(1), sin.unsqueeze(1), batch.mask, None, 1)
        expected = expected[tokens[:, 0], tokens[:, 1]]
        heads = [(1, head) for head in range(4)]
        contributions = probe.head_outputs(heads, tokens, [layer.self_attn.o_proj.weight] * 4)
    assert torch.allclose(layer.self_attn.o_proj(torch.cat(outputs, -1)), expected, atol=1e-5)
    assert torch.allclose(contributions, expected, atol=1e-5)


def test_shows_and_decides_select_screens_and_questions(data: Path, tmp_path: Path) -> None:
    entry = {"folder": "practice", "share": 1.0, "questions": 3, "shows": "a"}
    for decides, decisions_per_screen in ((False, 1), (True, 3)):
        recipe = make_recipe("sft", data=[{**entry, "decides": decides}], batch=4)
        batch = SFTStage(recipe, data, tmp_path / f"{decides}").sample_batch(random.Random(0))
        tokens = batch.decision_tokens.tolist()
        actions = [(row, token) for row, token in tokens if batch.ids[row, token] == batch.packer.action]
        assert len(actions) == 4 * decisions_per_screen
    with pytest.raises(UsageError, match="practice has no screens"):
        SFTStage(make_recipe("sft", data=[{**entry, "shows": "ab"}]), data, tmp_path / "none")


def test_questions_beyond_blocks_are_dropped(stage: SFTStage) -> None:
    questions = [Question(f"Say {letter}.", {"say": letter * 90}) for letter in "abc"]
    batch = pack(stage.packer, questions, blocks=1)
    text = stage.tokenizer.decode(batch.ids[0, batch.layout.head :].tolist())
    assert "Say a." in text
    assert "Say b." not in text
    assert pack(stage.packer, questions).layout.blocks == 3


def test_question_longer_than_block(stage: SFTStage) -> None:
    long = Question("g", {"say": "a" * 130})
    with pytest.raises(UsageError, match="longer than a block of 128"):
        pack(stage.packer, [long])
    batch = pack(stage.packer, [long, Question("Say b.", {"say": "b" * 90})], blocks=1)
    text = stage.tokenizer.decode(batch.ids[0, batch.layout.head :].tolist())
    assert "Say b." in text
    assert "aa" not in text
