"""Data folders, generated questions, character classes, and the comparison of replies with answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.training_data import ELEMENTS, LETTERS, call_text, noise_png

from actions import UsageError
from training.dataset import DatasetWriter, Question, read_samples, truncate_incomplete
from training.evaluate import edit_distance, is_right
from training.miniwob_renderer import render_task
from training.questions import group_lines, group_words, read_line, screen_questions
from training.sft_data import locate_characters
from training.vision_pretraining import character_classes


def test_incomplete_seed_is_truncated(data: Path) -> None:
    folder = data / "practice"
    index, frames = folder / "click-test.jsonl", folder / "click-test.frames"
    frames.write_bytes(frames.read_bytes()[:-10])
    with index.open("a") as lines:
        lines.write('{"seed": 9, "go')
    assert truncate_incomplete(index, frames) == {0, 1, 2}
    assert [sample.seed for sample in read_samples(folder, ["click-test"])] == [0, 1, 2]
    writer = DatasetWriter(folder, "click-test")
    writer.add(3, 0, "g", noise_png(3), [], [])
    del writer  # as if the process was killed before the seed was complete
    assert [sample.seed for sample in read_samples(folder, ["click-test"])] == [0, 1, 2]


def test_source_is_locked_for_other_writers(tmp_path: Path) -> None:
    first = DatasetWriter(tmp_path, "click-test")
    with pytest.raises(UsageError, match="another process"):
        DatasetWriter(tmp_path, "click-test")
    del first
    DatasetWriter(tmp_path, "click-test")


def test_held_out_seeds_are_not_rendered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="held out"):
        render_task("click-test", 899_999, 900_001, tmp_path, browser=None)


def test_character_classes_follow_centers() -> None:
    classes = character_classes([["a", 1.0, 1.0], ["b", 27.0, 27.0], ["é", 30.0, 1.0], ["c", 300.0, 1.0]], 280, 364)
    assert classes.shape == (130, 10)
    assert classes[0, 0] == ord("a") - 32
    assert classes[0, 9] == ord("b") - 32
    assert classes[1, 0] == 95
    assert np.count_nonzero(classes) == 3


def test_screen_questions_have_one_answer() -> None:
    elements = [*ELEMENTS, {**ELEMENTS[0], "box": [150.0, 100.0, 60.0, 30.0]}]  # two buttons "Go"
    for seed in range(20):
        for question in screen_questions(elements, LETTERS, seed):
            assert '"Go"' not in question["goal"]
            assert "button Go" not in question["goal"]
            if question["answer"].get("action") == "left_click":
                x, y, w, h = question["box"]
                point = question["answer"]["coordinate"]
                assert x <= point[0] <= x + w
                assert y <= point[1] <= y + h


def test_group_words_returns_boxes() -> None:
    assert ("abc", [15.5, 53.0, 28.0, 14.0]) in group_words(LETTERS[:3])


def test_read_line_locates_characters_and_spaces() -> None:
    line = [("so", 20.0), ("it", 46.0), ("is", 69.0), ("far", 120.0)]  # "far" is not a neighbor
    characters = [[c, x + 9.0 * n, 60.0, 9.0] for word, x in line for n, c in enumerate(word)]
    lines = group_lines(group_words([*characters, ["x", 20.0, 80.0, 9.0]]))
    assert [[text for text, _ in words] for words in lines] == [["so", "it", "is"], ["far"], ["x"]]
    record = read_line(lines[0])
    assert record["goal"] == "Read the line at [49, 60]."
    assert record["answer"] == {"say": "so it is"}
    located = locate_characters(Question(record["goal"], record["answer"], record["box"]), characters)
    assert [x for x, _ in located.letters] == [20.0, 29.0, 46.0, 46.0, 55.0, 69.0, 69.0, 78.0]  # a space: the next word


def test_long_lines_are_split_between_words() -> None:
    characters = [[c, 20.0 + 100 * n + 9 * k, 60.0, 9.0] for n in range(9) for k, c in enumerate("abcdefghij")]
    assert [len(line) for line in group_lines(group_words(characters))] == [3, 3, 3]


CLICK = Question("g", {"action": "left_click", "coordinate": [10, 10]}, (5.0, 5.0, 10.0, 10.0))
TYPE = Question("g", {"action": "type", "text": "x"})


@pytest.mark.parametrize(
    ("reply", "question", "expected"),
    [
        (call_text(action="left_click", coordinate=[14, 6]), CLICK, True),
        (call_text(action="left_click", coordinate=[15, 6]), CLICK, False),
        (call_text(action="right_click", coordinate=[14, 6]), CLICK, False),
        ("[14, 6]", CLICK, False),
        (call_text(action="type", text="x"), TYPE, True),
        (call_text(action="type", text="X"), TYPE, False),
        ("word", Question("g", {"say": "word"}), True),
    ],
)
def test_is_right(reply: str, question: Question, expected: bool) -> None:
    assert is_right(reply, question) is expected


@pytest.mark.parametrize(("a", "b", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0)])
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == distance
