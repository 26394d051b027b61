"""Perception in process: a tiny random Qwen3-VL is held to the schema, and the embedded model reads strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import qwen3_parity
from PIL import Image, ImageDraw

from actions import Screen, UsageError
from agent.policies.base import Policy
from agent.policies.factory import load_local_policy
from agent.report.drawing import font
from agent.see.elements import KINDS, elements
from agent.see.grounding import count, ground
from agent.see.reading import read_text
from agent.see.text_lines import STRIP_HEIGHT_PX, STRIP_WIDTH_PX, line_metrics, strip, text_lines, word_boxes

TEXTS = {(24, 20): "Street", (150, 20): "Robin Vance", (24, 60): "Portsmouth"}


def draw_form() -> Screen:
    """Return a form with a framed field."""
    image = Image.new("RGB", (320, 100), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((140, 12, 300, 42), outline="#999")
    for place, text in TEXTS.items():
        draw.text(place, text, fill="black", font=font(14))
    return Screen(np.asarray(image))


@pytest.fixture(scope="module")
def embedded() -> Policy:
    return load_local_policy("embedded", device="cpu")


def test_lines_are_found_without_frames() -> None:
    boxes = text_lines(draw_form())
    assert len(boxes) == 3
    for (x, y), (left, top, right, bottom) in zip(TEXTS, boxes, strict=True):
        assert abs(left - x) <= 3
        assert top - 1 <= y + 8 < bottom
        assert bottom - top < 20
        assert right < 300


def test_line_is_split_into_words() -> None:
    form = draw_form()
    assert [len(word_boxes(form, box)) for box in text_lines(form)] == [1, 2, 1]


def test_strips_have_size_of_training() -> None:
    image = Image.new("RGB", (900, 90), "white")
    ImageDraw.Draw(image).text((10, 10), "a long line of large letters", fill="black", font=font(40))
    screen = Screen(np.asarray(image))
    words = [(line, word) for line in text_lines(screen) for word in word_boxes(screen, line)]
    assert len(words) == 6
    for line, word in words:
        cut = strip(screen, word, line_metrics(screen, line))
        assert (cut.width, cut.height) == (STRIP_WIDTH_PX, STRIP_HEIGHT_PX)


@pytest.mark.parametrize("size", [11, 13, 16])
def test_baseline_of_a_strip_is_that_of_training(size: int) -> None:
    """Words stand on one baseline, whether they have ascenders and descenders or not."""
    image = Image.new("RGB", (300, 40), "white")
    ImageDraw.Draw(image).text((10, 20), "bhd sum gyp", fill="black", font=font(size), anchor="ls")
    screen = Screen(np.asarray(image))
    (line,) = text_lines(screen)
    metrics = line_metrics(screen, line)
    assert metrics.baseline == 20
    assert metrics.size == pytest.approx(size, abs=1.5)
    for word in word_boxes(screen, line)[:2]:
        ink = (strip(screen, word, metrics).pixels.min(axis=2) < 128).any(axis=1)
        assert np.flatnonzero(ink)[-1] + 1 == round(9.5 + 0.3465 * metrics.size)


def test_embedded_model_reads_form(embedded: Policy) -> None:
    texts = [region.text for region in read_text(draw_form(), embedded).items]
    assert texts == list(TEXTS.values())


def test_embedded_model_refuses_other_questions(embedded: Policy) -> None:
    for call in (elements, lambda screen, policy: count(screen, "dots", policy)):
        with pytest.raises(UsageError, match=r"Qwen2\.5-VL"):
            call(draw_form(), embedded)
    with pytest.raises(UsageError, match="--lang"):
        read_text(draw_form(), embedded, language="German")


def test_embedded_model_points(embedded: Policy) -> None:
    (item,) = ground(draw_form(), "Street", embedded).items
    assert item.box is None
    assert 0 <= item.point[0] < 320


def test_random_checkpoint_is_held_to_schema(tmp_path: Path) -> None:
    qwen3_parity.write_chat_folder(tmp_path)
    policy, screen = load_local_policy(str(tmp_path), device="cpu"), draw_form()
    result = elements(screen, policy)
    for item in result.items:
        assert item.kind in KINDS
    assert all("no box inside" in reason for reason in result.rejected)
