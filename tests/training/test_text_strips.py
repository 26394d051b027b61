"""Text strips: their content, words reserved for evaluation, and the stages that train on them."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.training_data import ELEMENTS, LETTERS, make_recipe, noise_png

from actions import UsageError
from model.chat_model import load_chat
from model.checkpoints.settings import read_settings
from training import text_strips
from training.dataset import DatasetWriter, read_samples
from training.evaluate import strip_accuracy
from training.packing import Packer, decode_png
from training.page_renderer import encode_png
from training.sft import SFTStage
from training.synthetic_screens import UNSEEN_SEED_START, page_words
from training.text_strips import (
    READ_GOAL,
    RESIZED,
    TEXT_Y,
    invent_word,
    license_words,
    manual_words,
    render_strips,
    resize_strip,
)
from training.vision_pretraining import CELL, SHAPE_ATTRIBUTES, VisionPretrainingStage, label_shapes, shape_loss

TEXT = "ab cd"
CHARACTERS = [[c, 5.0 + 7 * n, 9.5, 7.0] for n, c in enumerate(TEXT) if c != " "]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Screens, strips and a page of shapes, of noise."""
    folder = tmp_path / "data"
    noise = np.random.default_rng(1)
    writer = DatasetWriter(folder / "lines", "lines-0")
    for number in range(3):
        strip = encode_png(noise.integers(0, 256, (text_strips.HEIGHT, text_strips.WIDTH, 3), dtype=np.uint8))
        question = {"goal": READ_GOAL, "answer": {"say": TEXT}, "box": [1.5, 0, 35, 19]}
        writer.add(0, number, "", strip, [question], CHARACTERS, {"font_px": 12})
    writer.finish(0)
    writer = DatasetWriter(folder / "screens", "screens-0")
    click = {"goal": "Click here.", "answer": {"action": "left_click", "coordinate": [9, 9]}, "box": [0, 0, 20, 20]}
    for number in range(3):
        writer.add(0, number, "", noise_png(number), [click], LETTERS, {"elements": ELEMENTS, "font_px": 12})
    writer.finish(0)
    writer = DatasetWriter(folder / "practice", "click-shape")
    shape = {"goal": "Click on a small red digit", "answer": {}, "box": [30.0, 30.0, 10.0, 10.0]}
    for seed in range(2):
        writer.add(seed, 0, "Click on a small red digit", noise_png(seed), [shape], [])
        writer.finish(seed)
    return folder


def make_strip_stage(data: Path, run: Path) -> SFTStage:
    """Return a stage that trains on strips and screens."""
    strips = {"folder": "lines", "picture": "strip", "share": 0.5, "questions": 1}
    screens = {"folder": "screens", "share": 0.5, "questions": 4, "moved": True}
    recipe = make_recipe("sft", data=[strips, screens], strips={"batch": 3, "blocks": 1})
    return SFTStage(recipe, data, run)


def test_strip_shows_its_text(tmp_path: Path, browser: Any) -> None:
    assert render_strips(0, 1, tmp_path / "lines", "lines-0", browser) > 200
    assert render_strips(0, 1, tmp_path / "lines", "lines-0", browser) == 0, "stored pages are skipped"
    visible_count = 0
    for sample in read_samples(tmp_path / "lines"):
        (question,) = sample.questions
        text = question.answer["say"]
        assert "".join(c for c, *_ in sample.characters) == text.replace(" ", "")
        assert [x for _, x, *_ in sample.characters] == sorted(x for _, x, *_ in sample.characters)
        frame = decode_png(sample.png).astype(int)
        assert frame.shape == (text_strips.HEIGHT, text_strips.WIDTH, 3)
        background = frame[0, -1]
        _, x, _, width = max(sample.characters, key=lambda character: character[1])
        visible_count += bool(np.abs(frame[:, : int(x + width)] - background).max() > 60)
        assert np.abs(frame[:, int(x + width) + 2 :] - background).max(initial=0) < 30, text
    assert visible_count > 200


def test_reserved_words_are_never_trained_on(tmp_path: Path, browser: Any) -> None:
    rng = random.Random(3)
    trained = {invent_word(rng, False).lower() for _ in range(3000)}
    reserved = {invent_word(rng, True).lower() for _ in range(300)}
    assert len(trained) > 2000
    assert len(reserved) > 200
    assert not trained & reserved
    render_strips(UNSEEN_SEED_START, UNSEEN_SEED_START + 1, tmp_path, "words", browser)
    words = [sample.questions[0].answer["say"] for sample in read_samples(tmp_path)]
    assert all(word.isalpha() for word in words)
    assert not {word.lower() for word in words} & trained


def test_reserved_english_words_are_never_trained_on(tmp_path: Path, browser: Any) -> None:
    english = license_words(page_words())
    assert "licensor" in english
    assert len(english) > 200
    assert "name" not in english, "a label of the synthetic screens"
    manual = manual_words(english)
    assert "expression" in manual
    assert len(manual) > 1000
    assert not set(manual) & set(english)
    render_strips(UNSEEN_SEED_START, UNSEEN_SEED_START + 1, tmp_path, "english", browser, english=True)
    words = {sample.questions[0].answer["say"].lower() for sample in read_samples(tmp_path, ["english"])}
    assert len(words) > 100
    assert words <= set(english)


def test_strip_is_resized_as_by_processor(data: Path, tmp_path: Path) -> None:
    stage = make_strip_stage(data, tmp_path / "run")
    stage.save(tmp_path / "run")
    assert load_chat(stage.checkpoint).limits.resized(text_strips.WIDTH, text_strips.HEIGHT) == RESIZED
    strip = resize_strip(next(read_samples(data / "lines")))
    scale_x, scale_y = strip.scale
    assert strip.frame.shape == (RESIZED[1], RESIZED[0], 3)
    assert strip.characters[0] == ("a", 5.0 * scale_x, TEXT_Y, 7.0 * scale_x)
    assert scale_y == RESIZED[1] / text_strips.HEIGHT
    assert int(TEXT_Y // CELL) == int(9.5 * scale_y // CELL), "in its own cell"


def test_batches_have_one_image_size_each(data: Path, tmp_path: Path) -> None:
    stage = make_strip_stage(data, tmp_path / "run")
    kinds = set()
    for seed in range(8):
        batch = stage.sample_batch(random.Random(seed))
        loss, metrics = stage.loss(batch)
        assert torch.isfinite(loss)
        is_strip = batch.packer is not stage.packer
        kinds.add(is_strip)
        assert all(name.startswith("strip_") == is_strip for name in metrics)
        if not is_strip:
            continue
        assert batch.frames.shape == (3, RESIZED[1], RESIZED[0], 3)
        row = batch.ids[0].tolist()
        read = [row[token + 1] for image, token in batch.read_tokens.tolist() if image == 0]
        assert read == stage.tokenizer.encode(TEXT)
        scale = RESIZED[0] / text_strips.WIDTH
        assert batch.read_points[0].tolist() == [int(5.0 * scale), int(TEXT_Y)]
    assert kinds == {True, False}


def test_alone_keeps_strips_of_one_word(data: Path, tmp_path: Path) -> None:
    strip = next(read_samples(data / "lines")).png
    writer = DatasetWriter(data / "lines", "lines-1")
    question = {"goal": READ_GOAL, "answer": {"say": "ab"}, "box": [1.5, 0, 14, 19]}
    writer.add(0, 0, "", strip, [question], CHARACTERS[:2], {"font_px": 12})
    writer.finish(0)
    strips = {"folder": "lines", "picture": "strip", "share": 1.0, "questions": 1, "alone": True}
    recipe = make_recipe("sft", data=[strips], strips={"batch": 3, "blocks": 1})
    stage = SFTStage(recipe, data, tmp_path / "run")
    texts = [sample.questions[0].answer["say"] for kind in stage.kinds for sample in kind.samples()]
    assert texts == ["ab"]
    assert len(list(read_samples(data / "lines"))) == 4


def test_strips_have_their_own_loss_weights(data: Path, tmp_path: Path) -> None:
    stage = make_strip_stage(data, tmp_path / "run")
    entry = {"folder": "lines", "picture": "strip", "share": 1.0, "questions": 1}
    strips = {"batch": 3, "blocks": 1, "losses": {"char_token": 3.5, "char_from_attention": 2.0}}
    weighted = SFTStage(make_recipe("sft", data=[entry], strips=strips), data, tmp_path / "other")
    batch = weighted.sample_batch(random.Random(0))
    metrics = weighted.loss(batch)[1]
    plain = stage.loss(dataclasses.replace(batch, packer=stage.kinds[1].packer))[1]
    char_token = (metrics["strip_char_token"] + metrics["strip_char_token_early"]) / 2
    added = 3.0 * char_token + 2.0 * metrics["strip_char_from_attention"]
    assert metrics["strip_char_from_attention"] > 0
    assert metrics["strip_loss"] - plain["strip_loss"] == pytest.approx(added, rel=1e-3)


def test_checkpoint_states_what_it_was_trained_for(data: Path, tmp_path: Path) -> None:
    screens = make_recipe("sft", data=[{"folder": "screens", "share": 1.0, "questions": 4, "moved": False}])
    plain = SFTStage(screens, data, tmp_path / "plain")
    assert read_settings(plain.checkpoint).reads_strips is False
    first = make_strip_stage(data, tmp_path / "first")
    assert read_settings(first.checkpoint).reads_strips is True
    assert read_settings(first.checkpoint).answers_questions is False
    first.save(tmp_path / "first")
    second = SFTStage(screens, data, tmp_path / "second", [first.checkpoint])
    assert read_settings(second.checkpoint).reads_strips is True


def test_vision_stage_trains_strips_and_shapes_near_anchor(data: Path, tmp_path: Path) -> None:
    first = make_strip_stage(data, tmp_path / "run")
    first.save(tmp_path / "run")
    recipe = make_recipe("vision", strips=2, things=1, practice=2, encoder_anchor=2.0)
    stage = VisionPretrainingStage(recipe, data, [first.checkpoint])
    loss, metrics = stage.loss(stage.sample_batch(random.Random(0)))
    assert torch.isfinite(loss)
    assert metrics["encoder_anchor"] < 1e-6
    assert metrics["encoder_anchor_practice"] < 1e-6
    assert {"strips_right", "things_right"} <= set(metrics)
    with torch.no_grad():
        stage.visual.merger.ln_q.weight.mul_(1.5)
    assert stage.loss(stage.sample_batch(random.Random(0)))[1]["encoder_anchor"] > 1e-3


def test_shape_attributes_are_labeled_at_their_cell(data: Path) -> None:
    labeled = label_shapes(list(read_samples(data / "practice")))
    words = [names.split() for names in SHAPE_ATTRIBUTES]
    expected = [words[0].index("small"), words[1].index("red"), words[2].index("digit")]
    assert labeled.labels[0, 11].tolist() == expected
    assert (labeled.labels >= 0).sum() == 2 * 3
    assert len(labeled.frames) == 2
    stage = VisionPretrainingStage(make_recipe("vision", things=1), data)
    cells = torch.randn(2, labeled.labels.shape[1], stage.model.config.text.hidden_size)
    loss, accuracy = shape_loss(stage.heads, cells, labeled.labels)
    assert loss > 0
    assert 0 <= accuracy <= 1


def test_strip_accuracy_counts_characters_and_words(data: Path, tmp_path: Path) -> None:
    stage = make_strip_stage(data, tmp_path / "run")
    packer = Packer(stage.tokenizer, stage.config, *RESIZED)
    accuracies = strip_accuracy(stage.model, stage.tokenizer, packer, list(read_samples(data / "lines")))
    assert accuracies["characters"]["total"] == 3 * len(TEXT)
    assert accuracies["words"]["total"] == 3


def test_missing_strips_raise_usage_error(data: Path, tmp_path: Path) -> None:
    for path in (data / "lines").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="render them first"):
        make_strip_stage(data, tmp_path / "run")
    with pytest.raises(UsageError, match="render more first"):
        VisionPretrainingStage(make_recipe("vision", strips=2), data)
