"""Strips of text: what is said of them stands there, words for measuring stay out, stages learn from both sizes."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actions import UsageError
from model.chat_model import load_chat
from tests.training.test_recipe import ELEMENTS, LETTERS, png, recipe
from training import text_strips
from training.dataset import Writer, read
from training.evaluate import reading_strips
from training.packing import Packer, decode
from training.page_renderer import encoded
from training.sft import SFTStage
from training.synthetic_screens import UNSEEN, words
from training.text_strips import READ, SHOWN, draw, enlarged, invented, licence_words, manual_words
from training.vision_pretraining import CELL, THINGS, VisionPretrainingStage, _things, thing_loss

TEXT = "ab cd"
CHARACTERS = [[c, 5.0 + 7 * n, 9.5, 7.0] for n, c in enumerate(TEXT) if c != " "]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Screens, strips and a page of shapes, of noise."""
    folder = tmp_path / "data"
    noise = np.random.default_rng(1)
    writer = Writer(folder / "lines", "lines-0")
    for number in range(3):
        strip = encoded(noise.integers(0, 256, (text_strips.HEIGHT, text_strips.WIDTH, 3), dtype=np.uint8))
        question = {"goal": READ, "answer": {"say": TEXT}, "box": [1.5, 0, 35, 19]}
        writer.add(0, number, "", strip, [question], CHARACTERS, {"font_px": 12})
    writer.finish(0)
    writer = Writer(folder / "screens", "screens-0")
    for number in range(3):
        asked = [
            {"goal": "Click here.", "answer": {"action": "left_click", "coordinate": [9, 9]}, "box": [0, 0, 20, 20]}
        ]
        writer.add(0, number, "", png(number), asked, LETTERS, {"elements": ELEMENTS, "font_px": 12})
    writer.finish(0)
    writer = Writer(folder / "practice", "click-shape")
    for seed in range(2):
        asked = [{"goal": "Click on a small red digit", "answer": {}, "box": [30.0, 30.0, 10.0, 10.0]}]
        writer.add(seed, 0, asked[0]["goal"], png(seed), asked, [])
        writer.finish(seed)
    return folder


def stage(data: Path, run: Path) -> SFTStage:
    strips = {"folder": "lines", "picture": "strip", "share": 0.5, "questions": 1}
    screens = {"folder": "screens", "share": 0.5, "questions": 4, "moved": True}
    return SFTStage(recipe("answers", data=[strips, screens], strips={"batch": 3, "blocks": 1}), data, run)


def test_a_strip_says_what_is_written_on_it(tmp_path: Path, browser: Any) -> None:
    assert draw(0, 1, tmp_path / "lines", "lines-0", browser) > 200
    assert draw(0, 1, tmp_path / "lines", "lines-0", browser) == 0  # what is there is not drawn again
    inked = 0
    for sample in read(tmp_path / "lines"):
        (question,) = sample.questions
        said = question.answer["say"]
        assert "".join(c for c, *_ in sample.characters) == said.replace(" ", "")
        assert [x for _, x, *_ in sample.characters] == sorted(x for _, x, *_ in sample.characters)
        pixels = decode(sample.png).astype(int)
        paper = pixels[0, -1]
        assert pixels.shape == (text_strips.HEIGHT, text_strips.WIDTH, 3)
        _, x, _, width = max(sample.characters, key=lambda one: one[1])
        inked += bool(np.abs(pixels[:, : int(x + width)] - paper).max() > 60)
        assert np.abs(pixels[:, int(x + width) + 2 :] - paper).max(initial=0) < 30, said  # nothing behind the last
    assert inked > 200


def test_words_for_measuring_are_never_trained_on(tmp_path: Path, browser: Any) -> None:
    rng = random.Random(3)
    seen = {invented(rng, False).lower() for _ in range(3000)}
    kept = {invented(rng, True).lower() for _ in range(300)}
    assert len(seen) > 2000 and len(kept) > 200 and not seen & kept
    draw(UNSEEN, UNSEEN + 1, tmp_path, "words", browser)
    said = [sample.questions[0].answer["say"] for sample in read(tmp_path)]
    assert all(word.isalpha() for word in said) and not {word.lower() for word in said} & seen
    known = words()
    english = licence_words(known)
    assert "licensor" in english and len(english) > 200 and "name" not in english  # a label of the invented screens
    manual = manual_words(english)
    assert "expression" in manual and len(manual) > 1000 and not set(manual) & set(english)
    draw(UNSEEN, UNSEEN + 1, tmp_path, "english", browser, english=True)
    drawn = {sample.questions[0].answer["say"].lower() for sample in read(tmp_path, ["english"])}
    assert len(drawn) > 100 and drawn <= set(english)


def test_a_strip_is_enlarged_as_the_processor_does_it(data: Path, tmp_path: Path) -> None:
    made = stage(data, tmp_path / "run")
    made.save(tmp_path / "run")
    assert load_chat(made.checkpoint).limits.resized(text_strips.WIDTH, text_strips.HEIGHT) == SHOWN
    sample = next(read(data / "lines"))
    frame, characters, (across, down) = enlarged(sample)
    assert frame.shape == (SHOWN[1], SHOWN[0], 3)
    assert characters[0] == ("a", 5.0 * across, text_strips.MIDDLE, 7.0 * across)
    assert down == SHOWN[1] / text_strips.HEIGHT and int(text_strips.MIDDLE // CELL) == int(
        9.5 * down // CELL
    )  # in its own cell


def test_batches_are_of_one_size_each_and_figures_say_of_which(data: Path, tmp_path: Path) -> None:
    made = stage(data, tmp_path / "run")
    seen = set()
    for seed in range(8):
        batch = made.draw(random.Random(seed))
        loss, figures = made.loss(batch)
        assert torch.isfinite(loss)
        strip = batch.packer is not made.packer
        seen.add(strip)
        assert all(name.startswith("strip_") == strip for name in figures)
        if strip:
            assert batch.frames.shape == (3, SHOWN[1], SHOWN[0], 3)
            row = batch.ids[0].tolist()
            said = [row[token + 1] for picture, token in batch.read.tolist() if picture == 0]
            assert said == made.tokenizer.encode(TEXT)
            scale = SHOWN[0] / text_strips.WIDTH
            assert batch.stand[0].tolist() == [int(5.0 * scale), int(text_strips.MIDDLE)]
    assert seen == {True, False}


def test_strips_of_a_single_word_can_be_drawn_alone(data: Path, tmp_path: Path) -> None:
    writer = Writer(data / "lines", "lines-1")
    question = {"goal": READ, "answer": {"say": "ab"}, "box": [1.5, 0, 14, 19]}
    strip = next(read(data / "lines")).png
    writer.add(0, 0, "", strip, [question], CHARACTERS[:2], {"font_px": 12})
    writer.finish(0)
    strips = {"folder": "lines", "picture": "strip", "share": 1.0, "questions": 1, "alone": True}
    made = SFTStage(recipe("answers", data=[strips], strips={"batch": 3, "blocks": 1}), data, tmp_path / "run")
    said = [one.questions[0].answer["say"] for kind in made.kinds for one in kind.samples()]
    assert said == ["ab"] and len(list(read(data / "lines"))) == 4


def test_losses_may_count_otherwise_for_strips(data: Path, tmp_path: Path) -> None:
    made = stage(data, tmp_path / "run")
    strips = {"folder": "lines", "picture": "strip", "share": 1.0, "questions": 1}
    shape = {"batch": 3, "blocks": 1, "losses": {"said": 3.5, "taken": 2.0}}
    other = SFTStage(recipe("answers", data=[strips], strips=shape), data, tmp_path / "other")
    batch = other.draw(random.Random(0))
    figures = other.loss(batch)[1]
    before = made.loss(dataclasses.replace(batch, packer=made.kinds[1].packer))[1]
    said = (figures["strip_said"] + figures["strip_said_early"]) / 2
    more = 3.0 * said + 2.0 * figures["strip_taken"]
    assert figures["strip_taken"] > 0 and figures["strip_loss"] - before["strip_loss"] == pytest.approx(more, rel=1e-3)


def test_the_encoder_learns_strips_and_shapes_and_keeps_what_its_decoder_knows(data: Path, tmp_path: Path) -> None:
    first = stage(data, tmp_path / "run")
    first.save(tmp_path / "run")
    made = VisionPretrainingStage(recipe("visual", strips=2, things=1, practice=2, keep=2.0), data, [first.checkpoint])
    loss, figures = made.loss(made.draw(random.Random(0)))
    assert torch.isfinite(loss) and figures["moved"] < 1e-6 and figures["moved_practice"] < 1e-6
    assert {"strips_right", "things_right"} <= set(figures)
    with torch.no_grad():
        made.visual.merger.ln_q.weight.mul_(1.5)
    assert made.loss(made.draw(random.Random(0)))[1]["moved"] > 1e-3


def test_what_goals_say_of_a_shape_is_asked_of_its_cell(data: Path) -> None:
    frames, truth = _things(list(read(data / "practice")))
    words = [words.split() for words in THINGS]
    assert truth[0, 11].tolist() == [words[0].index("small"), words[1].index("red"), words[2].index("digit")]
    assert (truth >= 0).sum() == 2 * 3 and len(frames) == 2
    made = VisionPretrainingStage(recipe("visual", things=1), data)
    cells = torch.randn(2, truth.shape[1], made.model.config.text.hidden_size)
    loss, share = thing_loss(made.heads, cells, truth)
    assert loss > 0 and 0 <= share <= 1


def test_reading_of_strips_is_counted_by_character(data: Path, tmp_path: Path) -> None:
    made = stage(data, tmp_path / "run")
    packer = Packer(made.tokenizer, made.config, *SHOWN)
    shares = reading_strips(made.model, made.tokenizer, packer, list(read(data / "lines")))
    assert shares["characters"]["total"] == 3 * len(TEXT) and shares["words"]["total"] == 3


def test_strips_that_are_not_drawn_yet_are_asked_for(data: Path, tmp_path: Path) -> None:
    for file in (data / "lines").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="draw them first"):
        stage(data, tmp_path / "run")
    with pytest.raises(UsageError, match="draw some first"):
        VisionPretrainingStage(recipe("visual", strips=2), data)
