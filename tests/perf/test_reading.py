"""`agent bench reading`: the lines that are rendered, and how what was read of them is scored."""

from __future__ import annotations

import random
import zlib

import pytest

from actions import UsageError
from evals.metrics.text_distance import levenshtein
from perf.reading import (
    ReadingPage,
    ReadingScore,
    align,
    format_scores,
    policy_reader,
    random_lines,
    rapidocr_reader,
    read_lines,
    render_pages,
)
from pixelhand import Screen, load_policy


def test_lines_depend_on_the_seed_alone() -> None:
    lines = random_lines(50, 3)
    assert lines == random_lines(50, 3)
    assert lines != random_lines(50, 4)
    assert {line["size"] for line in lines} <= set(range(11, 17))


def test_words_are_those_reserved_for_evaluation() -> None:
    words = [word for line in random_lines(50, 3) for word in str(line["text"]).split()]
    assert len(words) > 50
    assert all(zlib.crc32(word.lower().encode()) % 8 == 0 for word in words)


def test_alignment_is_a_shortest_edit() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text, read = ("".join(rng.choice("abc ") for _ in range(rng.randint(0, 8))) for _ in range(2))
        pairs = align(text, read)
        assert "".join(left for left, _ in pairs) == text
        assert "".join(right for _, right in pairs) == read
        assert sum(left != right for left, right in pairs) == levenshtein(text, read)


def test_score_counts_edits_of_all_characters() -> None:
    score = ReadingScore("model")
    score.add("abcd", "abxd")
    score.add("ab cdef", "ab cdef")
    score.add("a", "")
    assert score.accuracy == pytest.approx(1 - 2 / 12)
    assert score.as_dict()["lines_right"] == pytest.approx(1 / 3, abs=1e-4)
    assert score.confusions == {("c", "x"): 1, ("a", ""): 1}
    assert "83.3%" in format_scores([score])


def test_regions_are_assigned_to_lines() -> None:
    import numpy as np

    page = ReadingPage(Screen(np.zeros((64, 100, 3), np.uint8)), ("a b", "c"))
    regions = [("c", 10.0, 50.0), ("b", 60.0, 17.0), ("a", 10.0, 16.0)]
    assert read_lines(page, lambda screen: regions) == ["a b", "c"]


def test_missing_rapidocr_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(UsageError, match="--baseline none"):
        rapidocr_reader()


@pytest.mark.browser
@pytest.mark.model
def test_embedded_model_reads_rendered_lines(chrome: str) -> None:
    (page,) = render_pages(10, 5)
    policy = load_policy("embedded")
    score = ReadingScore("embedded")
    for text, read in zip(page.texts, read_lines(page, policy_reader(policy)), strict=True):
        score.add(text, read)
    policy.close()
    assert score.lines == 10
    assert score.accuracy > 0.85


@pytest.mark.browser
def test_rapidocr_reads_rendered_lines(chrome: str) -> None:
    pytest.importorskip("rapidocr", reason="rapidocr is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (page,) = render_pages(5, 5)
    assert read_lines(page, rapidocr_reader()) == list(page.texts)
